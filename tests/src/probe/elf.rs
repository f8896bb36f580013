//! Writes the ELF file of a layout.

use anyhow::{Context, Result, ensure};
use object::Endianness;
use object::elf::{EM_386, EM_X86_64, ET_EXEC, Machine, PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE};
use object::write::elf::{FileHeader, ProgramHeader, Writer};
use probe::{IMAGE_VIRT, MAX_SEGMENTS, PV_UNHASHED, Segment, TABLE_MAGIC, TABLE_PAGE, Table};
use zerocopy::IntoBytes;

use super::image::Image;
use super::layout::{Class, Layout, Pv};
use super::symbols;

/// Notes of Xen's public/elfnote.h.
const PHYS32_ENTRY: u32 = 18;
const PHYS32_RELOC: u32 = 19;
const ENTRY: u32 = 1;
const HYPERCALL_PAGE: u32 = 2;
const VIRT_BASE: u32 = 3;
const PADDR_OFFSET: u32 = 4;
const XEN_VERSION: u32 = 5;
const GUEST_OS: u32 = 6;
const LOADER: u32 = 8;
const FEATURES: u32 = 10;
const BSD_SYMTAB: u32 = 11;
const INIT_P2M: u32 = 15;
const MOD_START_PFN: u32 = 16;
const SUPPORTED_FEATURES: u32 = 17;
/// Writable page tables are not needed, tables may lie above 4 GiB, and it may be dom0: XENFEAT_* of features.h.
const SUPPORTED: u64 = 1 | 1 << 4 | 1 << 11;

const PAGE: u64 = 4096;

/// A segment with its bytes.
struct Load {
    paddr: u64,
    vaddr: u64,
    file: Vec<u8>,
    memory_size: u64,
    is_image: bool,
}

/// The file's bytes.
pub(super) fn write(layout: &Layout, image: &Image) -> Result<Vec<u8>> {
    check(layout)?;
    let mut loads = loads(layout, image);
    fill_table(layout, &mut loads)?;
    if layout.image_last {
        loads.rotate_left(1);
    }
    assemble(layout, &loads)
}

fn check(layout: &Layout) -> Result<()> {
    ensure!(layout.extras.len() < MAX_SEGMENTS, "more than {MAX_SEGMENTS} segments");
    ensure!(layout.name.len() < 32, "a name of more than 31 bytes");
    ensure!(matches!(layout.entry_size, 4 | 8), "a PHYS32_ENTRY of {} bytes", layout.entry_size);
    let mut starts = layout.extras.iter().map(|extra| extra.paddr).chain([layout.base]);
    ensure!(starts.all(|start| start % PAGE == 0), "a segment that does not begin at a page");
    for extra in &layout.extras {
        ensure!(extra.file_size as u64 <= extra.memory_size, "a segment with more bytes in the file than in memory");
    }
    Ok(())
}

fn loads(layout: &Layout, image: &Image) -> Vec<Load> {
    // A loader that asks p_vaddr where memory goes, or how much of it, fails on these. 32-bit files have no room for it.
    let wide = layout.class == Class::Elf64;
    let mut loads = vec![Load {
        paddr: layout.base,
        vaddr: match &layout.pv {
            Some(pv) => pv.virt(layout.base),
            None if wide => IMAGE_VIRT,
            None => layout.base,
        },
        file: image.file.clone(),
        memory_size: image.memory_size,
        is_image: true,
    }];
    loads.extend(layout.extras.iter().map(|extra| Load {
        paddr: extra.paddr,
        vaddr: if wide { 0 } else { extra.paddr },
        file: extra.content.bytes(extra.file_size),
        memory_size: extra.memory_size,
        is_image: false,
    }));
    loads
}

/// Puts the table into the image's last page.
fn fill_table(layout: &Layout, loads: &mut [Load]) -> Result<()> {
    let mut table = Table { magic: TABLE_MAGIC, segment_count: loads.len() as u64, ..Table::default() };
    table.name[..layout.name.len()].copy_from_slice(layout.name.as_bytes());
    if let Some(pv) = &layout.pv {
        (table.virt_base, table.paddr_offset) = (pv.virt_base, pv.paddr_offset.unwrap_or(0));
        table.symbols = pv.symbols.into();
    }
    let unhashed = if layout.pv.is_some() { PV_UNHASHED } else { TABLE_PAGE };
    for (segment, load) in table.segments.iter_mut().zip(loads.iter()) {
        let hashed = if load.is_image { load.file.len() - unhashed } else { load.file.len() };
        *segment = Segment {
            paddr: load.paddr,
            file_size: load.file.len() as u64,
            memory_size: load.memory_size,
            hashed: hashed as u64,
            hash: probe::hash(&load.file[..hashed]),
        };
    }
    table.hash = table.expected_hash();
    let image = &mut loads[0].file;
    let page = image.len().checked_sub(TABLE_PAGE).context("the image has no table")?;
    image[page..][..size_of::<Table>()].copy_from_slice(table.as_bytes());
    Ok(())
}

fn assemble(layout: &Layout, loads: &[Load]) -> Result<Vec<u8>> {
    let (wide, machine): (bool, Machine) = match layout.class {
        Class::Elf64 => (true, EM_X86_64),
        Class::Elf32 => (false, EM_386),
        Class::Elf32Amd64 => (false, EM_X86_64),
    };
    let notes = match &layout.pv {
        Some(pv) => notes_pv(layout, pv, loads)?,
        None => notes(layout)?,
    };
    let mut file = Vec::new();
    let mut writer = Writer::new(Endianness::Little, wide, &mut file);
    writer.reserve_file_header();
    writer.reserve_program_headers(1 + loads.len() as u32);
    let notes_at = writer.reserve(notes.len() as u64, 4);
    let places: Vec<u64> = loads.iter().map(|load| writer.reserve(load.file.len() as u64, PAGE)).collect();
    let symbols = layout.pv.filter(|pv| pv.symbols).map(|_| symbols::reserve(&mut writer));

    writer.write_file_header(&FileHeader {
        e_type: ET_EXEC,
        e_machine: machine,
        // What a PVH kernel is entered by is its note alone.
        e_entry: 0,
        ..FileHeader::default()
    })?;
    writer.write_align_program_headers();
    writer.write_program_header(&ProgramHeader {
        p_type: PT_NOTE,
        p_flags: PF_R,
        p_offset: notes_at,
        p_vaddr: 0,
        p_paddr: 0,
        p_filesz: notes.len() as u64,
        p_memsz: notes.len() as u64,
        p_align: 4,
    });
    for (load, place) in loads.iter().zip(&places) {
        writer.write_program_header(&ProgramHeader {
            p_type: PT_LOAD,
            p_flags: if load.is_image { PF_R | PF_W | PF_X } else { PF_R | PF_W },
            p_offset: *place,
            p_vaddr: load.vaddr,
            p_paddr: load.paddr,
            p_filesz: load.file.len() as u64,
            p_memsz: load.memory_size,
            p_align: PAGE,
        });
    }
    writer.pad_until(notes_at);
    writer.write(&notes);
    for (load, place) in loads.iter().zip(&places) {
        writer.pad_until(*place);
        writer.write(&load.file);
    }
    if let Some(places) = &symbols {
        symbols::write(&mut writer, places);
    }
    Ok(file)
}

/// The notes, each padded to 4 bytes whatever the file's class.
fn notes(layout: &Layout) -> Result<Vec<u8>> {
    let entry = layout.base.to_le_bytes();
    ensure!(layout.base <= u64::from(u32::MAX), "an image beyond 4 GiB, where PHYS32_ENTRY does not reach");
    let mut notes = note(PHYS32_ENTRY, &entry[..layout.entry_size]);
    if let Some(relocation) = layout.relocation {
        let numbers = [relocation.align, relocation.min, relocation.max];
        notes.extend(note(PHYS32_RELOC, numbers.as_bytes()));
    }
    if let Some(name) = layout.guest_os {
        notes.extend(note(GUEST_OS, &[name.as_bytes(), &[0]].concat()));
    }
    Ok(notes)
}

/// Those of a PV kernel.
fn notes_pv(layout: &Layout, pv: &Pv, loads: &[Load]) -> Result<Vec<u8>> {
    let virt = pv.virt(layout.base);
    let mut notes = Vec::new();
    let features = if pv.features.is_empty() { "!writable_page_tables" } else { pv.features };
    let texts = [(GUEST_OS, "probe"), (XEN_VERSION, "xen-3.0"), (LOADER, "generic"), (FEATURES, features)];
    for (kind, text) in texts {
        notes.extend(note(kind, &[text.as_bytes(), &[0]].concat()));
    }
    let image = loads.iter().find(|load| load.is_image).context("the image is among the segments")?;
    let hypercall_page = virt.wrapping_add((image.file.len() - PV_UNHASHED) as u64);
    let numbers = [
        (ENTRY, Some(virt)),
        (VIRT_BASE, Some(pv.virt_base)),
        (PADDR_OFFSET, pv.paddr_offset),
        (INIT_P2M, pv.init_p2m),
        (MOD_START_PFN, pv.module_by_frame.then_some(1)),
        (HYPERCALL_PAGE, pv.hypercall_page.then_some(hypercall_page)),
        (SUPPORTED_FEATURES, Some(SUPPORTED)),
    ];
    for (kind, number) in numbers {
        if let Some(number) = number {
            notes.extend(note(kind, &number.to_le_bytes()));
        }
    }
    if pv.symbols {
        notes.extend(note(BSD_SYMTAB, b"yes\0"));
    }
    Ok(notes)
}

fn note(kind: u32, description: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    note.extend(4_u32.to_le_bytes());
    note.extend((description.len() as u32).to_le_bytes());
    note.extend(kind.to_le_bytes());
    note.extend(b"Xen\0");
    note.extend(description);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}
