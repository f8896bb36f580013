//! The 64-bit OpenSolaris image of the thread, as `tests/corpus` describes it, for a PV domain: the segment that holds the entry
//! is the PV probe, which is larger than that of the thread was. It lies last in memory, so that nothing else moves.

use anyhow::{Context, Result, bail};
use probe::{PV_UNHASHED, Segment, TABLE_MAGIC, TABLE_PAGE, Table};
use shared::kernel::{Decisions, Kernel, Mapping, SliceFile};
use zerocopy::IntoBytes;

use super::{Layout, Pv, image};
use crate::corpus;

/// VIRT_BASE of `__xen_guest`, which is taken off each `p_paddr` too.
const VIRT_BASE: u64 = 0x4000_0000;

/// The kernel, and what is decided when it is packed: nothing, or that each segment is mapped where it was linked too. Then the
/// probe looks for the others there as well.
///
/// # Errors
/// Where the probe cannot be compiled.
pub fn solaris_pv(name: &str, mapping: Mapping) -> Result<(Vec<u8>, Decisions)> {
    let entries = corpus::corpus().map_err(anyhow::Error::msg)?;
    let entry = entries.into_iter().find(|entry| entry.name == "opensolaris-64").context("it is in the corpus")?;
    let mut description = entry.description;
    let pv = Pv { virt_base: VIRT_BASE, paddr_offset: Some(VIRT_BASE), ..Pv::default() };
    let [first, others @ ..] = description.loads.as_mut_slice() else { bail!("three segments") };
    let image = image::build(&Layout::pv("opensolaris", first.paddr, pv))?;
    (first.file_len, first.memory_len) = (image.file.len() as u64, image.memory_size);
    // Where they were in the file there is no room for it.
    first.offset = None;
    others.iter_mut().for_each(|load| load.offset = None);

    let mut elf = description.elf();
    let kernel = Kernel::read(&mut SliceFile(&elf))?;
    let mut table = Table { magic: TABLE_MAGIC, segment_count: kernel.segments.len() as u64, ..Table::default() };
    table.name[..name.len()].copy_from_slice(name.as_bytes());
    (table.virt_base, table.paddr_offset) = (VIRT_BASE, VIRT_BASE);
    for (number, segment) in kernel.segments.iter().enumerate() {
        let bytes = &elf[segment.file.offset() as usize..segment.file.end() as usize];
        let bytes = if number == 0 { &image.file[..image.file.len() - PV_UNHASHED] } else { bytes };
        table.segments[number] = Segment {
            paddr: segment.paddr,
            file_size: segment.file.len(),
            memory_size: segment.memory_len,
            hashed: bytes.len() as u64,
            hash: probe::hash(bytes),
        };
        if mapping == Mapping::Segments {
            table.linked[number] = segment.vaddr.0;
        }
    }
    table.hash = table.expected_hash();
    let mut file = image.file;
    let page = file.len() - TABLE_PAGE;
    file[page..][..size_of::<Table>()].copy_from_slice(table.as_bytes());
    elf[kernel.segments[0].file.offset() as usize..][..file.len()].copy_from_slice(&file);
    Ok((elf, Decisions { mapping, ..Decisions::default() }))
}
