//! Writes all that a PV kernel is started with, as its builder would have.

use shared::kernel::Plan;
use shared::memory::{PAGE_SIZE, Pfn, Phys, PhysRange, Virt};
use shared::pv::tables::{index, pages};
use shared::pv::{PvBuilder, StartOfDay};
use shared::xen::pv::{MAX_PV_CMDLINE, SIF_INITDOMAIN, SIF_MOD_START_PFN, StartInfo};
use zerocopy::IntoBytes;

use super::Hinge;
use crate::boot::Loaded;
use crate::handover::{HandOverError, zero_page_end};
use crate::load::{Memory, Ramdisk};
use crate::platform::Machine;
use crate::platform::memory::PhysicalMemory;
use crate::platform::pv::{DIRTY, Mfn, PAGE, PAGE_READ_ONLY, Pv, PvHanded, TABLE, View};

/// Bytes of a page, as a length.
const PAGE_LEN: usize = PAGE_SIZE as usize;

/// Writes everything, and gives the page from which the kernel is entered.
pub fn write(
    machine: &mut Pv,
    handed: &PvHanded,
    loaded: &Loaded<'_>,
    day: &StartOfDay,
    entry: Virt,
) -> Result<Hinge, HandOverError> {
    zero_around(machine, day, loaded)?;
    let module = module(machine, loaded)?;
    let taken = HandOverError::Window { at: day.virt(day.stack.start()) };
    let hinge = Hinge::of(day, machine.structures()).ok_or(taken)?;
    // While the builder's tables still have the numbers by which they are found.
    // SAFETY: `Hinge::of` chose the address: at most stage0's file or its copy of the manifest is there, which nobody reads
    // from here on.
    let reached = unsafe { machine.map_at(hinge.at, hinge.page.pfn()) };
    let old = machine.old_top().filter(|_| reached).ok_or(HandOverError::Window { at: hinge.at })?;
    rename(machine, day, handed, module)?;
    let memory = machine.memory();
    write_start_info(memory, day, handed, loaded, module)?;
    write_hypercall_page(machine, loaded)?;
    let memory = machine.memory();
    memory.copy_list(day.p2m).ok_or(HandOverError::Unreachable { range: day.p2m })?;
    write_tables(machine, day, handed, &loaded.plan)?;
    let top = mfn(machine.memory(), day.tables.top())?;
    hinge.write(machine.memory(), top, old, entry)?;
    let tables = day.tables.all().map(|(.., table)| table).chain([day.tables.top()]);
    if let Some(frames) = machine.memory().frames() {
        frames.hide(tables);
    }
    // SAFETY: the tables have been written, and the window shows them no more.
    unsafe { machine.pin(top) };
    Ok(hinge)
}

/// Zeroes what was claimed around the kernel.
fn zero_around(machine: &mut Pv, day: &StartOfDay, loaded: &Loaded<'_>) -> Result<(), HandOverError> {
    let kernel = loaded.plan.areas.first().copied().unwrap_or_default();
    for area in day.areas() {
        let below = PhysRange::new(area.start(), kernel.start().min(area.end()));
        let above = PhysRange::new(kernel.end().max(area.start()), area.end());
        let parts = if area.overlaps(&kernel) { [below, above] } else { [Ok(area), Ok(PhysRange::EMPTY)] };
        for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
            machine.memory().bytes_mut(part).ok_or(HandOverError::Unreachable { range: part })?.fill(0);
        }
    }
    Ok(())
}

/// Where the pack's module lies now; its last page is zero behind it.
fn module(machine: &mut Pv, loaded: &Loaded<'_>) -> Result<PhysRange, HandOverError> {
    let ramdisk = Ramdisk { base: loaded.arrangement.pack.start() };
    let Some(stored) = loaded.manifest.handed(loaded.plan.linux).next() else { return Ok(PhysRange::EMPTY) };
    let unreachable = HandOverError::Unreachable { range: loaded.arrangement.pack };
    let module = ramdisk.place(stored).ok_or(unreachable)?;
    zero_page_end(machine.memory(), &module)?;
    Ok(module)
}

/// Gives the frames of the rings and of the module the numbers at which the kernel expects them.
fn rename(machine: &mut Pv, day: &StartOfDay, handed: &PvHanded, module: PhysRange) -> Result<(), HandOverError> {
    let structures = machine.structures();
    let Some(frames) = machine.memory().frames() else { return Ok(()) };
    for (mfn, place) in [(handed.info.store_mfn.get(), day.xenstore), (handed.info.console.get(), day.console)] {
        let found = frames.find(Mfn(mfn), structures).and_then(Pfn::phys).filter(|_| !place.is_empty());
        if let Some(Ok(from)) = found.map(|at| PhysRange::sized(at, PAGE_SIZE)) {
            frames.relocate(from, place, View::Stale);
        }
    }
    if !day.module.is_empty() {
        let pages = module.page_hull().map_err(|_| HandOverError::Unreachable { range: module })?;
        frames.relocate(pages, day.module, View::Stale);
    }
    Ok(())
}

fn write_start_info<M: Memory>(
    memory: &mut M,
    day: &StartOfDay,
    handed: &PvHanded,
    loaded: &Loaded<'_>,
    module: PhysRange,
) -> Result<(), HandOverError> {
    let old = &handed.info;
    let mut info = StartInfo { cmd_line: [0; MAX_PV_CMDLINE + 1], ..*old };
    let unmapped = !day.module_mapped && !module.is_empty();
    let flags = old.flags.get() & !SIF_MOD_START_PFN;
    info.flags = (if unmapped { flags | SIF_MOD_START_PFN } else { flags }).into();
    info.pt_base = day.virt(day.tables_at.start()).0.into();
    info.nr_pt_frames = (day.tables_at.len() / PAGE_SIZE).into();
    info.mfn_list = day.p2m_virt.0.into();
    let (start, len) = match (module.is_empty(), unmapped) {
        (true, _) => (0, 0),
        (_, false) => (day.virt(day.module.start()).0, module.len()),
        (_, true) => (day.module.start().pfn().0, module_len(handed, day, module)),
    };
    (info.mod_start, info.mod_len) = (start.into(), len.into());
    let outside = if day.p2m_tables.is_empty() { 0 } else { day.p2m.len() + day.p2m_tables.len() };
    (info.first_p2m_pfn, info.nr_p2m_frames) = (day.first_p2m.0.into(), (outside / PAGE_SIZE).into());
    let text = loaded.cmdline.as_bytes();
    info.cmd_line.get_mut(..text.len()).ok_or(HandOverError::TooLong { block: day.start_info })?.copy_from_slice(text);

    let unreachable = HandOverError::Unreachable { range: day.start_info };
    let page = memory.bytes_mut(day.start_info).ok_or(unreachable)?;
    let (head, rest) = page.split_at_mut(size_of::<StartInfo>());
    head.copy_from_slice(info.as_bytes());
    if old.flags.get() & SIF_INITDOMAIN != 0 {
        handed.copy_rest(rest);
    }
    Ok(())
}

/// libxenguest rounds the length of a module that is not mapped up to pages; Xen does not.
fn module_len(handed: &PvHanded, day: &StartOfDay, module: PhysRange) -> u64 {
    match handed.domain.builder {
        PvBuilder::Toolstack => day.module.len(),
        PvBuilder::Xen { .. } => module.len(),
    }
}

/// Lets Xen fill the page that the kernel has for it.
fn write_hypercall_page(machine: &mut Pv, loaded: &Loaded<'_>) -> Result<(), HandOverError> {
    let Some((at, base)) = loaded.plan.pv.as_ref().and_then(|pv| Some((pv.hypercall_page?, pv.virt_base))) else {
        return Ok(());
    };
    let page = Phys(at.0.wrapping_sub(base.0)).align_down(PAGE_SIZE);
    // What follows the kernel holds what it is handed, or stage0 itself.
    if page >= loaded.place().end() {
        return Err(HandOverError::HypercallPage { at });
    }
    let mfn = mfn(machine.memory(), page.pfn()).map_err(|_| HandOverError::HypercallPage { at })?;
    // SAFETY: the frame is the kernel's (checked above), which holds nothing else there.
    unsafe { machine.fill_hypercall_page(mfn) };
    Ok(())
}

/// Writes the page tables: the linear mapping, in which they themselves cannot be written, and the list of frames.
fn write_tables(machine: &mut Pv, day: &StartOfDay, handed: &PvHanded, plan: &Plan) -> Result<(), HandOverError> {
    // Xen writes the kernel's segments, the list and start_info by the domain's own tables.
    let is_xen = handed.domain.builder != PvBuilder::Toolstack;
    let symbols = plan.symbols.iter().flat_map(|plan| [plan.headers_at, plan.symbols_at, plan.strings_at]);
    let written = plan.placements.iter().map(|placement| placement.memory).chain(symbols);
    let written = written.chain([day.p2m, day.start_info]);
    let is_dirty = |page: &PhysRange| is_xen && written.clone().any(|range| range.overlaps(page));
    let memory = machine.memory();
    for (level, slot, table) in day.tables.all() {
        let unreachable = HandOverError::Unreachable { range: page_of(table) };
        let parent = day.tables.find(level + 1, slot >> 9).ok_or(unreachable)?;
        let mfn = mfn(memory, table)?;
        put(memory, parent, (slot % 512) as usize, mfn.entry(TABLE))?;
    }
    for mapping in day.tables.mappings() {
        for (virt, pfn) in pages(mapping) {
            let page = page_of(pfn);
            let table = day.tables.table(1, virt).ok_or(HandOverError::Unreachable { range: page })?;
            let mut flags = if day.tables_at.overlaps(&page) { PAGE_READ_ONLY } else { PAGE };
            if is_dirty(&page) {
                flags |= DIRTY;
            }
            let mfn = mfn(memory, pfn)?;
            put(memory, table, index(1, virt), mfn.entry(flags))?;
        }
    }
    Ok(())
}

fn mfn(memory: &mut PhysicalMemory, pfn: Pfn) -> Result<Mfn, HandOverError> {
    memory.frames().and_then(|frames| frames.mfn(pfn)).ok_or(HandOverError::Unreachable { range: page_of(pfn) })
}

fn page_of(pfn: Pfn) -> PhysRange {
    pfn.phys().and_then(|at| PhysRange::sized(at, PAGE_SIZE).ok()).unwrap_or_default()
}

fn put<M: Memory>(memory: &mut M, table: Pfn, index: usize, entry: u64) -> Result<(), HandOverError> {
    let page = page_of(table);
    let bytes = memory.bytes_mut(page).filter(|bytes| bytes.len() == PAGE_LEN);
    let bytes = bytes.ok_or(HandOverError::Unreachable { range: page })?;
    bytes[index * 8..][..8].copy_from_slice(&entry.to_le_bytes());
    Ok(())
}
