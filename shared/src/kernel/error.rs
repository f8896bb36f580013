//! Why a file is no kernel that can be read.

use core::fmt;

use crate::kernel::guest_string::MAX_GUEST_STRING;
use crate::kernel::notes::MAX_NOTES;
use crate::kernel::{MAX_SEGMENTS, MAX_VIEW};
use crate::memory::FileRange;

/// Why a file is no kernel that can be read. `E` is what the file itself can fail with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError<E> {
    /// A piece of the file could not be had.
    File(E),
    /// A piece of the file came with another length than asked for.
    View {
        /// The piece.
        range: FileRange,
        /// Bytes that came.
        found: u64,
    },
    /// Fewer bytes than an ELF header.
    Short {
        /// Bytes in the file.
        found: u64,
    },
    /// The first four bytes are not ELF's.
    Magic,
    /// EI_CLASS is neither 1 nor 2.
    Class {
        /// The byte.
        found: u8,
    },
    /// EI_DATA is not 1, little endian.
    Data {
        /// The byte.
        found: u8,
    },
    /// The ELF header cannot be read.
    Header,
    /// `e_machine` is not of the x86 family.
    Machine {
        /// Its value.
        found: u16,
    },
    /// `e_phentsize` is not what the class has.
    ProgramHeaderSize {
        /// Bytes.
        found: u16,
        /// Bytes.
        expected: u16,
    },
    /// More than [`MAX_SEGMENTS`](super::MAX_SEGMENTS).
    TooManyProgramHeaders {
        /// Number of headers.
        found: u16,
    },
    /// The program headers are not all in the file.
    ProgramHeadersOutside {
        /// Offset, bytes.
        offset: u64,
        /// Bytes.
        len: u64,
        /// Bytes in the file.
        file_len: u64,
    },
    /// The section headers are not all in the file.
    SectionHeadersOutside {
        /// Offset, bytes.
        offset: u64,
        /// Bytes.
        len: u64,
        /// Bytes in the file.
        file_len: u64,
    },
    /// The section headers are needed, and are more than one view.
    TooManySections {
        /// Number of headers.
        found: u16,
    },
    /// The section names are needed, and are more than one view.
    SectionNamesTooLong {
        /// Bytes.
        len: u64,
    },
    /// No program header says what to load.
    NothingToLoad,
    /// A segment's bytes are not all in the file.
    SegmentOutside {
        /// Number of the program header.
        index: u16,
        /// Offset, bytes.
        offset: u64,
        /// Bytes.
        len: u64,
        /// Bytes in the file.
        file_len: u64,
    },
    /// A segment has more bytes in the file than in memory.
    SegmentShrinks {
        /// Number of the program header.
        index: u16,
        /// Bytes in the file.
        len: u64,
        /// Bytes in memory.
        memory_len: u64,
    },
    /// A segment ends past 64 bits of physical address.
    SegmentWraps {
        /// Number of the program header.
        index: u16,
        /// `p_paddr`.
        paddr: u64,
        /// Bytes in memory.
        memory_len: u64,
    },
    /// Notes are not all in the file.
    NotesOutside {
        /// Offset, bytes.
        offset: u64,
        /// Bytes.
        len: u64,
        /// Bytes in the file.
        file_len: u64,
    },
    /// Notes are more than one view.
    NotesTooLong {
        /// Bytes.
        len: u64,
    },
    /// More notes than libelf would look at.
    TooManyNotes,
    /// A Xen note, which is a number, runs past the end of its notes and of the file, or is longer than a view.
    NoteTruncated {
        /// Where it starts in the file.
        offset: u64,
    },
    /// The section `__xen_guest` is not in the file, or longer than the bound.
    GuestString {
        /// Offset, bytes.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// BSD_SYMTAB is asked for, and the symbols or their strings are not in the file.
    SymbolsOutside {
        /// Offset, bytes.
        offset: u64,
        /// Bytes.
        len: u64,
        /// Bytes in the file.
        file_len: u64,
    },
}

impl<E: fmt::Display> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::File(error) = self {
            return error.fmt(f);
        }
        f.write_str("kernel: ")?;
        match *self {
            Self::File(_) => Ok(()),
            Self::View { range, found } => write!(f, "bytes {range} came as {found:#x}"),
            Self::Short { found } => write!(f, "{found} bytes are too few for an ELF file"),
            Self::Magic => f.write_str("not an ELF file"),
            Self::Class { found } => write!(f, "ELF class {}, expected 1 or 2", u32::from(found)),
            Self::Data { found: 2 } => f.write_str("big-endian ELF, expected little-endian"),
            Self::Data { found } => write!(f, "ELF data encoding {}, expected 1", u32::from(found)),
            Self::Header => f.write_str("ELF header cannot be read"),
            Self::Machine { found } => {
                write!(f, "ELF for machine {}, expected 3 (i386) or 62 (x86-64)", u32::from(found))
            }
            Self::NothingToLoad => f.write_str("no program header says what to load"),
            Self::ProgramHeaderSize { found, expected } => {
                write!(f, "program headers of {} bytes, expected {}", u32::from(found), u32::from(expected))
            }
            Self::TooManyProgramHeaders { found } => {
                write!(f, "{} program headers, at most {MAX_SEGMENTS}", u32::from(found))
            }
            Self::ProgramHeadersOutside { offset, len, file_len } => {
                outside(f, "program headers", offset, len, file_len)
            }
            Self::SectionHeadersOutside { offset, len, file_len } => {
                outside(f, "section headers", offset, len, file_len)
            }
            Self::NotesOutside { offset, len, file_len } => outside(f, "notes", offset, len, file_len),
            Self::SymbolsOutside { offset, len, file_len } => outside(f, "symbols", offset, len, file_len),
            Self::SegmentOutside { index, offset, len, file_len } => {
                write!(
                    f,
                    "segment {}: {len:#x} bytes from {offset:#x} on are not in a file of {file_len:#x}",
                    u32::from(index)
                )
            }
            Self::SegmentShrinks { index, len, memory_len } => {
                write!(f, "segment {}: {len:#x} bytes in the file, {memory_len:#x} in memory", u32::from(index))
            }
            Self::SegmentWraps { index, paddr, memory_len } => {
                write!(f, "segment {}: {memory_len:#x} bytes from {paddr:#x} on exceed 64 bits", u32::from(index))
            }
            Self::TooManySections { found } => {
                write!(f, "table of {} section headers is longer than {} KiB", u32::from(found), MAX_VIEW / 1024)
            }
            Self::SectionNamesTooLong { len } => write!(f, "{len:#x} bytes of section names, at most {MAX_VIEW:#x}"),
            Self::NotesTooLong { len } => write!(f, "{len:#x} bytes of notes in one place, at most {MAX_VIEW:#x}"),
            Self::TooManyNotes => write!(f, "more than {MAX_NOTES} notes"),
            Self::NoteTruncated { offset } => {
                write!(f, "the Xen note at file offset {offset:#x} runs past the end of the file")
            }
            Self::GuestString { offset, len } => write!(
                f,
                "section __xen_guest, {len:#x} bytes at {offset:#x}: not in the file, or longer than {MAX_GUEST_STRING}"
            ),
        }
    }
}

/// The message about a part that is not in the file.
fn outside(f: &mut fmt::Formatter<'_>, part: &str, offset: u64, len: u64, file_len: u64) -> fmt::Result {
    write!(f, "{part}: {len:#x} bytes from {offset:#x} on are not in a file of {file_len:#x}")
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for ReadError<E> {}
