//! A domain's memory, drawn for documents.

use std::fmt::{Arguments, Write};

use pack::layout::{Held, Layout, Who};

use super::text::short;

/// Where bars begin and how wide they are; names stand left of them. All in SVG's units, which are pixels unless it is scaled.
const LEFT: u64 = 88;
const WIDTH: u64 = 912;
const MARGIN: u64 = 16;
/// Room for half of the last address.
const RIGHT: u64 = 40;
const BAR: u64 = 34;
/// Between the bars of before and after, where it is shown what stays and what moves.
const GAP: u64 = 46;
const LINE: u64 = 17;
/// What a character of the font takes at most.
const CHARACTER: f64 = 7.3;
/// Nothing is drawn so narrow that it cannot be seen.
const NARROWEST: f64 = 2.0;

/// Draws the memory before and after, and lists what is in it, one layout below the other.
pub(super) fn draw<'a>(layouts: impl Iterator<Item = &'a Layout>) -> String {
    let mut drawing = Drawing { body: String::new(), y: MARGIN };
    for layout in layouts {
        drawing.layout(layout);
    }
    let (width, height) = (LEFT + WIDTH + RIGHT, drawing.y);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"12\" fill=\"#222222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
        drawing.body
    )
}

struct Drawing {
    body: String,
    /// Where the next thing goes.
    y: u64,
}

/// From addresses to places on a line.
struct Scale {
    top: u64,
}

impl Scale {
    fn x(&self, address: u64) -> f64 {
        LEFT as f64 + address as f64 * WIDTH as f64 / self.top as f64
    }

    /// Where a range is drawn, and how wide.
    fn place(&self, held: &Held) -> (f64, f64) {
        let width = (self.x(held.end) - self.x(held.start)).max(NARROWEST);
        (self.x(held.start).min((LEFT + WIDTH) as f64 - width), width)
    }
}

impl Drawing {
    fn layout(&mut self, layout: &Layout) {
        let scale = Scale { top: layout.top() };
        let (before, after) = (&layout.before, &layout.after);
        let after_name = if layout.conflict.is_some() { "wanted" } else { "after" };
        let builder = layout.builder;
        self.y += LINE;
        let title = format!("{}: a domain of {}, built by {builder}", layout.protocol, short(layout.memory));
        self.text(MARGIN, "font-size=\"15\" font-weight=\"bold\"", &title);
        self.y += LINE;
        self.grid(&scale);
        self.bar("before", &layout.ram, before, &scale);
        self.ribbons(before, after, &scale);
        self.y += GAP;
        self.bar(after_name, &layout.ram, after, &scale);
        self.conflict(layout, &scale);
        self.y += 2 * LINE;
        self.keys([("physical, before", before), (&format!("physical, {after_name}"), after)]);
        self.y += LINE / 2;
        let paging = if layout.virtual_after.is_empty() { "virtual, after: paging is off" } else { "virtual, after" };
        // Below each other: such addresses are long.
        self.list(MARGIN, "virtual, before", &layout.virtual_before);
        self.list(MARGIN, paging, &layout.virtual_after);
        self.y += 2 * LINE;
    }

    /// Lines at round addresses, through both bars.
    fn grid(&mut self, scale: &Scale) {
        let step = (scale.top / 8).max(1).next_power_of_two();
        let (y, end) = (self.y, self.y + 2 * BAR + GAP + 5);
        for address in (0..=scale.top / step).map(|number| number * step) {
            let x = scale.x(address);
            self.push(format_args!("<path d=\"M{x:.1} {y}V{end}\" stroke=\"#cfd8dc\"/>"));
            let label = if address == 0 { "0".to_owned() } else { short(address) };
            self.push(format_args!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", end + 12));
        }
    }

    fn bar(&mut self, name: &str, ram: &[Held], list: &[Held], scale: &Scale) {
        let middle = self.y + BAR / 2 + 4;
        self.push(format_args!("<text x=\"{MARGIN}\" y=\"{middle}\" font-weight=\"bold\">{name}</text>"));
        // What is small lies over what is large.
        let mut parts: Vec<&Held> = list.iter().collect();
        parts.sort_by_key(|held| held.start.abs_diff(held.end));
        for held in ram.iter().chain(parts.into_iter().rev()) {
            let ((x, width), y, fill) = (scale.place(held), self.y, color(held.holder));
            let title = escaped(&line(held));
            self.push(format_args!(
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{fill}\" stroke=\"white\" \
                 stroke-width=\"0.4\"><title>{title}</title></rect>"
            ));
            let name = held.label.split(',').next().unwrap_or_default();
            let last_word = name.rsplit(' ').next().unwrap_or_default();
            let fits = |label: &&&str| (label.len() + 1) as f64 * CHARACTER <= width;
            if held.holder != Who::Ram
                && let Some(label) = [held.label.as_str(), name, last_word].iter().find(fits)
            {
                let (x, label, ink) = (x + width / 2.0, escaped(label), ink(held.holder));
                self.push(format_args!(
                    "<text x=\"{x:.1}\" y=\"{middle}\" text-anchor=\"middle\" fill=\"{ink}\">{label}</text>"
                ));
            }
        }
        self.y += BAR;
    }

    /// From where something is before to where it is after.
    fn ribbons(&mut self, before: &[Held], after: &[Held], scale: &Scale) {
        for from in before {
            let Some(to) = after.iter().find(|to| to.holder == from.holder && to.label == from.label) else { continue };
            let ((a, wide), (b, other)) = (scale.place(from), scale.place(to));
            let (y, end, fill) = (self.y, self.y + GAP, color(from.holder));
            let (c, d, middle) = (b + other, a + wide, y + GAP / 2);
            self.push(format_args!(
                "<path d=\"M{a:.1} {y}C{a:.1} {middle} {b:.1} {middle} {b:.1} {end}H{c:.1}C{c:.1} {middle} {d:.1} {middle} \
                 {d:.1} {y}Z\" fill=\"{fill}\" fill-opacity=\"0.25\"/>"
            ));
        }
    }

    /// What cannot be had, over the bar that was drawn last, and why.
    fn conflict(&mut self, layout: &Layout, scale: &Scale) {
        let Some(conflict) = &layout.conflict else { return };
        if let (Some(start), Some(end)) = (conflict.start, conflict.end) {
            let (x, width) = scale.place(&Held { start, end, holder: Who::Rsdp, label: String::new() });
            let (y, height) = (self.y - BAR - 3, BAR + 6);
            self.push(format_args!(
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" fill=\"#c62828\" fill-opacity=\"0.35\" \
                 stroke=\"#c62828\" stroke-width=\"2\"/>"
            ));
        }
        self.y += 2 * LINE;
        self.text(LEFT, "fill=\"#c62828\" font-weight=\"bold\"", &format!("conflict: {}", conflict.message));
    }

    /// The lists of what is in the bars, beside each other.
    fn keys(&mut self, lists: [(&str, &Vec<Held>); 2]) {
        let (top, mut bottom) = (self.y, self.y);
        for (column, (name, list)) in lists.into_iter().enumerate() {
            let x = MARGIN + column as u64 * (LEFT + WIDTH) / 2;
            self.y = top;
            self.list(x, name, list);
            bottom = bottom.max(self.y);
        }
        self.y = bottom;
    }

    fn list(&mut self, x: u64, name: &str, list: &[Held]) {
        self.y += LINE;
        self.text(x, "font-weight=\"bold\"", name);
        for held in list {
            self.key(x, held);
        }
    }

    fn key(&mut self, x: u64, held: &Held) {
        self.y += LINE;
        let (y, fill) = (self.y - 10, color(held.holder));
        self.push(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"11\" height=\"11\" fill=\"{fill}\"/>"));
        self.text(x + 18, "xml:space=\"preserve\"", &line(held));
    }

    fn text(&mut self, x: u64, attributes: &str, text: &str) {
        let (y, text) = (self.y, escaped(text));
        self.push(format_args!("<text x=\"{x}\" y=\"{y}\" {attributes}>{text}</text>"));
    }

    fn push(&mut self, element: Arguments<'_>) {
        // A String takes whatever is written to it.
        let _infallible = writeln!(self.body, "{element}");
    }
}

fn line(held: &Held) -> String {
    let size = short(held.end - held.start);
    format!("{:#010x}..{:#010x} {size:>9}  {}", held.start, held.end, held.label)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn color(who: Who) -> &'static str {
    match who {
        Who::Ram => "#eceff1",
        Who::Stage0 => "#2e7d32",
        Who::PageTables => "#00838f",
        Who::Scratch => "#90a4ae",
        Who::Trampoline => "#26c6da",
        Who::StartInfo => "#8e24aa",
        Who::Pack => "#1565c0",
        Who::Module => "#ec407a",
        Who::Structures => "#6d4c41",
        Who::Kernel => "#f9a825",
        Who::Rsdp => "#c62828",
    }
}

/// What can be read on that colour.
fn ink(who: Who) -> &'static str {
    match who {
        Who::Ram | Who::Scratch | Who::Trampoline | Who::Kernel => "#222222",
        _ => "#ffffff",
    }
}
