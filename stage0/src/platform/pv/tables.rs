//! stage0's own page tables in a PV domain, added to the builder's: the window, and a place for one page anywhere.

use shared::memory::{PAGE_SIZE, Pfn, Phys, PhysRange, Virt};
use shared::pv::tables::{SLOTS, index};
use shared::xen::pv::MmuUpdate;

use super::calls::{ByXen, map, update};
use super::frames::{Mfn, TABLE, Updates, frame, shown};
use super::room::Place;
use crate::entry::WINDOW;
use crate::platform::VIRT_BASE;

/// A page of stage0's whose address shows other frames for a while.
#[repr(C, align(4096))]
struct Page([u64; SLOTS as usize]);
static mut SCRATCH: Page = Page([0; SLOTS as usize]);

/// The address that shows other frames for a while.
pub(super) fn scratch() -> Virt {
    Virt((&raw const SCRATCH).expose_provenance() as u64)
}

/// Fills tables that are in no use yet, by the list of frames.
pub(super) struct Filler<'a> {
    list: &'a [u64],
    own: Mfn,
}

impl<'a> Filler<'a> {
    /// With `list`, and `own` as the frame that the scratch page has by itself.
    pub(super) const fn new(list: &'a [u64], own: Mfn) -> Self {
        Self { list, own }
    }

    fn mfn(&self, pfn: Pfn) -> Option<Mfn> {
        frame(self.list, pfn)
    }

    /// An entry that leads to the table in `pfn`.
    fn to(&self, pfn: Pfn) -> u64 {
        self.mfn(pfn).map_or(0, |mfn| mfn.entry(TABLE))
    }

    fn fill(&self, table: Pfn, entry: impl Fn(u64) -> u64) {
        let Some(mfn) = self.mfn(table) else { return };
        // SAFETY: the scratch page is nobody's, and the frame is set aside for a table.
        unsafe { map(scratch(), shown(mfn)) };
        for n in 0..SLOTS {
            let at = (&raw mut SCRATCH).cast::<u64>();
            // SAFETY: within the scratch page, which is mapped writable.
            unsafe { at.add(n as usize).write_volatile(entry(n)) };
        }
    }
}

impl Drop for Filler<'_> {
    fn drop(&mut self) {
        // SAFETY: the page gets its own frame again.
        unsafe { map(scratch(), shown(self.own)) };
    }
}

/// Fills the window's tables, which show `frames` frames but for the `hidden` ones and themselves; gives the entry that leads to
/// them from the top.
pub(super) fn fill_window(filler: &Filler<'_>, place: &Place, frames: u64, hidden: &[PhysRange]) -> u64 {
    let is_hidden = |pfn: u64| {
        let at = Phys(pfn * PAGE_SIZE);
        place.range.contains(at) || hidden.iter().any(|range| range.contains(at))
    };
    for table in 0..place.low {
        filler.fill(place.page(table), |n| {
            let pfn = table * SLOTS + n;
            let mfn = filler.mfn(Pfn(pfn)).filter(|_| pfn < frames && !is_hidden(pfn));
            mfn.map_or(0, shown)
        });
    }
    let leads = |first: u64, count: u64, table: u64| {
        move |n: u64| Some(table * SLOTS + n).filter(|child| *child < count).map(|child| place.page(first + child))
    };
    let to = |pfn: Option<Pfn>| pfn.map_or(0, |pfn| filler.to(pfn));
    for table in 0..place.middle {
        let child = leads(0, place.low, table);
        filler.fill(place.page(place.low + table), |n| to(child(n)));
    }
    let child = leads(place.low, place.middle, 0);
    let top = place.page(place.low + place.middle);
    filler.fill(top, |n| to(child(n)));
    filler.to(top)
}

/// The builder's tables: where they are mapped, and what their frames are numbered now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Builders {
    /// The top one's address; the others follow.
    pub base: Virt,
    /// The top one's number.
    pub first: Pfn,
    /// How many.
    pub count: u64,
}

impl Builders {
    /// The entry for `at` of a table of `level`, and whether it leads anywhere.
    fn entry(&self, table: u64, level: u32, at: Virt) -> u64 {
        let pointer = core::ptr::with_exposed_provenance::<u64>((self.base.0 + table * PAGE_SIZE) as usize);
        // SAFETY: the builder maps its tables, read-only, from `base` on, and the number is below their count.
        unsafe { pointer.add(index(level, at)).read_volatile() }
    }

    /// Makes sure that there is a table of the lowest level for `at`; false if that is in tables other than the builder's.
    pub(super) fn reach(&self, list: &[u64], own: Mfn, place: &Place, at: Virt) -> bool {
        let filler = Filler::new(list, own);
        let mut table = 0;
        for level in (2..=4).rev() {
            let entry = self.entry(table, level, at);
            if entry & 1 == 0 {
                let chain = chain(&filler, place, level, at);
                drop(filler);
                let Some(mfn) = frame(list, Pfn(self.first.0 + table)) else { return false };
                let ptr = (mfn.0 << 12) + index(level, at) as u64 * 8;
                // SAFETY: the entry was not present, and what it leads to maps nothing.
                unsafe { update(&[MmuUpdate { ptr, val: chain }]) };
                return true;
            }
            let Some(found) = self.numbered(list, entry) else { return false };
            table = found;
        }
        true
    }

    /// Which table an entry leads to.
    fn numbered(&self, list: &[u64], entry: u64) -> Option<u64> {
        let mfn = Mfn(entry >> 12 & 0xff_ffff_ffff);
        (0..self.count).find(|n| frame(list, Pfn(self.first.0 + n)) == Some(mfn))
    }

    /// The table of the lowest level for `at`.
    fn lowest(&self, list: &[u64], at: Virt) -> Option<u64> {
        (2..=4).rev().try_fold(0, |table, level| {
            let entry = self.entry(table, level, at);
            (entry & 1 != 0).then(|| self.numbered(list, entry)).flatten()
        })
    }

    /// Unmaps all that the builder mapped from the image's base on, but for what is `kept`: a frame that is mapped writable
    /// anywhere makes no page table. There are at most as many tables as the builder has.
    pub(super) fn keep_only(&self, list: &[u64], kept: &[PhysRange]) {
        let mut updates: heapless::Vec<MmuUpdate, 128> = heapless::Vec::new();
        for slot in 0..self.count {
            let Some(start) = Virt(VIRT_BASE).checked_add(slot * SLOTS * PAGE_SIZE) else { break };
            let Some(table) = self.lowest(list, start) else { break };
            let Some(mfn) = frame(list, Pfn(self.first.0 + table)) else { break };
            for n in 0..SLOTS {
                let at = Phys((slot * SLOTS + n) * PAGE_SIZE);
                if kept.iter().any(|range| range.contains(at)) {
                    continue;
                }
                let update = MmuUpdate { ptr: (mfn.0 << 12) + n * 8, val: 0 };
                if let Err(update) = updates.push(update) {
                    // SAFETY: what was mapped there nobody holds.
                    unsafe { self::update(&updates) };
                    updates.clear();
                    // There is room again.
                    let _ = updates.push(update);
                }
            }
        }
        // SAFETY: as above.
        unsafe { update(&updates) };
        ByXen.flush();
    }
}

/// Tables of the levels below `level` that lead to `at`, which they map to nothing; gives the entry for the first.
fn chain(filler: &Filler<'_>, place: &Place, level: u32, at: Virt) -> u64 {
    let mut below = 0;
    for level in 1..level {
        let table = place.spare(u64::from(level) - 1);
        filler.fill(table, |n| if n == index(level, at) as u64 { below } else { 0 });
        below = filler.to(table);
    }
    below
}

/// Hooks the window into the builder's top table.
pub(super) fn hook_window(list: &[u64], builders: &Builders, entry: u64) -> bool {
    let Some(top) = frame(list, builders.first) else { return false };
    let ptr = (top.0 << 12) + index(4, WINDOW) as u64 * 8;
    // SAFETY: nothing was mapped in the window, which is the only thing that the entry leads to.
    unsafe { update(&[MmuUpdate { ptr, val: entry }]) };
    true
}
