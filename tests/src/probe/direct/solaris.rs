//! The OpenSolaris images of the thread, as `tests/corpus` describes them, with the probe as the segment that holds the entry.

use anyhow::{Context, Result, bail, ensure};
use probe::{DirectTable, TABLE_PAGE};
use shared::kernel::{Decisions, SliceFile};
use shared::memory::Virt;
use zerocopy::IntoBytes;

use super::{ENTRY_32, Kernel, Load, direct, filled};
use crate::corpus;
use crate::probe::{Class, image};

/// VIRT_BASE of `__xen_guest`, which is taken off each `p_paddr`.
const VIRT_BASE: u64 = 0x4000_0000;

/// The image of `class`. Its first segment holds the whole probe, and is all that it is given. With another virtual base than
/// its own it lies elsewhere: its own place, from physical 0 on, is RAM under Xen alone.
///
/// # Errors
/// Where the probe cannot be compiled, or does not fit.
pub fn solaris(class: Class, virt_base: Option<u64>) -> Result<Kernel> {
    let wide = class == Class::Elf64;
    let (name, entry) = if wide { ("opensolaris-64", 0) } else { ("opensolaris-32", ENTRY_32) };
    let entries = corpus::corpus().map_err(anyhow::Error::msg)?;
    let description = &entries.iter().find(|entry| entry.name == name).context("it is in the corpus")?.description;
    let mut elf = description.elf();
    let read = shared::kernel::Kernel::read(&mut SliceFile(&elf))?;
    let loads = read.segments.iter().map(|segment| {
        let bytes = segment.file.offset() as usize..segment.file.end() as usize;
        let access = segment.access;
        Load {
            virt: segment.vaddr.0,
            phys: segment.paddr - virt_base.unwrap_or(VIRT_BASE),
            file: elf[bytes].to_vec(),
            memory_size: segment.memory_len,
            flags: 4 | u32::from(access.write) << 1 | u32::from(access.execute),
        }
    });
    let mut loads: Vec<Load> = loads.collect();
    let [first, text, data] = loads.as_mut_slice() else { bail!("three segments") };
    let image = image::direct(first.virt)?;
    first.file.fill(0);
    let mut places = [0; 3];
    for (part, place) in image.parts.iter().zip(&mut places) {
        let (start, end) = (part.offset as usize, part.offset + part.memory_size);
        ensure!(end <= first.memory_size, "the probe ends at {end:#x}, the segment at {:#x}", first.memory_size);
        first.file[start..][..part.file.len()].copy_from_slice(&part.file);
        *place = first.phys + part.offset;
    }
    if entry != 0 {
        // A jump, for it is entered at its first byte.
        let distance = (entry as u32 - 5).to_le_bytes();
        first.file[0] = 0xe9;
        first.file[1..5].copy_from_slice(&distance);
    }
    let to_try = [text.virt, text.phys + TABLE_PAGE as u64, data.phys];
    let constants = &image.parts[1];
    let table_at = (constants.offset as usize + constants.file.len()) - TABLE_PAGE;
    let table = filled(DirectTable { places, to_try, ..DirectTable::default() }, name, &loads, &[0]);
    loads[0].file[table_at..][..size_of::<DirectTable>()].copy_from_slice(table.as_bytes());
    let at = read.segments[0].file.offset() as usize;
    elf[at..][..loads[0].file.len()].copy_from_slice(&loads[0].file);
    let decisions = Decisions { virt_base: virt_base.map(Virt), ..direct() };
    Ok(Kernel { name, elf, class, physical: false, decisions, to_try, loads })
}
