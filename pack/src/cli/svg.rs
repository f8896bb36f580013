//! A domain's memory, drawn for documents.

use std::fmt::Write;

use pack::layout::{Held, Layout, Who};

use super::text::short;

const WIDTH: u64 = 960;
const MARGIN: u64 = 16;
const BAR: u64 = 40;
const LINE: u64 = 18;

/// Draws the memory before and after, and lists what is in it, one layout below the other.
pub(super) fn draw<'a>(layouts: impl Iterator<Item = &'a Layout>) -> String {
    let mut drawing = Drawing { body: String::new(), y: MARGIN };
    for layout in layouts {
        drawing.layout(layout);
    }
    let (width, height) = (WIDTH + 2 * MARGIN, drawing.y + MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"monospace\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
        drawing.body
    )
}

struct Drawing {
    body: String,
    /// Where the next thing goes.
    y: u64,
}

impl Drawing {
    fn layout(&mut self, layout: &Layout) {
        let top = layout.top();
        self.text(0, &format!("{} in {} of {}'s", layout.protocol, short(layout.memory), layout.builder));
        for (name, list) in [("before", &layout.before), ("after", &layout.after)] {
            self.text(0, name);
            for held in layout.ram.iter().chain(list) {
                self.bar(held, top);
            }
            self.y += BAR + LINE / 2;
            for held in list {
                self.key(held);
            }
        }
        for held in &layout.virtual_before {
            self.text(0, &format!("virtual, before: {:#x}..{:#x} {}", held.start, held.end, held.label));
        }
        for held in &layout.virtual_after {
            self.text(0, &format!("virtual, after: {:#x}..{:#x} {}", held.start, held.end, held.label));
        }
        if let Some(conflict) = &layout.conflict {
            self.text(0, &format!("conflict: {}", conflict.message));
        }
        self.y += LINE;
    }

    fn text(&mut self, indent: u64, text: &str) {
        self.y += LINE;
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let (x, y) = (MARGIN + indent, self.y - 5);
        self.push(format_args!("<text x=\"{x}\" y=\"{y}\">{escaped}</text>"));
    }

    /// A range in the bar at the current place; nothing is too small to be seen.
    fn bar(&mut self, held: &Held, top: u64) {
        let at = |address: u64| address as f64 * WIDTH as f64 / top as f64;
        let (x, width) = (MARGIN as f64 + at(held.start), at(held.end - held.start).max(1.5));
        let (y, fill) = (self.y, color(held.holder));
        self.push(format_args!("<rect x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{BAR}\" fill=\"{fill}\"/>"));
    }

    fn key(&mut self, held: &Held) {
        let (x, y, side) = (MARGIN, self.y + 3, LINE - 6);
        let fill = color(held.holder);
        self.push(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill=\"{fill}\"/>"));
        let size = short(held.end - held.start);
        self.text(LINE, &format!("{:#010x}..{:#010x} {size:>10}  {}", held.start, held.end, held.label));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // A String takes whatever is written to it.
        let _infallible = writeln!(self.body, "{element}");
    }
}

fn color(who: Who) -> &'static str {
    match who {
        Who::Ram => "#eeeeee",
        Who::Stage0 => "#2e7d32",
        Who::PageTables => "#00838f",
        Who::Scratch => "#9e9e9e",
        Who::Trampoline => "#4dd0e1",
        Who::StartInfo => "#8e24aa",
        Who::Pack => "#1565c0",
        Who::Module => "#ce93d8",
        Who::Structures => "#ab47bc",
        Who::Kernel => "#f9a825",
        Who::Rsdp => "#c62828",
    }
}
