//! The frames of a PV domain: which machine frame has which number, and what of it the window shows.
//!
//! Moving is renaming: a machine frame gets another number, and nothing is copied. Virtual addresses are not affected, but
//! for the window's, which follow the numbers.

use shared::memory::{PAGE_SIZE, Pfn, PhysRange};
use shared::xen::pv::{INVALID_P2M_ENTRY, MMU_MACHPHYS_UPDATE, MmuUpdate};

use crate::platform::no_execute;

/// A machine frame's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mfn(pub u64);

impl Mfn {
    /// An entry of a page table for it.
    pub const fn entry(self, flags: u64) -> u64 {
        self.0 << 12 | flags
    }
}

/// Entries of page tables, as a builder writes them (xg_dom_x86.c: `L1_PROT`, `L2_PROT`): present, accessed, and writable.
pub const PAGE: u64 = 0x23;
/// The same, not writable.
pub const PAGE_READ_ONLY: u64 = 0x21;
/// In an entry: the page was written.
pub const DIRTY: u64 = 0x40;
/// An entry for a table: present, writable, user, accessed, dirty.
pub const TABLE: u64 = 0x67;

/// What the window shows of a frame that moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// Its bytes.
    Shown,
    /// Nothing: stage0 stands on it, or it is a page table.
    Hidden,
    /// Whatever it showed at that number before: nobody looks any more.
    Stale,
}

/// By whom numbers of frames and entries of the window are changed.
pub trait Updates {
    /// Carries out `updates`, in their order.
    fn update(&mut self, updates: &[MmuUpdate]);

    /// Lets all that was updated be seen.
    fn flush(&mut self);
}

/// The frames.
#[derive(Debug)]
pub struct Frames<'a, U> {
    /// The builder's list, which stage0 keeps up to date.
    list: &'a mut [u64],
    /// The window's tables of the lowest level, one behind the other.
    tables: Pfn,
    updates: heapless::Vec<MmuUpdate, 128>,
    by: U,
}

impl<'a, U: Updates> Frames<'a, U> {
    /// The frames of the builder's `list`. `tables` is where the window's tables of the lowest level are; `by` changes them.
    pub fn new(list: &'a mut [u64], tables: Pfn, by: U) -> Self {
        Self { list, tables, updates: heapless::Vec::new(), by }
    }

    /// The list of frames.
    pub fn list(&self) -> &[u64] {
        self.list
    }

    /// The machine frame of `pfn`; `None` where there is none.
    pub fn mfn(&self, pfn: Pfn) -> Option<Mfn> {
        frame(self.list, pfn)
    }

    /// The number in `range` that the machine frame has.
    pub fn find(&self, mfn: Mfn, range: PhysRange) -> Option<Pfn> {
        (range.start().pfn().0..range.end().pfn().0).map(Pfn).find(|pfn| self.mfn(*pfn) == Some(mfn))
    }

    /// Moves the frames of `from` (whole pages) to the numbers of `to`, as many; those that were there take their place. The
    /// ranges may overlap: then what does not move is shifted to where `from` was and `to` is not.
    pub fn relocate(&mut self, from: PhysRange, to: PhysRange, view: View) {
        let (source, target) = (from.start().pfn().0, to.start().pfn().0);
        let count = from.len() / PAGE_SIZE;
        for n in 0..count {
            // From the end that does not run into what is still to be moved.
            let n = if target > source { count - 1 - n } else { n };
            self.swap(Pfn(source + n), Pfn(target + n), view);
        }
        self.flush();
    }

    fn swap(&mut self, from: Pfn, to: Pfn, view: View) {
        let (Some(moved), Some(other)) = (self.mfn(from), self.mfn(to)) else { return };
        if from == to {
            return;
        }
        for (pfn, mfn) in [(to, moved), (from, other)] {
            if let Some(entry) = usize::try_from(pfn.0).ok().and_then(|at| self.list.get_mut(at)) {
                *entry = mfn.0;
            }
            self.push(MmuUpdate { ptr: mfn.0 << 12 | MMU_MACHPHYS_UPDATE, val: pfn.0 });
        }
        if view != View::Stale {
            let shown = if view == View::Hidden { 0 } else { shown(moved) };
            self.set_window(to, shown);
            self.set_window(from, self::shown(other));
        }
    }

    /// Lets the window show nothing of these frames.
    pub fn hide(&mut self, frames: impl Iterator<Item = Pfn>) {
        frames.for_each(|pfn| self.set_window(pfn, 0));
        self.flush();
    }

    fn set_window(&mut self, pfn: Pfn, entry: u64) {
        if let Some(table) = self.mfn(Pfn(self.tables.0 + pfn.0 / 512)) {
            self.push(MmuUpdate { ptr: (table.0 << 12) + pfn.0 % 512 * 8, val: entry });
        }
    }

    fn push(&mut self, update: MmuUpdate) {
        if self.updates.push(update).is_err() {
            self.send();
            // There is room again.
            let _ = self.updates.push(update);
        }
    }

    /// Carries out what is to be done.
    pub fn flush(&mut self) {
        self.send();
        self.by.flush();
    }

    fn send(&mut self) {
        if !self.updates.is_empty() {
            self.by.update(&self.updates);
            self.updates.clear();
        }
    }
}

/// The machine frame of `pfn` by `list`; `None` where there is none.
pub(super) fn frame(list: &[u64], pfn: Pfn) -> Option<Mfn> {
    let entry = usize::try_from(pfn.0).ok().and_then(|at| list.get(at)).copied();
    entry.filter(|mfn| *mfn != INVALID_P2M_ENTRY).map(Mfn)
}

/// The window's entry for a frame.
pub(super) fn shown(mfn: Mfn) -> u64 {
    mfn.entry(PAGE | no_execute())
}
