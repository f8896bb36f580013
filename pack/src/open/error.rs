//! Why a file could not be opened as a kernel, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::input::InputCause;

use super::{Compression, Layer, MAX_LAYERS, MAX_STREAMS};

/// A kernel file that could not be opened: which, in which of its layers, and why.
#[derive(Debug)]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// The layers that were opened before, the outermost first.
    pub inside: Vec<Layer>,
    /// What is wrong.
    pub cause: OpenCause,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        for layer in &self.inside {
            write!(f, "in the {layer}: ")?;
        }
        self.cause.fmt(f)
    }
}

impl std::error::Error for OpenError {}

/// What is wrong with a kernel file.
#[derive(Debug, thiserror::Error)]
pub enum OpenCause {
    /// There are no bytes to look at.
    #[error(transparent)]
    Input(#[from] InputCause),
    /// Readable text.
    #[error("is text (begins with {start:?}): expected an ELF file, a bzImage, or one of them compressed")]
    Text {
        /// The start of the first line.
        start: String,
    },
    /// A cpio archive.
    #[error("is a cpio archive, as an initrd is: expected a kernel (give an initrd with --initrd)")]
    Initrd,
    /// A pack.
    #[error("is a pack already: expected the kernel that it was made from (`pack info` shows what is in it)")]
    Pack,
    /// An EFI program without Linux' setup header.
    #[error("is an EFI program and not a bzImage: take the kernel out of it first")]
    Efi,
    /// Nothing that is known here.
    #[error("is not a kernel: begins with {start}; expected an ELF file, a bzImage, or one of them compressed")]
    Unknown {
        /// The first bytes, in hexadecimal.
        start: String,
    },
    /// The ELF header is cut off.
    #[error("is an ELF file of only {len} bytes, too short for its header: get the whole file")]
    TruncatedElf {
        /// Bytes that there are.
        len: usize,
    },
    /// An ELF file for something that is not x86.
    #[error(
        "is an ELF file for {} ({}): expected one for x86 (x86-64 or i386)",
        machine_name(*machine),
        if *big_endian { "big endian" } else { "little endian" }
    )]
    ForeignElf {
        /// e_machine.
        machine: u16,
        /// Byte order.
        big_endian: bool,
    },
    /// The image is shorter than its header says.
    #[error("is a truncated bzImage: its payload ends at byte {needs}, the file has {has}: get the whole file")]
    TruncatedBzImage {
        /// Bytes that there would have to be.
        needs: u64,
        /// Bytes that there are.
        has: u64,
    },
    /// A boot protocol that does not say where the payload is.
    #[error("is a bzImage with boot protocol {major}.{minor:02}, expected 2.08 or later: give its vmlinux instead")]
    OldBzImage {
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// The header says that the payload has no bytes.
    #[error("is a bzImage without payload: give its vmlinux instead")]
    NoPayload,
    /// A compressed stream ends too early.
    #[error("the {compression} stream ends too early: get the whole file")]
    TruncatedStream {
        /// Of what compression.
        compression: Compression,
    },
    /// A compressed stream does not decode.
    #[error("the {compression} stream is damaged ({error}): get the file again")]
    CorruptStream {
        /// Of what compression.
        compression: Compression,
        /// What the decoder says.
        error: io::Error,
    },
    /// Behind the streams there is something else, which would be lost.
    #[error(
        "{len} bytes follow the {compression} stream, and are no part of it: cut them off, or decompress the file first"
    )]
    Followed {
        /// Of what compression.
        compression: Compression,
        /// How many.
        len: usize,
    },
    /// Streams without end, each of which costs time whatever is in it.
    #[error("more than {MAX_STREAMS} {compression} streams, one after the other: compress it anew, as one")]
    TooManyStreams {
        /// Of what compression.
        compression: Compression,
    },
    /// Compressed again and again.
    #[error("is packed in more than {MAX_LAYERS} layers: decompress it first")]
    TooManyLayers,
}

impl OpenCause {
    /// The error for bytes of no known form, as telling as they allow.
    pub(super) fn unknown(bytes: &[u8]) -> Self {
        if bytes.starts_with(&shared::format::MAGIC) {
            return Self::Pack;
        }
        if bytes.starts_with(b"07070") {
            return Self::Initrd;
        }
        if bytes.starts_with(b"MZ") {
            return Self::Efi;
        }
        if let Some(start) = first_line(bytes) {
            return Self::Text { start };
        }
        let start = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        Self::Unknown { start }
    }
}

/// The start of the first line, if `bytes` begin with text.
fn first_line(bytes: &[u8]) -> Option<String> {
    /// Bytes that are looked at, and characters that are shown.
    const LOOKED_AT: usize = 512;
    const SHOWN: usize = 40;

    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character that the cut went through does not make it less of a text.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let plain = !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace());
    plain.then(|| text.trim_start().chars().take_while(|&c| c != '\n').take(SHOWN).collect())
}

/// The name of an ELF machine (gABI, "ELF Header", e_machine), for those that kernels are built for.
fn machine_name(machine: u16) -> String {
    let name = match machine {
        2 | 43 => "SPARC",
        3 => "i386",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "PowerPC64",
        22 => "S/390",
        40 => "Arm",
        50 => "Itanium",
        62 => "x86-64",
        183 => "AArch64",
        243 => "RISC-V",
        258 => "LoongArch",
        _ => return format!("machine {machine}"),
    };
    name.to_owned()
}
