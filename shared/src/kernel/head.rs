//! The ELF header and the program headers, read by `xmas-elf` behind a guard.
//!
//! `xmas-elf` indexes with what the headers say and asserts alignment, so it panics on many a broken head. The guard
//! checks first what it relies on, and hands it a copy: the ELF header with the program headers right behind it, 8-byte
//! aligned, with `e_phoff` saying so. Fields of the section table, which our own code reads, are zero in the copy.

use xmas_elf::ElfFile;
use xmas_elf::program::{ProgramHeader, Type};
use zerocopy::IntoBytes;

use super::bytes::{u16_at, u32_at, u64_at};
use super::relocate::Dynamic;
use super::segment::{Access, MAX_SEGMENTS, Segment};
use super::{KernelFile, ReadError};
use crate::memory::{FileRange, Virt};

/// Bytes of an ELF64 header, the larger of the two (ELF specification, `Elf64_Ehdr`).
const MAX_HEADER: usize = 64;
/// Bytes of an ELF64 program header (`Elf64_Phdr`).
const MAX_PROGRAM_HEADER: usize = 56;
/// Words of the copy that `xmas-elf` reads.
const COPY_WORDS: usize = (MAX_HEADER + MAX_SEGMENTS * MAX_PROGRAM_HEADER) / 8;

/// Width of an ELF file (`EI_CLASS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// 32 bits.
    Elf32,
    /// 64 bits.
    Elf64,
}

impl Class {
    /// The name that people use for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Elf32 => "ELF32",
            Self::Elf64 => "ELF64",
        }
    }

    /// Bytes of the ELF header (`Elf32_Ehdr`, `Elf64_Ehdr`).
    pub const fn header_len(self) -> usize {
        match self {
            Self::Elf32 => 52,
            Self::Elf64 => 64,
        }
    }

    const fn program_header_len(self) -> usize {
        match self {
            Self::Elf32 => 32,
            Self::Elf64 => 56,
        }
    }

    /// Bytes of an address.
    pub(super) const fn word(self) -> u64 {
        match self {
            Self::Elf32 => 4,
            Self::Elf64 => 8,
        }
    }

    /// Bytes of a section header (`Elf32_Shdr`, `Elf64_Shdr`).
    pub const fn section_header_len(self) -> usize {
        match self {
            Self::Elf32 => 40,
            Self::Elf64 => 64,
        }
    }
}

/// Processor of an ELF file (`e_machine`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// EM_386.
    I386,
    /// EM_X86_64.
    X86_64,
}

impl Machine {
    /// The name that people use for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I386 => "i386",
            Self::X86_64 => "x86-64",
        }
    }
}

/// Where the section headers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SectionTable {
    /// All headers; within the file.
    pub(super) range: FileRange,
    /// Bytes from one to the next.
    pub(super) stride: u64,
    /// Number of headers.
    pub(super) count: u16,
    /// Number of the section that holds the names.
    pub(super) names: u16,
}

/// What the ELF header and the program headers say.
pub(super) struct Head {
    pub(super) class: Class,
    pub(super) machine: Machine,
    pub(super) entry: u64,
    pub(super) bytes: [u8; MAX_HEADER],
    pub(super) program_headers: FileRange,
    pub(super) segments: heapless::Vec<Segment, MAX_SEGMENTS>,
    pub(super) notes: heapless::Vec<FileRange, MAX_SEGMENTS>,
    pub(super) sections: Option<SectionTable>,
    /// Of a file of type DYN.
    pub(super) dynamic: Option<Dynamic>,
}

impl Head {
    /// Reads and checks both.
    pub(super) fn read<F: KernelFile>(file: &mut F) -> Result<Self, ReadError<F::Error>> {
        let (class, bytes) = header(file)?;
        let machine = machine(&bytes)?;
        let program_headers = program_headers(file, class, &bytes)?;
        let mut copy = [0u64; COPY_WORDS];
        compose(file, class, &bytes, program_headers, copy.as_mut_bytes())?;
        let elf = ElfFile::new(copy.as_bytes()).map_err(|_| ReadError::Header)?;
        let mut head = Self {
            class,
            machine,
            entry: elf.header.pt2.entry_point(),
            sections: sections(file, class, &bytes)?,
            // ET_DYN.
            dynamic: (u16_at(&bytes, 16) == 3).then(Dynamic::default),
            bytes,
            program_headers,
            segments: heapless::Vec::new(),
            notes: heapless::Vec::new(),
        };
        for index in 0..elf.header.pt2.ph_count() {
            if let Ok(header) = elf.program_header(index) {
                head.add(index, &header, file.len())?;
            }
        }
        if head.segments.is_empty() { Err(ReadError::NothingToLoad) } else { Ok(head) }
    }

    /// Takes a program header's part into the tables.
    fn add<E>(&mut self, index: u16, header: &ProgramHeader<'_>, file_len: u64) -> Result<(), ReadError<E>> {
        match header.get_type() {
            Ok(Type::Load) if header.flags().0 & 7 != 0 => {
                let segment = segment(index, header, file_len)?;
                self.segments.push(segment).map_err(|_| ReadError::TooManyProgramHeaders { found: index })
            }
            Ok(Type::Dynamic) => {
                if let Some(dynamic) = &mut self.dynamic {
                    *dynamic = Dynamic { offset: header.offset(), len: header.file_size() };
                }
                Ok(())
            }
            // Old binutils left p_offset 0 in a PT_NOTE that has no place in the file; libelf skips it likewise.
            Ok(Type::Note) if header.offset() != 0 => {
                let range = FileRange::new(header.offset(), header.file_size())
                    .ok()
                    .filter(|range| range.end() <= file_len)
                    .ok_or(ReadError::NotesOutside { offset: header.offset(), len: header.file_size(), file_len })?;
                self.notes.push(range).map_err(|_| ReadError::TooManyProgramHeaders { found: index })
            }
            _ => Ok(()),
        }
    }
}

/// The ELF header's bytes, with what `xmas-elf` and we rely on checked.
fn header<F: KernelFile>(file: &mut F) -> Result<(Class, [u8; MAX_HEADER]), ReadError<F::Error>> {
    let file_len = file.len();
    let len = file_len.min(MAX_HEADER as u64);
    let mut bytes = [0; MAX_HEADER];
    let found = super::view(file, 0, len)?;
    for (to, from) in bytes.iter_mut().zip(found) {
        *to = *from;
    }
    if bytes[..4] != xmas_elf::header::MAGIC {
        return Err(ReadError::Magic);
    }
    let class = match bytes[4] {
        1 => Class::Elf32,
        2 => Class::Elf64,
        found => return Err(ReadError::Class { found }),
    };
    if len < class.header_len() as u64 {
        return Err(ReadError::Short { found: file_len });
    }
    if bytes[5] != 1 {
        return Err(ReadError::Data { found: bytes[5] });
    }
    Ok((class, bytes))
}

fn machine<E>(bytes: &[u8; MAX_HEADER]) -> Result<Machine, ReadError<E>> {
    match u16_at(bytes, 18) {
        3 => Ok(Machine::I386),
        62 => Ok(Machine::X86_64),
        found => Err(ReadError::Machine { found }),
    }
}

/// A field of the ELF header that is as wide as the class: at `elf32` or `elf64`.
fn word(class: Class, bytes: &[u8; MAX_HEADER], elf32: usize, elf64: usize) -> u64 {
    match class {
        Class::Elf32 => u64::from(u32_at(bytes, elf32)),
        Class::Elf64 => u64_at(bytes, elf64),
    }
}

/// A 16-bit field of the ELF header: at `elf32` or `elf64`.
fn half(class: Class, bytes: &[u8; MAX_HEADER], elf32: usize, elf64: usize) -> u16 {
    match class {
        Class::Elf32 => u16_at(bytes, elf32),
        Class::Elf64 => u16_at(bytes, elf64),
    }
}

/// Where the program headers are: inside the file, of the size that the class has.
fn program_headers<F: KernelFile>(
    file: &F,
    class: Class,
    bytes: &[u8; MAX_HEADER],
) -> Result<FileRange, ReadError<F::Error>> {
    let offset = word(class, bytes, 28, 32);
    let size = half(class, bytes, 42, 54);
    let count = half(class, bytes, 44, 56);
    let expected = class.program_header_len();
    if count == 0 {
        return Err(ReadError::NothingToLoad);
    }
    if usize::from(size) != expected {
        return Err(ReadError::ProgramHeaderSize { found: size, expected: expected as u16 });
    }
    if usize::from(count) > MAX_SEGMENTS {
        return Err(ReadError::TooManyProgramHeaders { found: count });
    }
    let len = u64::from(size) * u64::from(count);
    FileRange::new(offset, len).ok().filter(|range| range.end() <= file.len()).ok_or(ReadError::ProgramHeadersOutside {
        offset,
        len,
        file_len: file.len(),
    })
}

/// Where the section headers are, or `None` if the file has none. A table that is not in the file is refused, as
/// libelf's `elf_init` does.
fn sections<F: KernelFile>(
    file: &F,
    class: Class,
    bytes: &[u8; MAX_HEADER],
) -> Result<Option<SectionTable>, ReadError<F::Error>> {
    let offset = word(class, bytes, 32, 40);
    let stride = u64::from(half(class, bytes, 46, 58));
    let count = half(class, bytes, 48, 60);
    let names = half(class, bytes, 50, 62);
    let len = stride * u64::from(count);
    let range = FileRange::new(offset, len)
        .ok()
        .filter(|range| range.end() <= file.len())
        .ok_or(ReadError::SectionHeadersOutside { offset, len, file_len: file.len() })?;
    if count == 0 || stride < class.section_header_len() as u64 {
        return Ok(None);
    }
    Ok(Some(SectionTable { range, stride, count, names }))
}

/// Writes what `xmas-elf` reads into `copy`: the ELF header, the program headers behind it, `e_phoff` to match, and
/// zeros for the section table.
fn compose<F: KernelFile>(
    file: &mut F,
    class: Class,
    bytes: &[u8; MAX_HEADER],
    program_headers: FileRange,
    copy: &mut [u8],
) -> Result<(), ReadError<F::Error>> {
    // Every program header is a multiple of 8 bytes long, and so is 56, from which those of an ELF32 start.
    let start = class.header_len().next_multiple_of(8);
    copy[..MAX_HEADER].copy_from_slice(bytes);
    let (phoff, shoff, shentsize) = match class {
        Class::Elf32 => (28..32, 32..36, 46..52),
        Class::Elf64 => (32..40, 40..48, 58..64),
    };
    copy[shoff].fill(0);
    copy[shentsize].fill(0);
    copy[phoff.clone()].fill(0);
    copy[phoff.start] = start as u8;
    let headers = super::view(file, program_headers.offset(), program_headers.len())?;
    copy[start..start + headers.len()].copy_from_slice(headers);
    Ok(())
}

/// A PT_LOAD, with its bounds checked.
fn segment<E>(index: u16, header: &ProgramHeader<'_>, file_len: u64) -> Result<Segment, ReadError<E>> {
    let (offset, len, memory_len) = (header.offset(), header.file_size(), header.mem_size());
    if len > memory_len {
        return Err(ReadError::SegmentShrinks { index, len, memory_len });
    }
    // A segment without bytes in the file may say any offset.
    let offset = if len == 0 { 0 } else { offset };
    let file = FileRange::new(offset, len)
        .ok()
        .filter(|range| range.end() <= file_len)
        .ok_or(ReadError::SegmentOutside { index, offset, len, file_len })?;
    let paddr = header.physical_addr();
    if paddr.checked_add(memory_len).is_none() {
        return Err(ReadError::SegmentWraps { index, paddr, memory_len });
    }
    let flags = header.flags();
    Ok(Segment {
        index,
        access: Access { read: flags.is_read(), write: flags.is_write(), execute: flags.is_execute() },
        file,
        paddr,
        vaddr: Virt(header.virtual_addr()),
        memory_len,
        align: header.align(),
    })
}
