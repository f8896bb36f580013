//! Which rule decided.

use shared::kernel::{Decisions, Entry, EntryRule, Kernel, Mapping, Plan, Protocol, Source};

/// Where segments lie.
pub(super) fn places(kernel: &Kernel, decisions: &Decisions, plan: &Plan) -> String {
    let xen = &kernel.xen;
    let said = xen.paddr_offset.is_some();
    if plan.protocol == Protocol::Pvh {
        return match xen.paddr_offset {
            Some(offset) if offset != 0 => {
                format!("segments lie at their p_paddr: PADDR_OFFSET ({offset:#x}) is for PV alone")
            }
            _ => "segments lie at their p_paddr: PVH takes nothing off".to_owned(),
        };
    }
    if let Some(pie) = plan.pie {
        let place = plan.extent.start();
        return format!(
            "segments lie from {place} on, the lowest multiple of {:#x} that is free: a static PIE",
            pie.align
        );
    }
    // What was taken off is the same for all.
    let offset = match (kernel.segments.first(), plan.placements.first()) {
        (Some(segment), Some(placement)) => segment.paddr.wrapping_sub(placement.memory.start().0),
        _ => 0,
    };
    let source = match xen.source {
        Source::Segments | Source::Sections if said => "note PADDR_OFFSET",
        Source::Segments | Source::Sections => "there are notes, and no PADDR_OFFSET among them",
        Source::GuestString if said => "ELF_PADDR_OFFSET of __xen_guest",
        Source::GuestString if decisions.virt_base.is_some() => "--virt-base, for __xen_guest says no ELF_PADDR_OFFSET",
        Source::GuestString => "VIRT_BASE of __xen_guest, which says no ELF_PADDR_OFFSET",
        Source::None if offset != 0 => "--virt-base, for every p_paddr is virtual",
        Source::None => "the kernel says nothing else",
    };
    match offset {
        0 => format!("segments lie at their p_paddr: {source}"),
        offset => format!("segments lie at their p_paddr less {offset:#x}: {source}"),
    }
}

/// At which virtual addresses.
pub(super) fn addresses(kernel: &Kernel, decisions: &Decisions, plan: &Plan) -> String {
    match &plan.pv {
        Some(pv) => {
            let source = match (decisions.virt_base, kernel.xen.virt_base, kernel.xen.source) {
                (Some(_), _, _) => "--virt-base",
                (None, Some(_), Source::GuestString) => "VIRT_BASE of __xen_guest",
                (None, Some(_), _) => "note VIRT_BASE",
                (None, None, _) => "no VIRT_BASE is said",
            };
            let own = if decisions.mapping == Mapping::Segments { ", and at their own p_vaddr too" } else { "" };
            format!("they are mapped from {} on ({source}), wherever p_vaddr says{own}", pv.virt_base)
        }
        None if plan.pie.is_some() => {
            let base = match decisions.virt_base {
                Some(base) => format!("{base} above their places (--virt-base)"),
                None => "where they lie".to_owned(),
            };
            format!("they are mapped {base}, relocated, with their own access")
        }
        None if plan.protocol == Protocol::Direct => {
            "they are mapped at their own p_vaddr, with their own access".to_owned()
        }
        None => "nothing is mapped: paging is off".to_owned(),
    }
}

/// Where it is entered.
pub(super) fn entry(kernel: &Kernel, decisions: &Decisions, plan: &Plan) -> String {
    let e_entry = kernel.elf_entry;
    match (plan.protocol, plan.entry) {
        (Protocol::Pvh, Entry::Physical(entry)) => format!("entered at {entry}, physical: note PHYS32_ENTRY"),
        (Protocol::Pv, Entry::Virtual(entry)) => {
            let source = match (decisions.entry, kernel.xen.virt_entry, kernel.xen.source) {
                (EntryRule::Physical, _, _) => format!("--entry physical, e_entry {e_entry:#x} and the virtual base"),
                (EntryRule::Virtual, _, _) => "--entry virtual, e_entry".to_owned(),
                (EntryRule::Notes, Some(_), Source::GuestString) => "VIRT_ENTRY of __xen_guest".to_owned(),
                (EntryRule::Notes, Some(_), _) => "note ENTRY".to_owned(),
                (EntryRule::Notes, None, _) => "e_entry, for no ENTRY is said".to_owned(),
            };
            format!("entered at {entry}, virtual: {source}")
        }
        (_, Entry::Virtual(entry)) => {
            let holder = plan.placements.iter().find(|placement| {
                entry.0.checked_sub(placement.virt.0).is_some_and(|distance| distance < placement.memory.len())
            });
            let index = holder.map_or(0, |placement| placement.index);
            format!("entered at {entry}, virtual: e_entry is in the p_vaddr range of segment {index}")
        }
        (_, Entry::Physical(entry)) => {
            let index = plan.placements.iter().find(|placement| placement.memory.contains(entry));
            let index = index.map_or(0, |placement| placement.index);
            format!(
                "entered at {entry}, physical: e_entry is in the p_paddr range of segment {index}, and in no p_vaddr range"
            )
        }
    }
}
