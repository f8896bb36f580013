//! The plan for a PVH domain.

use super::{Decision, Entry, Kernel, Plan, PlanError, Relocation};
use crate::kernel::metadata::Source;
use crate::kernel::{Decisions, EntryRule, Machine, Mapping, Protocol};
use crate::memory::{PAGE_SIZE, Phys, Virt};

/// Alignment of a kernel that says PHYS32_RELOC without one, if its segments do not say more than a page
/// (`public/elfnote.h`).
const DEFAULT_ALIGN: u64 = 2 << 20;

impl Kernel {
    /// Segments at their `p_paddr`, entry at PHYS32_ENTRY. What a person decided of virtual addresses is refused: there
    /// are none.
    pub(super) fn plan_pvh(&self, decisions: &Decisions) -> Result<Plan, PlanError> {
        let protocol = Protocol::Pvh;
        if decisions.mapping == Mapping::Segments {
            return Err(PlanError::Meaningless { decision: Decision::MapSegments, protocol });
        }
        if decisions.entry == EntryRule::Virtual {
            return Err(PlanError::Meaningless { decision: Decision::EntryVirtual, protocol });
        }
        if decisions.virt_base.is_some() {
            return Err(PlanError::Meaningless { decision: Decision::VirtBase, protocol });
        }
        let entry = self.xen.phys32_entry.ok_or_else(|| self.no_pvh_entry())?;
        self.check_features()?;
        if entry > u64::from(u32::MAX) {
            return Err(PlanError::EntryTooHigh { entry });
        }
        let plan = self.in_one_area(protocol, 0, Entry::Physical(Phys(entry)))?;
        let (start, end) = (plan.extent.start().0, plan.extent.end().0);
        if entry < start || entry > end {
            return Err(PlanError::EntryOutside { entry, start, end });
        }
        self.check_p2m(Virt(start), Virt(end))?;
        Ok(Plan { relocation: self.relocation(), ..plan })
    }

    /// Why there is no PVH entry, in the words that help most.
    fn no_pvh_entry(&self) -> PlanError {
        match self.bounds_pv(&Decisions::default()) {
            Ok(_) if self.machine == Machine::I386 => PlanError::Pv32,
            Ok(_) => PlanError::PvOnly,
            Err(_) if self.xen.is_linux() => PlanError::LinuxWithoutPvh,
            Err(_) if self.xen.source == Source::None => PlanError::NotXen,
            Err(_) => PlanError::NoPvhEntry,
        }
    }

    /// PHYS32_RELOC with its defaults. An alignment that is no power of two, or less than a page, makes the kernel one
    /// that is not moved.
    fn relocation(&self) -> Option<Relocation> {
        let note = self.xen.phys32_reloc?;
        let align = match note.align {
            Some(align) => u64::from(align),
            None => {
                let most = self.segments.iter().map(|segment| segment.align).max().unwrap_or(0);
                if most >= PAGE_SIZE { most } else { DEFAULT_ALIGN }
            }
        };
        (align.is_power_of_two() && align >= PAGE_SIZE).then(|| Relocation {
            align,
            min: Phys(note.min.unwrap_or(0).into()),
            max: Phys(note.max.unwrap_or(u32::MAX).into()),
        })
    }
}
