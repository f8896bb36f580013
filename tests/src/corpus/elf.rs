//! Writes the ELF file of a description, byte by byte: what an ELF library would refuse to write is wanted here too.

use shared::kernel::Class;

use super::{Description, Load, Place};

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_NOTE: u32 = 7;
/// Number of the section that holds the symbols' strings: the first but the null section and the symbols.
const STRINGS: u32 = 2;

/// A file under construction.
struct Writer {
    class: Class,
    bytes: Vec<u8>,
    program_headers: Vec<u8>,
    sections: Vec<u8>,
    section_count: u16,
    names: Vec<u8>,
}

/// A section header's fields.
struct Section<'a> {
    name: &'a str,
    kind: u32,
    offset: u64,
    len: u64,
    link: u32,
}

/// The file of `description`.
pub(super) fn write(description: &Description) -> Vec<u8> {
    let class = description.class;
    let in_segments = description.notes.iter().filter(|notes| notes.place != Place::Section).count();
    let count = description.loads.len() + in_segments;
    let start = class.header_len() + count * program_header_len(class);
    let (program_headers, sections, names) = (Vec::new(), Vec::new(), vec![0]);
    let mut writer = Writer { class, bytes: vec![0; start], program_headers, sections, section_count: 0, names };
    writer.section(&Section { name: "", kind: 0, offset: 0, len: 0, link: 0 });
    writer.symbols(description.symbols);
    writer.loads(&description.loads);
    writer.notes(description);
    for name in &description.sections {
        writer.section(&Section { name, kind: SHT_PROGBITS, offset: 0, len: 0, link: 0 });
    }
    if let Some(guest) = &description.guest {
        let offset = writer.append(guest, 1);
        writer.section(&Section { name: "__xen_guest", kind: SHT_PROGBITS, offset, len: guest.len() as u64, link: 0 });
    }
    writer.finish(description, count as u16)
}

const fn program_header_len(class: Class) -> usize {
    match class {
        Class::Elf32 => 32,
        Class::Elf64 => 56,
    }
}

/// Bytes that differ from place to place, so that a byte in the wrong place shows.
fn pattern(at: usize) -> u8 {
    ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 | 1
}

impl Writer {
    /// Makes the file at least `len` bytes long.
    fn fill(&mut self, len: usize) {
        let from = self.bytes.len();
        self.bytes.extend((from..len.max(from)).map(pattern));
    }

    /// Appends bytes at a multiple of `align`. Returns where.
    fn append(&mut self, bytes: &[u8], align: usize) -> u64 {
        self.fill(self.bytes.len().next_multiple_of(align));
        self.bytes.extend(bytes);
        (self.bytes.len() - bytes.len()) as u64
    }

    /// A field that is as wide as the class.
    fn word(&self, bytes: &mut Vec<u8>, value: u64) {
        match self.class {
            Class::Elf32 => bytes.extend((value as u32).to_le_bytes()),
            Class::Elf64 => bytes.extend(value.to_le_bytes()),
        }
    }

    fn program_header(&mut self, kind: u32, load: &Load, offset: u64) {
        let mut bytes = kind.to_le_bytes().to_vec();
        let fields = [offset, load.vaddr, load.paddr, load.file_len, load.memory_len];
        if self.class == Class::Elf64 {
            bytes.extend(load.flags.to_le_bytes());
        }
        fields.into_iter().for_each(|field| self.word(&mut bytes, field));
        if self.class == Class::Elf32 {
            bytes.extend(load.flags.to_le_bytes());
        }
        self.word(&mut bytes, load.align);
        self.program_headers.extend(bytes);
    }

    fn section(&mut self, section: &Section<'_>) {
        let mut bytes = (self.names.len() as u32).to_le_bytes().to_vec();
        if section.name.is_empty() {
            bytes = vec![0; 4];
        } else {
            self.names.extend(section.name.bytes().chain([0]));
        }
        bytes.extend(section.kind.to_le_bytes());
        [0, 0, section.offset, section.len].into_iter().for_each(|field| self.word(&mut bytes, field));
        bytes.extend(section.link.to_le_bytes());
        bytes.extend([0; 4]);
        [1, 0].into_iter().for_each(|field| self.word(&mut bytes, field));
        self.sections.extend(bytes);
        self.section_count += 1;
    }

    fn symbols(&mut self, lens: Option<(u64, u64)>) {
        let Some((symbols, strings)) = lens else { return };
        for (name, kind, len, link) in [(".symtab", SHT_SYMTAB, symbols, STRINGS), (".strtab", SHT_STRTAB, strings, 0)]
        {
            // Their bytes follow the segments: their places are known only then.
            self.section(&Section { name, kind, offset: 0, len, link });
        }
    }

    /// Gives the symbol sections their places.
    fn place_symbols(&mut self, lens: Option<(u64, u64)>) {
        let Some((symbols, strings)) = lens else { return };
        let (header, at) = match self.class {
            Class::Elf32 => (40, 16),
            Class::Elf64 => (64, 24),
        };
        for (number, len) in [(1, symbols), (2, strings)] {
            let offset = self.bytes.len();
            self.fill(offset + len as usize);
            let mut bytes = Vec::new();
            self.word(&mut bytes, offset as u64);
            let at = number * header + at;
            self.sections[at..at + bytes.len()].copy_from_slice(&bytes);
        }
    }

    fn loads(&mut self, loads: &[Load]) {
        let ends = loads.iter().filter_map(|load| load.offset?.checked_add(load.file_len));
        let end = ends.max().unwrap_or(0);
        self.fill(end as usize);
        for load in loads {
            let offset = load.offset.unwrap_or_else(|| {
                let offset = self.bytes.len().next_multiple_of(16);
                self.fill(offset + load.file_len as usize);
                offset as u64
            });
            self.program_header(PT_LOAD, load, offset);
        }
    }

    fn notes(&mut self, description: &Description) {
        for notes in &description.notes {
            let offset = self.append(&notes.bytes, 4);
            let len = (notes.bytes.len() as u64).saturating_sub(notes.cut);
            self.section(&Section { name: ".note.Xen", kind: SHT_NOTE, offset, len, link: 0 });
            let load = Load { paddr: 0, vaddr: 0, file_len: len, memory_len: 0, flags: 4, offset: None, align: 4 };
            match notes.place {
                Place::Segment => self.program_header(PT_NOTE, &load, offset),
                Place::SegmentAtZero => self.program_header(PT_NOTE, &load, 0),
                Place::Section => {}
            }
        }
    }

    /// Writes the section table and the headers.
    fn finish(mut self, description: &Description, count: u16) -> Vec<u8> {
        self.place_symbols(description.symbols);
        let (offset, len) = (self.bytes.len() as u64, self.names.len() as u64 + ".shstrtab\0".len() as u64);
        self.section(&Section { name: ".shstrtab", kind: SHT_STRTAB, offset, len, link: 0 });
        let names = std::mem::take(&mut self.names);
        self.append(&names, 1);
        let sections = std::mem::take(&mut self.sections);
        let shoff = self.append(&sections, 8);
        let (class, header_len) = (self.class, self.class.header_len());
        let mut header = b"\x7fELF\0\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        header[4] = if class == Class::Elf32 { 1 } else { 2 };
        header.extend(description.kind.to_le_bytes());
        header.extend(description.machine.to_le_bytes());
        header.extend(1u32.to_le_bytes());
        [description.entry, header_len as u64, shoff].into_iter().for_each(|field| self.word(&mut header, field));
        header.extend([0; 4]);
        let lens = [header_len, program_header_len(class), usize::from(count), class.section_header_len()];
        lens.into_iter().for_each(|len| header.extend((len as u16).to_le_bytes()));
        [self.section_count, self.section_count - 1].into_iter().for_each(|half| header.extend(half.to_le_bytes()));
        self.bytes[..header_len].copy_from_slice(&header);
        self.bytes[header_len..header_len + self.program_headers.len()].copy_from_slice(&self.program_headers);
        self.bytes
    }
}
