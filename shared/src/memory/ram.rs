//! Which guest-physical memory is RAM.

use core::fmt;

use super::{PAGE_SIZE, Phys, PhysRange};
use crate::xen::MEMMAP_RAM;

/// Most regions of a memory map. Linux takes 128 from PVH start_info, and no builder gives more.
pub const MAX_REGIONS: usize = 128;

/// What a region of a memory map is. The numbers are those of E820 and of Xen's hvm_memmap_table_entry
/// (public/arch-x86/hvm/start_info.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegionKind {
    /// Usable memory: type 1.
    Ram,
    /// Any other type: nothing that a loader may touch.
    Other(u32),
}

impl RegionKind {
    /// The kind that `number` stands for.
    pub const fn from_number(number: u32) -> Self {
        match number {
            MEMMAP_RAM => Self::Ram,
            other => Self::Other(other),
        }
    }
}

/// One region of a memory map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// Where it lies.
    pub range: PhysRange,
    /// What it is.
    pub kind: RegionKind,
}

/// A memory map with more regions, or more holes, than are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyRegions;

impl fmt::Display for TooManyRegions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory map too long: builder's memory map, expected at most {MAX_REGIONS} regions, found more")
    }
}

impl core::error::Error for TooManyRegions {}

/// The RAM of a memory map: whole pages, in order, without overlap. Where a map names a byte twice, it is RAM only if
/// no region says otherwise.
#[derive(Clone, Default, Debug)]
pub struct Ram {
    ranges: heapless::Vec<PhysRange, MAX_REGIONS>,
}

impl Ram {
    /// The RAM of `regions`, in whatever order they stand.
    pub fn from_regions(regions: impl Iterator<Item = Region> + Clone) -> Result<Self, TooManyRegions> {
        let mut ram = Self::default();
        for region in regions.clone().filter(|region| region.kind == RegionKind::Ram) {
            ram.add(region.range)?;
        }
        for region in regions.filter(|region| region.kind != RegionKind::Ram) {
            ram.remove(region.range)?;
        }
        Ok(ram)
    }

    /// The ranges of RAM, lowest first.
    pub fn ranges(&self) -> &[PhysRange] {
        &self.ranges
    }

    /// Bytes of RAM in all.
    pub fn total(&self) -> u64 {
        self.ranges.iter().map(PhysRange::len).sum()
    }

    /// Whether every byte of `range` is RAM.
    pub fn covers(&self, range: &PhysRange) -> bool {
        range.is_empty() || self.ranges.iter().any(|ram| ram.covers(range))
    }

    /// Whether a byte of `range` is RAM.
    pub fn overlaps(&self, range: &PhysRange) -> bool {
        self.ranges.iter().any(|ram| ram.overlaps(range))
    }

    /// Adds the whole pages of `range`, merging it with what it touches.
    fn add(&mut self, range: PhysRange) -> Result<(), TooManyRegions> {
        let Some(start) = range.start().align_up(PAGE_SIZE) else { return Ok(()) };
        let Ok(mut added) = PhysRange::new(start, range.end().align_down(PAGE_SIZE)) else { return Ok(()) };
        if added.is_empty() {
            return Ok(());
        }
        let touches = |ram: &PhysRange, added: &PhysRange| ram.start() <= added.end() && added.start() <= ram.end();
        // RAM ranges never touch each other, so that what `added` touches after it has grown it touched before.
        let wanted = added;
        for ram in self.ranges.iter().filter(|ram| touches(ram, &wanted)) {
            added = added.hull(ram);
        }
        self.ranges.retain(|ram| !touches(ram, &wanted));
        let at = self.ranges.partition_point(|ram| ram.start() < added.start());
        self.ranges.insert(at, added).map_err(|_| TooManyRegions)
    }

    /// Removes every page of which `range` has a byte.
    fn remove(&mut self, range: PhysRange) -> Result<(), TooManyRegions> {
        let hole_start = range.start().align_down(PAGE_SIZE);
        let hole_end = range.end().align_up(PAGE_SIZE).unwrap_or(Phys(u64::MAX));
        let Ok(hole) = PhysRange::new(hole_start, hole_end) else { return Ok(()) };
        for ram in core::mem::take(&mut self.ranges) {
            if range.is_empty() || !ram.overlaps(&hole) {
                self.ranges.push(ram).map_err(|_| TooManyRegions)?;
                continue;
            }
            let below = PhysRange::new(ram.start(), hole.start());
            let above = PhysRange::new(hole.end(), ram.end());
            for rest in [below, above].into_iter().flatten().filter(|rest| !rest.is_empty()) {
                self.ranges.push(rest).map_err(|_| TooManyRegions)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, end: u64, number: u32) -> Region {
        let range = PhysRange::new(Phys(start), Phys(end)).unwrap();
        Region { range, kind: RegionKind::from_number(number) }
    }

    fn ram(regions: &[Region]) -> std::vec::Vec<(u64, u64)> {
        let ram = Ram::from_regions(regions.iter().copied()).unwrap();
        ram.ranges().iter().map(|range| (range.start().0, range.end().0)).collect()
    }

    #[test]
    fn only_whole_pages_of_ram_count() {
        assert_eq!(ram(&[region(0, 0x9fc00, 1), region(0x9fc00, 0xa0000, 2)]), [(0, 0x9f000)]);
        assert_eq!(ram(&[region(0x10, 0x20, 1)]), []);
    }

    #[test]
    fn order_and_overlap_do_not_matter() {
        let regions =
            [region(0x8000, 0x10000, 1), region(0x9000, 0x9001, 4), region(0, 0x4000, 1), region(0x4000, 0x9800, 1)];
        assert_eq!(ram(&regions), [(0, 0x9000), (0xa000, 0x10000)]);
    }

    #[test]
    fn an_empty_reserved_region_removes_nothing() {
        assert_eq!(ram(&[region(0, 0x4000, 1), region(0x2000, 0x2000, 2)]), [(0, 0x4000)]);
    }

    #[test]
    fn a_map_with_too_many_holes_is_refused() {
        let holes = (0..MAX_REGIONS as u64).map(|n| region(0x10000 + n * 0x2000, 0x10000 + n * 0x2000 + 1, 2));
        let regions = [region(0, 1 << 30, 1)].into_iter().chain(holes);
        assert_eq!(Ram::from_regions(regions).err(), Some(TooManyRegions));
    }
}
