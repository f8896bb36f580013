//! What the kernel was handed, each byte read where the page tables show it 1:1.

use probe::{DirectTable, MODULE_MAGIC, ModuleHeader};
use shared::memory::PAGE_SIZE;
use shared::xen::{HvmMemmapEntry, HvmModlistEntry, HvmStartInfo};
use zerocopy::FromBytes;

use crate::entry::State;
use crate::report::{check, info};
use crate::tables;

/// Longest text that is looked at.
const LONGEST: u64 = 4096;

/// The `len` bytes from `at` on; `None` if they are not mapped, or to other memory.
fn bytes(state: &State, at: u64, len: u64) -> Option<&'static [u8]> {
    let (first, last) = (at & !(PAGE_SIZE - 1), at.checked_add(len)?.checked_sub(1)?);
    let ends = [first, last & !(PAGE_SIZE - 1)];
    let mapped = |page: u64| tables::find(state, page) == Some(page);
    if at == 0 || !ends.into_iter().all(mapped) {
        return None;
    }
    // SAFETY: 1. both ends are mapped 1:1 as RAM, and so is what lies between them; 2. any bytes are valid u8s; 3. nothing
    // else writes to them.
    Some(unsafe { core::slice::from_raw_parts(at as *const u8, len as usize) })
}

/// A value at a 1:1 address.
pub(crate) fn read<T: FromBytes>(state: &State, at: u64) -> Option<T> {
    T::read_from_bytes(bytes(state, at, size_of::<T>() as u64)?).ok()
}

fn text(state: &State, at: u64) -> Option<&'static str> {
    let len = (0..LONGEST).find(|len| bytes(state, at + len, 1) == Some(&[0]))?;
    if len == 0 { Some("") } else { str::from_utf8(bytes(state, at, len)?).ok() }
}

/// start_info and all that it leads to.
pub(crate) fn dump(state: &State) {
    let Some(start_info) = read::<HvmStartInfo>(state, state.start_info()) else {
        return check(false, "start_info", format_args!("not mapped 1:1 at {:#x}", state.start_info()));
    };
    info("start_info.magic", format_args!("{:#x}", start_info.magic));
    info("start_info.version", format_args!("{}", start_info.version));
    info("cmdline", format_args!("{:?}", text(state, start_info.cmdline_paddr.get())));
    for number in 0..start_info.memmap_entries.get() {
        let at = start_info.memmap_paddr.get() + u64::from(number) * size_of::<HvmMemmapEntry>() as u64;
        match read::<HvmMemmapEntry>(state, at) {
            Some(entry) => info(
                format_args!("memmap[{number}]"),
                format_args!("{:#x} {:#x} {}", entry.addr, entry.addr.get() + entry.size.get(), entry.kind),
            ),
            None => check(false, "memmap", format_args!("not mapped 1:1 at {at:#x}")),
        }
    }
    for number in 0..start_info.nr_modules.get() {
        let at = start_info.modlist_paddr.get() + u64::from(number) * size_of::<HvmModlistEntry>() as u64;
        module(state, number, read(state, at));
    }
}

fn module(state: &State, number: u32, entry: Option<HvmModlistEntry>) {
    let name = format_args!("module[{number}]");
    let Some((start, content)) =
        entry.and_then(|entry| Some((entry.paddr.get(), bytes(state, entry.paddr.get(), entry.size.get())?)))
    else {
        return check(false, name, format_args!("not mapped 1:1"));
    };
    let whole = match ModuleHeader::read_from_prefix(content) {
        Ok((header, rest)) => header.magic == MODULE_MAGIC && header.hash == probe::hash(rest),
        Err(_) => false,
    };
    let end = start + content.len() as u64;
    let rest = end.next_multiple_of(PAGE_SIZE) - end;
    let zero = rest == 0 || bytes(state, end, rest).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    check(whole && zero, name, format_args!("{start:#x} {} bytes", content.len()));
}

/// What the file has of each segment, and zeros behind it, where the segment was linked. What the probe writes is left out.
pub(crate) fn check_segments(state: &State, table: &DirectTable) {
    for (number, segment) in table.segments().iter().enumerate() {
        let (virt, len) = (segment.virt, segment.memory_size);
        let mapped = tables::find(state, virt) == Some(segment.phys)
            && tables::find(state, virt + (len - 1)) == Some(segment.phys + (len - 1));
        if segment.hashed == 0 || !mapped {
            check(mapped, format_args!("segment[{number}]"), format_args!("mapped at {virt:#x}"));
            continue;
        }
        // The 32-bit entry's own tables map the image alone where it was linked, and all memory above 4 GiB.
        let at = if state.width == 32 { segment.phys + (1 << 32) } else { virt };
        // SAFETY: 1. its first and last page lead where it lies, and so do those between; 2. nothing writes to it.
        let bytes = unsafe { core::slice::from_raw_parts(at as *const u8, len as usize) };
        let (file, rest) = bytes.split_at(segment.hashed as usize);
        let holds = probe::hash(file) == segment.hash && rest.iter().all(|byte| *byte == 0);
        check(holds, format_args!("segment[{number}]"), format_args!("{len:#x} bytes at {virt:#x}"));
    }
}
