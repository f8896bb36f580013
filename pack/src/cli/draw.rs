//! A domain's memory, drawn in characters.

use std::fmt::{Result, Write};

use anstyle::{AnsiColor, Style};
use pack::layout::{Held, Layout, Who};

use super::text::short;

/// Characters for the whole memory.
const WIDTH: usize = 64;

/// Draws the memory before and after, and lists what is in it.
pub(super) fn layout(out: &mut String, layout: &Layout) -> Result {
    let (protocol, builder, memory) = (layout.protocol, layout.builder, short(layout.memory));
    let top = layout.top();
    let scale = Scale { top, width: WIDTH };
    let each = short(top.div_ceil(WIDTH as u64));
    writeln!(out, "map        {protocol} in {memory} of {builder}'s; a character is {each}, `.` is free")?;
    let after = if layout.conflict.is_some() { "wanted" } else { "after" };
    for (name, list) in [("before", &layout.before), (after, &layout.after)] {
        writeln!(out, "{name:<10} [{}]", scale.bar(&layout.ram, list))?;
    }
    if let Some(conflict) = &layout.conflict {
        if let (Some(start), Some(end)) = (conflict.start, conflict.end) {
            writeln!(out, "           [{}]", scale.mark(start, end))?;
        }
        writeln!(out, "conflict   {}", conflict.message)?;
    }
    for (name, list) in [("before", &layout.before), (after, &layout.after)] {
        for (number, held) in list.iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            let (letter, style) = look(held.holder);
            let size = short(held.end - held.start);
            writeln!(
                out,
                "{name:<10} {style}{letter}{style:#} {:#010x}..{:#010x} {size:>10}  {}",
                held.start, held.end, held.label
            )?;
        }
    }
    for moved in &layout.moves {
        let (letter, style) = look(moved.holder);
        writeln!(out, "moved      {style}{letter}{style:#} from {:#x} to {:#x}", moved.from, moved.to)?;
    }
    virtual_map(out, layout)
}

fn virtual_map(out: &mut String, layout: &Layout) -> Result {
    for held in &layout.virtual_before {
        writeln!(out, "virtual    before {:#x}..{:#x}  {}", held.start, held.end, held.label)?;
    }
    for held in &layout.virtual_after {
        writeln!(out, "           after  {:#x}..{:#x}  {}", held.start, held.end, held.label)?;
    }
    if layout.virtual_after.is_empty() {
        writeln!(out, "           after  paging is off")?;
    }
    Ok(())
}

/// How a holder is shown.
fn look(who: Who) -> (char, Style) {
    let (letter, color) = match who {
        Who::Ram => ('.', AnsiColor::BrightBlack),
        Who::Stage0 => ('S', AnsiColor::Green),
        Who::PageTables => ('T', AnsiColor::Cyan),
        Who::Scratch => ('D', AnsiColor::BrightBlack),
        Who::Trampoline => ('J', AnsiColor::Cyan),
        Who::StartInfo => ('I', AnsiColor::Magenta),
        Who::Pack => ('P', AnsiColor::Blue),
        Who::Module => ('M', AnsiColor::Magenta),
        Who::Structures => ('B', AnsiColor::Magenta),
        Who::Kernel => ('K', AnsiColor::Yellow),
        Who::Rsdp => ('A', AnsiColor::Red),
    };
    (letter, Style::new().bold().fg_color(Some(color.into())))
}

/// Memory from 0 to `top`, in `width` characters.
struct Scale {
    top: u64,
    width: usize,
}

impl Scale {
    /// Bytes of `held` in the memory of a character.
    fn share(&self, held: &Held, cell: usize) -> u64 {
        let edge = |cell: usize| (u128::from(self.top) * cell as u128 / self.width as u128) as u64;
        held.end.min(edge(cell + 1)).saturating_sub(held.start.max(edge(cell)))
    }

    /// Who is shown by each character: who has most of it; but if another can spare one of the
    /// characters, what would be in none is shown there.
    fn cells(&self, list: &[Held]) -> Vec<Option<usize>> {
        let most = |cell: usize| {
            let shares = list.iter().enumerate().map(|(index, held)| (self.share(held, cell), index));
            shares.filter(|(share, _)| *share > 0).max().map(|(_, index)| index)
        };
        let mut cells: Vec<Option<usize>> = (0..self.width).map(most).collect();
        for (index, held) in list.iter().enumerate() {
            if cells.contains(&Some(index)) {
                continue;
            }
            let count = |owner: Option<usize>| cells.iter().filter(|cell| **cell == owner).count();
            let spare = |cell: &usize| cells[*cell].is_none() || count(cells[*cell]) > 1;
            let own = (0..self.width).filter(|cell| self.share(held, *cell) > 0).find(spare);
            if let Some(cell) = own {
                cells[cell] = Some(index);
            }
        }
        cells
    }

    fn bar(&self, ram: &[Held], list: &[Held]) -> String {
        let mut bar = String::new();
        let mut last = Style::new();
        for (cell, owner) in self.cells(list).into_iter().enumerate() {
            let who = match owner {
                Some(index) => Some(list[index].holder),
                None => ram.iter().any(|ram| self.share(ram, cell) > 0).then_some(Who::Ram),
            };
            let (letter, style) = who.map_or((' ', Style::new()), look);
            if style != last {
                bar.push_str(&format!("{last:#}{style}"));
                last = style;
            }
            bar.push(letter);
        }
        bar + &format!("{last:#}")
    }

    fn mark(&self, start: u64, end: u64) -> String {
        let place = Held { start, end: end.max(start.saturating_add(1)), holder: Who::Ram, label: String::new() };
        (0..self.width).map(|cell| if self.share(&place, cell) > 0 { '^' } else { ' ' }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(start: u64, end: u64, holder: Who) -> Held {
        Held { start, end, holder, label: String::new() }
    }

    fn plain(scale: &Scale, ram: &[Held], list: &[Held]) -> String {
        anstream::adapter::strip_str(&scale.bar(ram, list)).to_string()
    }

    #[test]
    fn a_bar_is_to_scale() {
        let scale = Scale { top: 80, width: 8 };
        let ram = [held(0, 80, Who::Ram)];
        let list = [held(10, 20, Who::Stage0), held(20, 50, Who::Kernel)];
        assert_eq!(plain(&scale, &ram, &list), ".SKKK...");
        assert_eq!(plain(&scale, &ram[..0], &list), " SKKK   ");
        assert_eq!(scale.mark(15, 35), " ^^^    ");
    }

    #[test]
    fn what_is_small_is_shown_where_there_is_room() {
        let scale = Scale { top: 800, width: 8 };
        let list = [held(0, 1, Who::Stage0), held(1, 300, Who::Kernel), held(790, 791, Who::StartInfo)];
        assert_eq!(plain(&scale, &[], &list), "SKK    I");
        let crowd = [held(0, 1, Who::Stage0), held(1, 3, Who::Pack), held(3, 4, Who::Kernel)];
        assert_eq!(plain(&scale, &[], &crowd), "P       ");
    }
}
