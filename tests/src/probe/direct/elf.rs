//! Writes the ELF file: segments, and not one note.

use anyhow::Result;
use object::Endianness;
use object::elf::{EM_386, EM_X86_64, ET_EXEC, PT_LOAD, ProgramFlags};
use object::write::elf::{FileHeader, ProgramHeader, Writer};

use super::Load;
use crate::probe::Class;

const PAGE: u64 = 4096;

pub(super) fn write(class: Class, entry: u64, loads: &[Load]) -> Result<Vec<u8>> {
    let wide = class == Class::Elf64;
    let mut file = Vec::new();
    let mut writer = Writer::new(Endianness::Little, wide, &mut file);
    writer.reserve_file_header();
    writer.reserve_program_headers(loads.len() as u32);
    let mut places = Vec::new();
    for load in loads {
        // As far into a page as the segment is.
        let start = writer.reserve(0, PAGE) + load.virt % PAGE;
        writer.reserve_until(start);
        places.push(writer.reserve(load.file.len() as u64, 1));
    }
    writer.write_file_header(&FileHeader {
        e_type: ET_EXEC,
        e_machine: if wide { EM_X86_64 } else { EM_386 },
        e_entry: entry,
        ..FileHeader::default()
    })?;
    writer.write_align_program_headers();
    for (load, place) in loads.iter().zip(&places) {
        writer.write_program_header(&ProgramHeader {
            p_type: PT_LOAD,
            p_flags: ProgramFlags(load.flags),
            p_offset: *place,
            p_vaddr: load.virt,
            p_paddr: load.phys,
            p_filesz: load.file.len() as u64,
            p_memsz: load.memory_size,
            p_align: PAGE,
        });
    }
    for (load, place) in loads.iter().zip(&places) {
        writer.pad_until(*place);
        writer.write(&load.file);
    }
    Ok(file)
}
