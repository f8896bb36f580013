//! What the direct protocol maps, and what it leaves in memory for it. Pure arithmetic over ranges.
//!
//! Each segment is mapped at its `p_vaddr`, with the access that it asks for. RAM is mapped 1:1, written and never
//! executed; where a segment's addresses are RAM's too, the segment is what is there. At its 1:1 address a segment's memory
//! has the segment's access, less execution, which only an entry by physical address keeps.

mod block;
mod tables;
#[cfg(test)]
mod tests;

pub use block::{Block, STACK_LEN};

use crate::kernel::plan::{CANONICAL, END_32};
use crate::kernel::{Access, Class, Entry, Placement, Plan};
use crate::memory::{PAGE_SIZE, Phys, PhysRange, Ram};

/// All that decides what is mapped where.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// The kernel's plan, for the direct protocol.
    pub plan: &'a Plan,
    /// The domain's RAM.
    pub ram: &'a Ram,
    /// What stage0 leaves behind, if it has a place already.
    pub block: Block,
    /// Whether the processor has pages of 1 GiB.
    pub gib_pages: bool,
}

/// Addresses in a row that lead to memory in a row by the same access, or all of them nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// First address, of a page.
    pub first: u64,
    /// Last address, of a page's last byte.
    pub last: u64,
    /// Where the first address leads, and by which access. What is mapped can be read.
    pub to: Option<(Phys, Access)>,
}

/// What RAM is mapped for.
const DATA: Access = Access { read: true, write: true, execute: false };
/// What the page with the last instructions is mapped for.
const CODE: Access = Access { read: true, write: false, execute: true };

impl<'a> Map<'a> {
    /// All addresses that there are, lowest first, in runs that are as long as can be.
    pub fn runs(self) -> impl Iterator<Item = Run> + use<'a> {
        let mut next = Some(0);
        core::iter::from_fn(move || {
            let mut run = self.run_at(next?);
            while run.last < self.last_address() {
                let behind = self.run_at(run.last + 1);
                let continued = run.to.map(|(start, access)| (Phys(start.0 + (behind.first - run.first)), access));
                if behind.to != continued {
                    break;
                }
                run.last = behind.last;
            }
            next = (run.last < self.last_address()).then(|| run.last + 1);
            Some(run)
        })
    }

    const fn last_address(&self) -> u64 {
        match self.plan.class {
            Class::Elf32 => END_32 - 1,
            Class::Elf64 => u64::MAX,
        }
    }

    /// From `at` on, up to where anything at all begins or ends.
    fn run_at(&self, at: u64) -> Run {
        let mut run = Run { first: at, last: self.last_address(), to: None };
        for placement in self.placements() {
            if run.ends_with(page_range(placement.virt.0, placement.memory.len())) {
                let offset = at.wrapping_sub(placement.virt.0);
                let access = Access { read: true, ..placement.access };
                run.to = Some((Phys(placement.memory.start().0.wrapping_add(offset)), access));
            }
        }
        if run.to.is_some() || (self.plan.class == Class::Elf64 && run.ends_with((CANONICAL.0, CANONICAL.1 - 1))) {
            return run;
        }
        let is_ram = self.ram.ranges().iter().filter(|ram| run.ends_with(of_phys(ram))).count() > 0;
        if is_ram {
            run.to = Some((Phys(at), DATA));
            for placement in self.placements() {
                if run.ends_with(of_phys(&placement.memory)) {
                    let execute = placement.access.execute && matches!(self.plan.entry, Entry::Physical(_));
                    run.to = Some((Phys(at), Access { read: true, write: placement.access.write, execute }));
                }
            }
            if run.ends_with(of_phys(&self.block.trampoline())) {
                run.to = Some((Phys(at), CODE));
            }
            if run.ends_with(of_phys(&self.block.guard())) {
                run.to = None;
            }
        }
        run
    }

    fn placements(&self) -> impl Iterator<Item = &'a Placement> + use<'a> {
        self.plan.placements.iter().filter(|placement| !placement.memory.is_empty())
    }
}

impl Run {
    /// Ends the run where something does that is at `pages`, first and last address, or before it. Whether the run is in it.
    fn ends_with(&mut self, pages: (u64, u64)) -> bool {
        let (first, last) = pages;
        if first > last || last < self.first {
            return false;
        }
        let inside = first <= self.first;
        self.last = self.last.min(if inside { last } else { first - 1 });
        inside
    }
}

/// First and last address of the pages that hold `len` bytes, at least one, from `start` on.
fn page_range(start: u64, len: u64) -> (u64, u64) {
    (start & !(PAGE_SIZE - 1), start.saturating_add(len - 1) | (PAGE_SIZE - 1))
}

/// The same for memory; for none, what holds nothing.
fn of_phys(range: &PhysRange) -> (u64, u64) {
    if range.is_empty() { (1, 0) } else { page_range(range.start().0, range.len()) }
}

/// The memory whose 1:1 addresses lead to a segment: what the kernel is handed is not there.
pub fn shadows(plan: &Plan) -> impl Iterator<Item = PhysRange> + '_ {
    plan.placements.iter().filter(|placement| !placement.memory.is_empty()).filter_map(|placement| {
        let (first, last) = page_range(placement.virt.0, placement.memory.len());
        PhysRange::new(Phys(first), Phys(last.checked_add(1)?)).ok()
    })
}
