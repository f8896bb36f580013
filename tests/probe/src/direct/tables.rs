//! The live page tables, from CR3 on.

use crate::entry::State;
use crate::report::info;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const PLACE: u64 = 0x000f_ffff_ffff_f000;

/// Where addresses in a row lead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) first: u64,
    /// Bytes.
    len: u64,
    pub(crate) place: u64,
    pub(crate) write: bool,
    pub(crate) execute: bool,
}

/// Calls `found` with each entry that maps something.
fn walk(table: u64, level: u32, first: u64, above: (bool, bool), count: u64, found: &mut dyn FnMut(Leaf)) {
    for slot in 0..count {
        // SAFETY: the tables are in memory that is mapped 1:1, which start_info's memory map keeps; entries are aligned.
        let entry = unsafe { ((table + slot * 8) as *const u64).read_volatile() };
        if entry & PRESENT == 0 {
            continue;
        }
        let len = 1 << (12 + 9 * (level - 1));
        let at = first + slot * len;
        // Addresses of 48 bits, of which the last one is repeated.
        let at = if level == 4 && slot >= 256 { at | 0xffff << 48 } else { at };
        // The four top entries of PAE have no such bits.
        let top = level == 3 && count == 4;
        let write = above.0 && (top || entry & WRITABLE != 0);
        let execute = above.1 && (top || entry & NO_EXECUTE == 0);
        if level == 1 || entry & LARGE != 0 {
            let place = entry & PLACE & !(len - 1);
            found(Leaf { first: at, len, place, write, execute });
        } else {
            walk(entry & PLACE, level - 1, at, (write, execute), 512, found);
        }
    }
}

/// Each entry that maps something, addresses going up.
pub(crate) fn leaves(state: &State, found: &mut dyn FnMut(Leaf)) {
    let (level, count) = if state.width == 32 { (3, 4) } else { (4, 512) };
    walk(state.cr3 & PLACE, level, 0, (true, true), count, found);
}

/// Prints them, those in a row as one.
pub(crate) fn dump(state: &State) {
    let mut run: Option<Leaf> = None;
    let mut number = 0;
    leaves(state, &mut |leaf| {
        if let Some(last) = &mut run {
            let behind = last.first.wrapping_add(last.len) == leaf.first && last.place + last.len == leaf.place;
            if behind && (last.write, last.execute) == (leaf.write, leaf.execute) {
                last.len += leaf.len;
                return;
            }
            print(number, last);
            number += 1;
        }
        run = Some(leaf);
    });
    if let Some(last) = &run {
        print(number, last);
    }
}

fn print(number: u32, run: &Leaf) {
    let letter = |set, letter| if set { letter } else { '-' };
    let (write, execute) = (letter(run.write, 'W'), letter(run.execute, 'X'));
    info(
        format_args!("map[{number}]"),
        format_args!("{:#x} {:#x} {:#x} R{write}{execute}", run.first, run.first + (run.len - 1), run.place),
    );
}

/// Where `at` leads.
pub(crate) fn find(state: &State, at: u64) -> Option<u64> {
    let mut place = None;
    leaves(state, &mut |leaf| {
        if let Some(offset) = at.checked_sub(leaf.first).filter(|offset| *offset < leaf.len) {
            place = Some(leaf.place + offset);
        }
    });
    place
}
