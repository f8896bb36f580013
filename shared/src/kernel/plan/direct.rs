//! The plan for mstrap's own protocol: each segment mapped at its `p_vaddr`.

use super::{Entry, Kernel, MAX_KERNEL_AREA, Placement, Plan, PlanError};
use crate::kernel::segment::MAX_SEGMENTS;
use crate::kernel::{Class, Decisions, EntryRule, Protocol};
use crate::memory::{PAGE_SIZE, Phys, PhysRange, Virt, VirtRange};

/// Where the canonical addresses of four-level paging end below and go on above (Intel SDM volume 1, 3.3.7.1).
pub(crate) const CANONICAL: (u64, u64) = (0x0000_8000_0000_0000, 0xffff_8000_0000_0000);
/// The first address that 32-bit code cannot reach.
pub(crate) const END_32: u64 = 1 << 32;

impl Kernel {
    /// Segments at their `p_paddr` less the offset, mapped at their `p_vaddr`; entry by `e_entry`.
    pub(super) fn plan_direct(&self, decisions: &Decisions) -> Result<Plan, PlanError> {
        let (offset, pie) = match self.dynamic {
            Some(dynamic) => self.pie(dynamic, decisions).map(|(offset, pie)| (offset, Some(pie)))?,
            None => (self.paddr_offset(decisions)?, None),
        };
        let mut placements = self.placements(offset, pie.is_some())?;
        if let Some(pie) = &pie {
            pie.map(&mut placements)?;
        }
        for placement in placements.iter().filter(|placement| !placement.memory.is_empty()) {
            check_placement(self.class, placement)?;
        }
        check_places(&placements)?;
        check_access(&placements)?;
        let entry = self.direct_entry(decisions, &placements, pie.map_or(0, |pie| pie.bias))?;
        let areas = areas(&placements)?;
        self.check_placed(areas.iter().map(PhysRange::len).sum())?;
        let hull = |extent: PhysRange, placement: &Placement| extent.hull(&placement.memory);
        Ok(Plan {
            protocol: Protocol::Direct,
            class: self.class,
            extent: placements.iter().fold(PhysRange::default(), hull),
            areas,
            placements,
            symbols: None,
            entry,
            relocation: None,
            pv: None,
            linux: self.xen.is_linux(),
            pie,
        })
    }

    /// What `e_entry` is: virtual if a segment's `p_vaddr` range holds it, else physical if a `p_paddr` range does; or
    /// only what a person decided.
    /// `bias` is what the segments' `p_vaddr` are above the file's.
    fn direct_entry(&self, decisions: &Decisions, placements: &[Placement], bias: u64) -> Result<Entry, PlanError> {
        let entry = self.elf_entry;
        let is_in = |entry: u64, start: u64, placement: &Placement| {
            entry.checked_sub(start).is_some_and(|distance| distance < placement.memory.len())
        };
        let virt = Virt(entry.wrapping_add(bias));
        let at_virtual = placements.iter().find(|placement| is_in(virt.0, placement.virt.0, placement));
        let paddrs = || self.segments.iter().zip(placements);
        let physical = || paddrs().find(|(segment, placement)| is_in(entry, segment.paddr, placement));
        let (found, placement) = match (at_virtual, physical()) {
            (Some(placement), _) if decisions.entry != EntryRule::Physical => (Entry::Virtual(virt), placement),
            (_, Some((segment, placement))) if decisions.entry != EntryRule::Virtual => {
                let place = placement.memory.start().0.wrapping_add(entry.wrapping_sub(segment.paddr));
                let shadow = |other: &&Placement| {
                    let elsewhere = !other.memory.is_empty() && other.virt.0 != other.memory.start().0;
                    elsewhere && share_page(virt_pages(other), pages(place, 1))
                };
                if let Some(Placement { index, .. }) = placements.iter().find(shadow) {
                    return Err(PlanError::EntryShadowed { entry, index: *index });
                }
                (Entry::Physical(Phys(place)), placement)
            }
            _ => return Err(PlanError::EntryNowhere { entry }),
        };
        if placement.access.execute { Ok(found) } else { Err(PlanError::EntryData { entry, index: placement.index }) }
    }
}

impl Plan {
    /// Whether every segment can be mapped where it is to be.
    pub(super) fn check_direct(&self) -> Result<(), PlanError> {
        let mut placed = self.placements.iter().filter(|placement| !placement.memory.is_empty());
        placed.try_for_each(|placement| check_placement(self.class, placement))
    }
}

/// Whether a segment can be mapped at its address in the mode that the class is entered in.
fn check_placement(class: Class, placement: &Placement) -> Result<(), PlanError> {
    check_congruent(placement)?;
    let virt = check_canonical(placement)?;
    let (index, memory) = (placement.index, placement.memory);
    if class == Class::Elf32 && (virt.end().0 > END_32 || memory.end().0 > END_32) {
        return Err(PlanError::Beyond32 { index, virt: placement.virt, phys: memory.start() });
    }
    Ok(())
}

/// Whether a page of the file's address is a page of its place.
pub(super) fn check_congruent(placement: &Placement) -> Result<(), PlanError> {
    let (virt, phys) = (placement.virt, placement.memory.start());
    if virt.0 % PAGE_SIZE == phys.0 % PAGE_SIZE {
        return Ok(());
    }
    Err(PlanError::Incongruent { index: placement.index, virt, phys })
}

/// The virtual addresses of a segment that is mapped at its `p_vaddr`.
pub(super) fn check_canonical(placement: &Placement) -> Result<VirtRange, PlanError> {
    match VirtRange::sized(placement.virt, placement.memory.len()) {
        Ok(range) if range.end().0 <= CANONICAL.0 || range.start().0 >= CANONICAL.1 => Ok(range),
        _ => Err(PlanError::NotCanonical { index: placement.index, virt: placement.virt }),
    }
}

/// Refuses two segments that want different memory at the same virtual page. The ranges are known to exist.
pub(super) fn check_places(placements: &[Placement]) -> Result<(), PlanError> {
    for (first, second) in pairs(placements) {
        let same_place =
            first.virt.0.wrapping_sub(first.memory.start().0) == second.virt.0.wrapping_sub(second.memory.start().0);
        if !same_place && share_page(virt_pages(first), virt_pages(second)) {
            let (first, second, page) = (first.index, second.index, second.virt.align_down(PAGE_SIZE));
            return Err(PlanError::SharedPlace { first, second, page });
        }
    }
    Ok(())
}

/// Refuses two segments that share a page of memory and ask for different access to it.
fn check_access(placements: &[Placement]) -> Result<(), PlanError> {
    for (first, second) in pairs(placements) {
        if first.access != second.access && share_page(phys_pages(first), phys_pages(second)) {
            let page = first.memory.start().max(second.memory.start()).align_down(PAGE_SIZE);
            return Err(PlanError::SharedAccess { first: first.index, second: second.index, page });
        }
    }
    Ok(())
}

/// Every pair of segments that are not empty, in order.
fn pairs(placements: &[Placement]) -> impl Iterator<Item = (&Placement, &Placement)> {
    let all = placements.iter().enumerate().filter(|(_, placement)| !placement.memory.is_empty());
    all.clone().flat_map(move |(number, first)| {
        let later = all.clone().filter(move |(other, _)| *other > number);
        later.map(move |(_, second)| (first, second))
    })
}

/// First and last page number of `len` bytes, at least one, from `start` on.
const fn pages(start: u64, len: u64) -> (u64, u64) {
    (start / PAGE_SIZE, start.saturating_add(len - 1) / PAGE_SIZE)
}

fn virt_pages(placement: &Placement) -> (u64, u64) {
    pages(placement.virt.0, placement.memory.len())
}

fn phys_pages(placement: &Placement) -> (u64, u64) {
    pages(placement.memory.start().0, placement.memory.len())
}

const fn share_page(first: (u64, u64), second: (u64, u64)) -> bool {
    first.0 <= second.1 && second.0 <= first.1
}

/// The pages of all segments: sorted, those that overlap made one.
fn areas(placements: &[Placement]) -> Result<heapless::Vec<PhysRange, MAX_SEGMENTS>, PlanError> {
    let mut areas: heapless::Vec<PhysRange, MAX_SEGMENTS> = heapless::Vec::new();
    for placement in placements.iter().filter(|placement| !placement.memory.is_empty()) {
        let memory = placement.memory;
        let too_large = || PlanError::AreaTooLarge { start: memory.start().0, end: memory.end().0 };
        let mut area = memory.page_hull().map_err(|_| too_large())?;
        areas.retain(|other| {
            let overlaps = other.overlaps(&area);
            if overlaps {
                area = area.hull(other);
            }
            !overlaps
        });
        if area.len() > MAX_KERNEL_AREA {
            return Err(too_large());
        }
        // There are at most as many areas as segments, so the table has room.
        let at = areas.iter().take_while(|other| **other < area).count();
        areas.insert(at, area).map_err(|_| too_large())?;
    }
    Ok(areas)
}
