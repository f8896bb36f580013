//! What is odd about a kernel.

use shared::kernel::{Decisions, Entry, Kernel, Mapping, Placement, Plan, Protocol};
use shared::memory::{PAGE_SIZE, Phys, VirtRange};

/// A gap between segments that is worth a word. No kernel of today leaves more than 2 MiB, for large pages.
const HUGE_GAP: u64 = 64 * MIB;
const MIB: u64 = 1 << 20;

/// Everything that is odd.
pub(super) fn all(kernel: &Kernel, decisions: &Decisions, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    access(plan, &mut found);
    overlaps(plan, &mut found);
    gaps(plan, &mut found);
    entry(plan, &mut found);
    outside_linear_map(decisions, plan, &mut found);
    words(kernel, plan, &mut found);
    found
}

fn placed(plan: &Plan) -> impl Iterator<Item = &Placement> + Clone {
    plan.placements.iter().filter(|placement| !placement.memory.is_empty())
}

fn access(plan: &Plan, found: &mut Vec<String>) {
    for placement in placed(plan).filter(|placement| placement.access.write && placement.access.execute) {
        found.push(format!("segment {} is writable and executable", placement.index));
    }
}

fn overlaps(plan: &Plan, found: &mut Vec<String>) {
    for (number, second) in placed(plan).enumerate() {
        for first in placed(plan).take(number) {
            if let Some(shared) = first.memory.intersection(&second.memory) {
                let (first, second) = (first.index, second.index);
                found.push(format!("segments {first} and {second} overlap at {shared}: {second} wins"));
            }
        }
    }
}

fn gaps(plan: &Plan, found: &mut Vec<String>) {
    let mut sorted: Vec<_> = placed(plan).collect();
    sorted.sort_by_key(|placement| placement.memory.start());
    let mut end = None;
    for placement in sorted {
        let start = placement.memory.start();
        let gap = end.and_then(|end: Phys| start.0.checked_sub(end.0)).filter(|gap| *gap >= HUGE_GAP);
        if let Some(gap) = gap {
            found.push(format!("{} MiB of nothing lie before segment {}", gap / MIB, placement.index));
        }
        end = end.max(Some(placement.memory.end()));
    }
}

/// An entry outside all segments, or in one that is not executable.
fn entry(plan: &Plan, found: &mut Vec<String>) {
    let place = match (plan.entry, &plan.pv) {
        (Entry::Physical(entry), _) => Some(entry),
        (Entry::Virtual(entry), Some(pv)) => entry.0.checked_sub(pv.virt_base.0).map(Phys),
        // The direct protocol's virtual entry lies in a segment, or there is no plan.
        (Entry::Virtual(entry), None) => placed(plan).find_map(|placement| {
            let distance = entry.0.checked_sub(placement.virt.0).filter(|at| *at < placement.memory.len())?;
            placement.memory.start().checked_add(distance)
        }),
    };
    let Some(place) = place else { return };
    match placed(plan).filter(|placement| placement.memory.contains(place)).last() {
        None => found.push(format!("the entry is in no segment (it would be at {place})")),
        Some(placement) if !placement.access.execute => {
            found.push(format!("the entry is in segment {}, which is not executable", placement.index));
        }
        Some(_) => {}
    }
}

/// Segments whose p_vaddr the linear mapping does not reach.
fn outside_linear_map(decisions: &Decisions, plan: &Plan, found: &mut Vec<String>) {
    let Some(pv) = plan.pv.as_ref().filter(|_| decisions.mapping == Mapping::Linear) else { return };
    let Ok(linear) = VirtRange::new(pv.virt_base, pv.virt_kend) else { return };
    for placement in placed(plan).filter(|placement| !linear.contains(placement.virt)) {
        let (index, virt) = (placement.index, placement.virt);
        found.push(format!("segment {index} is linked at {virt}, which is not mapped at first"));
    }
}

/// Notes that are not obeyed, and what a builder of Xen would not like.
fn words(kernel: &Kernel, plan: &Plan, found: &mut Vec<String>) {
    if kernel.xen.bsd_symtab && kernel.symbols.is_none() && plan.protocol != Protocol::Direct {
        found.push("BSD_SYMTAB asks for a symbol table, and the file has none".to_owned());
    }
    if plan.protocol != Protocol::Direct && kernel.dynamic.is_some_and(|dynamic| dynamic.len != 0) {
        let protocol = plan.protocol;
        found.push(format!(
            "it is a static PIE (type DYN), and {protocol} applies no relocation: it must do that itself"
        ));
    }
    if plan.protocol == Protocol::Pvh && kernel.xen.phys32_reloc.is_some() && plan.relocation.is_none() {
        found.push("PHYS32_RELOC is not obeyed: its alignment is no power of two, or less than a page".to_owned());
    }
    if plan.protocol == Protocol::Pvh && !plan.extent.start().is_aligned(PAGE_SIZE) {
        found.push(format!(
            "the kernel starts at {}, within a page: Xen's own builder refuses that",
            plan.extent.start()
        ));
    }
}
