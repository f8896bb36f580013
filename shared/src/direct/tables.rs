//! The page tables: four levels in long mode, three of PAE for 32-bit kernels, whose entries are alike but for the top one's
//! (Intel SDM volume 3, 4.4 and 4.5).

use super::{Map, Run};
use crate::kernel::{Access, Class};
use crate::memory::{PAGE_SIZE, Phys};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
/// The entry maps memory, above level 1.
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

/// Bits of an address that the entries of a table of `level`, from 1, leave to those below.
const fn shift(level: usize) -> u32 {
    12 + 9 * (level as u32 - 1)
}

/// Makes tables for pages whose addresses go up, so that of each level only the last one is still added to.
struct Writer<'w> {
    levels: usize,
    first: Phys,
    count: u64,
    /// Of each level below the top: number of the last table, and for which entries of the tables above, from address 0 on.
    last: [Option<(u64, u64)>; 3],
    write: &'w mut dyn FnMut(Phys, u64),
}

impl Map<'_> {
    /// Makes the tables, from `first` on, in memory that is zero: `write` gets each entry's place and value. Returns how many
    /// tables there are; the first is the top one.
    pub fn tables(&self, first: Phys, write: &mut dyn FnMut(Phys, u64)) -> u64 {
        let (levels, largest) = match self.plan.class {
            Class::Elf32 => (3, 2),
            Class::Elf64 => (4, if self.gib_pages { 3 } else { 2 }),
        };
        let mut writer = Writer { levels, first, count: 1, last: [None; 3], write };
        for run in self.runs() {
            writer.add(&run, largest);
        }
        writer.count
    }
}

impl Writer<'_> {
    /// Maps a run by the largest pages that fit, of level `largest` at most.
    fn add(&mut self, run: &Run, largest: usize) {
        let Some((Phys(to), access)) = run.to else { return };
        let mut at = run.first;
        loop {
            let place = to.wrapping_add(at - run.first);
            let fits = |level: &usize| {
                let within = (1 << shift(*level)) - 1;
                (at | place) & within == 0 && run.last - at >= within
            };
            let level = (2..=largest).rev().find(fits).unwrap_or(1);
            let large = if level > 1 { LARGE } else { 0 };
            self.put(level, at, place | flags(access) | large);
            let len = 1 << shift(level);
            if run.last - at < len {
                return;
            }
            at += len;
        }
    }

    /// Writes the entry of `level` for `at`, and the tables above it that are not there yet.
    fn put(&mut self, level: usize, at: u64, entry: u64) {
        let mut table = 0;
        for above in (level + 1..=self.levels).rev() {
            let slot = at >> shift(above);
            let below = match self.last[above - 2] {
                Some((number, of)) if of == slot => number,
                _ => {
                    let number = self.count;
                    self.count += 1;
                    self.last[above - 2] = Some((number, slot));
                    // What PAE's four top entries may have beside is reserved.
                    let flags = if above == 3 && self.levels == 3 { PRESENT } else { PRESENT | WRITABLE };
                    self.write_entry(table, slot, self.place(number) | flags);
                    number
                }
            };
            table = below;
        }
        self.write_entry(table, at >> shift(level), entry);
    }

    fn write_entry(&mut self, table: u64, slot: u64, entry: u64) {
        let at = self.place(table).wrapping_add(slot % 512 * 8);
        (self.write)(Phys(at), entry);
    }

    const fn place(&self, table: u64) -> u64 {
        self.first.0.wrapping_add(table * PAGE_SIZE)
    }
}

const fn flags(access: Access) -> u64 {
    let write = if access.write { WRITABLE } else { 0 };
    let execute = if access.execute { 0 } else { NO_EXECUTE };
    PRESENT | write | execute
}
