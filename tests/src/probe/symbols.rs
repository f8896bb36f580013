//! Symbols for a kernel made of the probe, for a builder that is to load them: bytes of no meaning, of odd lengths.

use object::elf::{SHT_STRTAB, SHT_SYMTAB};
use object::write::elf::{SectionHeader, Writer};

use super::Content;

/// Bytes of the symbols and of their strings.
const LENS: [usize; 2] = [24 * 199, 2357];

/// Where they are in the file.
pub(super) struct Places([u64; 2]);

/// Makes room for both, and for the section headers.
pub(super) fn reserve(writer: &mut Writer<'_>) -> Places {
    let places = LENS.map(|len| {
        writer.reserve_section_index();
        writer.reserve(len as u64, 8)
    });
    writer.reserve_section_headers();
    Places(places)
}

/// Writes all of it.
pub(super) fn write(writer: &mut Writer<'_>, places: &Places) {
    for (place, len) in places.0.iter().zip(LENS) {
        writer.pad_until(*place);
        writer.write(&Content::Noise(len as u64).bytes(len));
    }
    writer.write_null_section_header();
    let [symbols, strings] = places.0;
    let header = |sh_type, sh_offset, len: usize, sh_link, sh_entsize| SectionHeader {
        sh_name: 0,
        sh_type,
        sh_flags: Default::default(),
        sh_addr: 0,
        sh_offset,
        sh_size: len as u64,
        sh_link,
        sh_info: 1,
        sh_addralign: 8,
        sh_entsize,
    };
    writer.write_section_header(&header(SHT_SYMTAB, symbols, LENS[0], 2, 24));
    writer.write_section_header(&header(SHT_STRTAB, strings, LENS[1], 0, 0));
}
