//! The memory of a PV domain by its list of frames, and what stage0's own tables take of it.

use shared::memory::{PAGE_SIZE, Pfn, Phys, PhysRange, Ram, Region, RegionKind};
use shared::pv::tables::{SLOTS, window_len};

use super::frames::frame;
use super::handed::{PvHanded, PvHandedError};

/// The highest frame, exclusive, that stage0 reaches.
const REACHED: u64 = (4 << 30) / PAGE_SIZE;

/// Memory, and where stage0's tables are in it.
#[derive(Clone, Debug)]
pub struct Room {
    /// RAM as far as stage0 reaches it, without its tables.
    pub ram: Ram,
    /// The window shows frames up to this, exclusive.
    pub frames: u64,
    /// The tables.
    pub place: Place,
}

impl Room {
    /// Room in the frames of `list`: behind all that the builder made, in the last pages that there are.
    pub fn find(list: &[u64], image: PhysRange, handed: &PvHanded) -> Result<Self, PvHandedError> {
        let too_small = PvHandedError::NoRoom { found: list.len() as u64 * PAGE_SIZE };
        let regions = || regions(list);
        let all = Ram::from_regions(regions()).map_err(PvHandedError::Memory)?;
        for (thing, range) in [("stage0", image), ("structures", handed.structures)] {
            if !all.covers(&range) {
                return Err(PvHandedError::NoFrames { thing, range });
            }
        }
        let frames = all.ranges().last().map_or(0, |range| range.end().pfn().0);
        let place = all.ranges().iter().rev().find_map(|range| Place::at_end(*range, frames)).ok_or(too_small)?;
        if place.range.start() < handed.structures.end() {
            return Err(too_small);
        }
        let taken = Region { range: place.range, kind: RegionKind::Other(0) };
        let ram = Ram::from_regions(regions().chain([taken])).map_err(PvHandedError::Memory)?;
        Ok(Self { ram, frames, place })
    }
}

/// Where stage0's tables are.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Whole pages: the window's, of level 1, 2, 3, then the spare ones.
    pub range: PhysRange,
    /// Tables of level 1.
    pub low: u64,
    /// Tables of level 2.
    pub middle: u64,
}

impl Place {
    /// The tables for a window on `frames` frames, in the last pages of `ram`.
    fn at_end(ram: PhysRange, frames: u64) -> Option<Self> {
        let start = ram.end().checked_sub(window_len(frames)).filter(|start| *start >= ram.start())?;
        let low = frames.div_ceil(SLOTS);
        Some(Self { range: PhysRange::new(start, ram.end()).ok()?, low, middle: low.div_ceil(SLOTS) })
    }

    /// Table `n`.
    pub const fn page(&self, n: u64) -> Pfn {
        Pfn(self.range.start().pfn().0 + n)
    }

    /// Spare table `n`.
    pub const fn spare(&self, n: u64) -> Pfn {
        self.page(self.low + self.middle + 1 + n)
    }
}

/// The frames that there are, as far as stage0 reaches: where the list has holes, so has memory.
fn regions(list: &[u64]) -> impl Iterator<Item = Region> + Clone + '_ {
    let count = (list.len() as u64).min(REACHED);
    let is_frame = |pfn: u64| frame(list, Pfn(pfn)).is_some();
    let mut next = 0;
    core::iter::from_fn(move || {
        let start = (next..count).find(|pfn| is_frame(*pfn))?;
        let end = (start..count).find(|pfn| !is_frame(*pfn)).unwrap_or(count);
        next = end;
        let range = PhysRange::new(Phys(start * PAGE_SIZE), Phys(end * PAGE_SIZE)).ok()?;
        Some(Region { range, kind: RegionKind::Ram })
    })
}
