//! BSD_SYMTAB: the symbol table that a builder puts behind the kernel, in the way of libelf's `elf_parse_bsdsyms` and
//! `elf_load_bsdsyms`.
//!
//! From the first multiple of 8 (ELF32: 4) at or behind the kernel's end on:
//!
//! | offset | content |
//! |---|---|
//! | 0 | u32: bytes from offset 4 to the end of the strings |
//! | 4 | a copy of the ELF header, without program headers, with 3 section headers at offset 64 from here |
//! | 68 | section headers: null, SYMTAB, STRTAB; their offsets count from offset 4 |
//! | 260, rounded up | the symbol table; in ELF32 too, whose headers end sooner |
//! | rounded up | its strings |

use super::head::{Class, Head};
use super::sections::{SHT_STRTAB, SHT_SYMTAB, Section, Sections};
use super::{KernelFile, ReadError};
use crate::memory::FileRange;

/// Bytes of the size word.
const SIZE: usize = 4;
/// Bytes kept free for an ELF header of either class.
const HEADER: usize = 64;
/// Bytes of size word, ELF header and three section headers, of the wider class.
pub const SYMBOL_HEADERS: usize = SIZE + HEADER + 3 * 64;
/// What libelf keeps free for the headers, by class: it counts the size word twice.
const fn reserved(class: Class) -> u64 {
    (2 * SIZE + HEADER + 3 * class.section_header_len()) as u64
}

/// A kernel's symbol table and its strings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbols {
    class: Class,
    header: [u8; 64],
    symtab: [u8; 64],
    strtab: [u8; 64],
    /// Where the symbols are in the file.
    pub symbols: FileRange,
    /// Where their strings are in the file.
    pub strings: FileRange,
}

impl Symbols {
    /// Finds the first SHT_SYMTAB and the strings it links to. `None` if the file has none that libelf would take.
    pub(super) fn read<F: KernelFile>(file: &mut F, head: &Head) -> Result<Option<Self>, ReadError<F::Error>> {
        let Some(table) = head.sections else { return Ok(None) };
        let sections = Sections::new(head.class, table)?;
        let Some(symtab) = sections.find(file, 1, &|section| section.kind == SHT_SYMTAB)? else { return Ok(None) };
        if symtab.link == 0 {
            return Ok(None);
        }
        let Some(strtab) = sections.get(file, symtab.link)?.filter(|section| section.kind == SHT_STRTAB) else {
            return Ok(None);
        };
        let file_len = file.len();
        let range = |section: &Section| {
            section.range(file_len).ok_or(ReadError::SymbolsOutside {
                offset: section.offset,
                len: section.len,
                file_len,
            })
        };
        let (symbols, strings) = (range(&symtab)?, range(&strtab)?);
        let (symtab, strtab) = (symtab.bytes, strtab.bytes);
        Ok(Some(Self { class: head.class, header: head.bytes, symtab, strtab, symbols, strings }))
    }

    /// Where all this goes behind a kernel that ends at `end`: the numbers are `p_paddr` values, as `end` is. `None`
    /// past 64 bits.
    pub(super) fn layout(&self, end: u64) -> Option<SymbolLayout> {
        let align = match self.class {
            Class::Elf32 => 4,
            Class::Elf64 => 8,
        };
        let round = |at: u64| at.checked_next_multiple_of(align);
        let start = round(end)?;
        let symbols = round(start.checked_add(SYMBOL_HEADERS as u64)?)?;
        let strings = round(symbols.checked_add(self.symbols.len())?)?;
        let used = strings.checked_add(self.strings.len())?;
        let len = round(round(reserved(self.class))?.checked_add(self.symbols.len())?)?;
        let end = start.checked_add(round(len.checked_add(self.strings.len())?)?)?;
        Some(SymbolLayout { start, symbols, strings, used, end })
    }

    /// The bytes from the layout's start on: size word and headers.
    pub(super) fn headers(&self, layout: &SymbolLayout) -> [u8; SYMBOL_HEADERS] {
        let mut bytes = [0; SYMBOL_HEADERS];
        let base = layout.start.wrapping_add(SIZE as u64);
        let size = layout.used.wrapping_sub(base);
        bytes[..SIZE].copy_from_slice(&(size as u32).to_le_bytes());
        bytes[SIZE..SIZE + HEADER].copy_from_slice(&self.elf_header());
        let len = self.class.section_header_len();
        let symtab = self.section(&self.symtab, layout.symbols.wrapping_sub(base), Some(2));
        let strtab = self.section(&self.strtab, layout.strings.wrapping_sub(base), None);
        for (number, header) in [(1, symtab), (2, strtab)] {
            let at = SIZE + HEADER + number * len;
            bytes[at..at + len].copy_from_slice(&header[..len]);
        }
        bytes
    }

    /// The copy of the ELF header: no program headers, three section headers behind it.
    fn elf_header(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let len = self.class.header_len();
        bytes[..len].copy_from_slice(&self.header[..len]);
        let mut put = |at: usize, value: u16| bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        // Of e_version, e_phoff and e_shoff each 16-bit part; then e_ehsize .. e_shstrndx.
        let (phoff, shoff, words, rest) = match self.class {
            Class::Elf32 => (28, 32, 2, 40),
            Class::Elf64 => (32, 40, 4, 52),
        };
        put(20, 1);
        put(22, 0);
        for word in 0..words {
            put(phoff + 2 * word, 0);
            put(shoff + 2 * word, if word == 0 { HEADER as u16 } else { 0 });
        }
        let fields = [self.class.header_len() as u16, 0, 0, self.class.section_header_len() as u16, 3, 0];
        for (number, field) in fields.into_iter().enumerate() {
            put(rest + 2 * number, field);
        }
        bytes
    }

    /// A section header with a new `sh_offset`, and `sh_link` if given.
    fn section(&self, header: &[u8; 64], offset: u64, link: Option<u32>) -> [u8; 64] {
        let mut bytes = *header;
        let link_at = match self.class {
            Class::Elf32 => {
                bytes[16..20].copy_from_slice(&(offset as u32).to_le_bytes());
                24
            }
            Class::Elf64 => {
                bytes[24..32].copy_from_slice(&offset.to_le_bytes());
                40
            }
        };
        if let Some(link) = link {
            bytes[link_at..link_at + 4].copy_from_slice(&link.to_le_bytes());
        }
        bytes
    }
}

/// Where the parts of the symbol table go, in the same numbers as the kernel's end that it follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SymbolLayout {
    /// The size word.
    pub(super) start: u64,
    /// The symbols.
    pub(super) symbols: u64,
    /// The strings.
    pub(super) strings: u64,
    /// Behind the strings.
    pub(super) used: u64,
    /// What libelf takes as the kernel's end. In ELF32 it can lie before `used`, because libelf counts narrower headers
    /// there than it leaves room for.
    pub(super) end: u64,
}
