//! The place of a static PIE, which the direct protocol enters.

use super::{Entry, Kernel, Phys, Placement, Plan, PlanError};
use crate::kernel::{Decisions, Dynamic, Pie};
use crate::memory::{Virt, shifted};

/// The lowest place of a static PIE, and what every place is a multiple of: a large page, above what firmware and builders use.
const PLACE: u64 = 2 << 20;

impl Kernel {
    /// What is taken off every `p_paddr`, modulo 2^64, so that the kernel lies at the lowest place that there is in any domain; and
    /// what puts it into its place there.
    pub(super) fn pie(&self, dynamic: Dynamic, decisions: &Decisions) -> Result<(u64, Pie), PlanError> {
        let (mut align, mut paddr, mut vaddr) = (PLACE, u64::MAX, u64::MAX);
        for segment in &self.segments {
            if segment.align & segment.align.wrapping_sub(1) != 0 {
                return Err(PlanError::PieAlign { align: segment.align });
            }
            align = align.max(segment.align);
            if segment.memory_len != 0 {
                paddr = paddr.min(segment.paddr);
                vaddr = vaddr.min(segment.vaddr.0);
            }
        }
        let base = decisions.virt_base.unwrap_or_default();
        if !base.0.is_multiple_of(align) {
            return Err(PlanError::PieBase { base, align });
        }
        let (paddr, vaddr) = (paddr & !(align - 1), vaddr & !(align - 1));
        let bias = base.0.wrapping_add(align).wrapping_sub(vaddr);
        Ok((paddr.wrapping_sub(align), Pie { dynamic, bias, align, machine: self.machine }))
    }
}

impl Pie {
    /// Maps every segment as far above its `p_vaddr` as it is to be. Refused are segments so far apart that one would lie lower
    /// than the lowest.
    pub(super) fn map(&self, placements: &mut [Placement]) -> Result<(), PlanError> {
        for placement in placements {
            placement.virt.0 = placement.virt.0.wrapping_add(self.bias);
            let (start, end) = (placement.memory.start().0, placement.memory.end().0);
            if start < self.align && !placement.memory.is_empty() {
                return Err(PlanError::AreaTooLarge { start, end });
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Moves a static PIE up by `shift` bytes, a multiple of its alignment. Refused is what cannot be mapped there.
    pub fn move_pie(&mut self, shift: u64) -> Result<(), PlanError> {
        let Some(pie) = &mut self.pie else { return Ok(()) };
        pie.bias = pie.bias.wrapping_add(shift);
        for placement in &mut self.placements {
            placement.virt.0 = placement.virt.0.wrapping_add(shift);
        }
        let memory = self.placements.iter_mut().map(|placement| &mut placement.memory);
        for range in memory.chain(&mut self.areas).chain([&mut self.extent]) {
            // What is not empty lies below 4 GiB before and after.
            *range = shifted(range, shift).unwrap_or(*range);
        }
        self.entry = match self.entry {
            Entry::Physical(entry) => Entry::Physical(Phys(entry.0.wrapping_add(shift))),
            Entry::Virtual(entry) => Entry::Virtual(Virt(entry.0.wrapping_add(shift))),
        };
        self.check_direct()
    }
}
