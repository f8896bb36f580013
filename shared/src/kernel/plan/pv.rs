//! The plan for a PV domain.

use super::direct::{check_canonical, check_congruent, check_places};
use super::{Entry, Kernel, Placement, Plan, PlanError, PvLayout, SegmentMap};
use crate::kernel::metadata::Source;
use crate::kernel::{Decisions, EntryRule, Machine, Mapping, Protocol};
use crate::memory::{PAGE_SIZE, PhysRange, Virt, VirtRange};

/// Addresses of a 64-bit PV domain that are the hypervisor's own (`public/arch-x86/xen-x86_64.h`, `__HYPERVISOR_VIRT_START`
/// and `__HYPERVISOR_VIRT_END`).
const HYPERVISOR: (u64, u64) = (0xffff_8000_0000_0000, 0xffff_8800_0000_0000);

impl Kernel {
    /// [`layout_pv`](Self::layout_pv), less what mstrap cannot start.
    pub(super) fn plan_pv(&self, decisions: &Decisions) -> Result<Plan, PlanError> {
        let plan = self.layout_pv(decisions).map_err(|error| {
            // A kernel that has a PVH entry and does not say what PV asks for is not broken.
            match error {
                PlanError::Loader { .. } | PlanError::XenVersion { .. } if self.xen.phys32_entry.is_some() => {
                    PlanError::PvhOnly
                }
                other => other,
            }
        })?;
        if self.machine == Machine::I386 {
            return Err(PlanError::Pv32);
        }
        if let Some(name) = self.xen.features.never_in_pv() {
            return Err(PlanError::NotInPvDomain { name });
        }
        if !plan.extent.start().is_aligned(PAGE_SIZE) {
            return Err(PlanError::StartUnaligned { start: plan.extent.start() });
        }
        let mut plan = plan;
        if decisions.mapping == Mapping::Segments {
            check_segment_map(&plan)?;
            if let Some(pv) = &mut plan.pv {
                pv.segments = segment_map(&plan.placements, pv.virt_base)?;
            }
        }
        Ok(plan)
    }

    /// What libelf makes of a kernel for a PV domain, 32-bit ones too: the same arithmetic, and the same bounds in the
    /// same order.
    pub fn layout_pv(&self, decisions: &Decisions) -> Result<Plan, PlanError> {
        let pv = self.bounds_pv(decisions)?;
        let plan = self.in_one_area(Protocol::Pv, pv.paddr_offset, Entry::Virtual(pv.virt_entry))?;
        Ok(Plan { pv: Some(pv), ..plan })
    }

    /// The same as far as it needs no look at each segment: stage0 has no stack for two plans.
    pub(super) fn bounds_pv(&self, decisions: &Decisions) -> Result<PvLayout, PlanError> {
        self.check_features()?;
        self.check_pv_words(decisions)?;
        if self.xen.paddr_offset.is_some() && self.xen.virt_base.is_none() && decisions.virt_base.is_none() {
            return Err(PlanError::OffsetWithoutBase);
        }
        let base = decisions.virt_base.or(self.xen.virt_base).unwrap_or_default();
        let offset = self.paddr_offset(decisions)?;
        let entry = self.pv_entry(decisions, base);
        let virt_offset = base.0.wrapping_sub(offset);
        let (start, end) = self.paddr_bounds()?;
        let pv = PvLayout {
            virt_base: base,
            paddr_offset: offset,
            virt_kstart: Virt(start.wrapping_add(virt_offset)),
            virt_kend: Virt(end.wrapping_add(virt_offset)),
            virt_entry: entry,
            hypercall_page: self.xen.hypercall_page,
            init_p2m: self.xen.init_p2m,
            hv_start_low: self.xen.hv_start_low,
            mod_start_pfn: self.xen.mod_start_pfn,
            features: self.xen.features.clone(),
            pae: self.xen.pae,
            segments: SegmentMap::new(),
        };
        check_bounds(&pv)?;
        self.check_p2m(pv.virt_kstart, pv.virt_kend)?;
        Ok(pv)
    }

    /// What the notes or the string must say for a PV domain. A kernel that says nothing is taken only with a virtual
    /// base that a person gave.
    fn check_pv_words(&self, decisions: &Decisions) -> Result<(), PlanError> {
        if self.xen.source == Source::None {
            return if decisions.virt_base.is_some() { Ok(()) } else { Err(PlanError::NotXen) };
        }
        if !self.xen.loader.starts_with("generic") && !self.xen.guest_os.starts_with("linux") {
            let (loader, guest_os) = (self.xen.loader.clone(), self.xen.guest_os.clone());
            return Err(PlanError::Loader { loader, guest_os });
        }
        if !self.xen.xen_version.starts_with("xen-3.0") {
            return Err(PlanError::XenVersion { found: self.xen.xen_version.clone() });
        }
        Ok(())
    }

    /// The note's entry, else `e_entry` as virtual; or what a person decided that `e_entry` is.
    fn pv_entry(&self, decisions: &Decisions, base: Virt) -> Virt {
        match decisions.entry {
            EntryRule::Notes => self.xen.virt_entry.unwrap_or(Virt(self.elf_entry)),
            EntryRule::Virtual => Virt(self.elf_entry),
            EntryRule::Physical => Virt(self.elf_entry.wrapping_add(base.0)),
        }
    }
}

/// libelf's bounds (`elf_xen_addr_calc_check`). An entry right behind the kernel passes there too.
fn check_bounds(pv: &PvLayout) -> Result<(), PlanError> {
    let (start, end, entry) = (pv.virt_kstart, pv.virt_kend, pv.virt_entry);
    if start > end || pv.virt_base > start {
        return Err(PlanError::VirtBounds { base: pv.virt_base, start, end });
    }
    if entry < start || entry > end {
        return Err(PlanError::EntryOutside { entry: entry.0, start: start.0, end: end.0 });
    }
    Ok(())
}

/// Whether each segment can be mapped at its own `p_vaddr` beside the linear mapping.
fn check_segment_map(plan: &Plan) -> Result<(), PlanError> {
    let linear = plan.pv.as_ref().and_then(|pv| VirtRange::new(pv.virt_base, pv.virt_kend).ok()).unwrap_or_default();
    let base = linear.start().0;
    for placement in plan.placements.iter().filter(|placement| !placement.memory.is_empty()) {
        check_congruent(placement)?;
        let range = check_canonical(placement)?;
        let (index, virt) = (placement.index, placement.virt);
        if range.start().0 < HYPERVISOR.1 && range.end().0 > HYPERVISOR.0 {
            return Err(PlanError::InHypervisor { index, virt });
        }
        let is_linear = placement.memory.start().0.wrapping_add(base) == virt.0;
        if range.overlaps(&linear) && !is_linear {
            return Err(PlanError::InLinearMap { index, virt });
        }
    }
    check_places(&plan.placements)
}

/// What is mapped beside the linear mapping; segments that share pages, or touch, in both memory and addresses are one.
fn segment_map(placements: &[Placement], base: Virt) -> Result<SegmentMap, PlanError> {
    let mut map = SegmentMap::new();
    for placement in placements.iter().filter(|placement| !placement.memory.is_empty()) {
        let offset = placement.virt.0.wrapping_sub(placement.memory.start().0);
        let mut pages = placement.memory.page_hull().unwrap_or_default();
        if offset == base.0 {
            continue;
        }
        let is_apart = |pages: PhysRange, (virt, other): &(Virt, PhysRange)| {
            let same = virt.0.wrapping_sub(other.start().0) == offset;
            !same || pages.end() < other.start() || other.end() < pages.start()
        };
        // A merged range may touch one that the segment itself did not.
        while let Some(at) = map.iter().position(|other| !is_apart(pages, other)) {
            pages = pages.hull(&map.swap_remove(at).1);
        }
        let entry = (Virt(pages.start().0.wrapping_add(offset)), pages);
        map.push(entry).map_err(|_| PlanError::TooManyMaps { index: placement.index })?;
    }
    Ok(map)
}
