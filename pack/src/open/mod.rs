//! Opens a kernel file of any of the forms that people have, and gives the ELF inside.
//!
//! What a file is, is found by its content alone, never by its name:
//!
//! - an ELF file, 32 or 64 bit;
//! - a bzImage, whose payload is such an ELF compressed in any way that Linux knows;
//! - any of these compressed once more (`vmlinux.gz`, `xen.gz`, `bzImage.xz`), in one stream or several, with what the format
//!   allows between and behind them. All of a file counts: what is behind its streams is refused. A bzImage's payload is what its
//!   header says, and Linux has more in it than the stream.
//!
//! Input is not trusted: layers, sizes and the decoders' memory are bounded.

mod bzimage;
mod compression;
mod error;
mod lz4_legacy;
mod lzop;

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use bzimage::BzImage;
pub use compression::Compression;
use compression::End;
pub use error::{OpenCause, OpenError};

use crate::identity::Banner;
use crate::input::{self, InputCause};

/// Most bytes that a kernel file may have, at every layer: 1 GiB. A Linux with all debug information in it has about
/// 600 MiB; stage0's loaders cannot place more than the RAM below 4 GiB in one piece anyway.
pub const MAX_KERNEL: u64 = 1 << 30;

/// Most layers around an ELF. A compressed bzImage has three: the file's own compression, the bzImage, and the
/// compression of its payload.
pub const MAX_LAYERS: usize = 3;

/// Most streams of one compression, one after the other: each costs a decoder of its own, however little is in it. A compressor
/// writes one; of parallel ones, pbzip2 writes most, one for each 900,000 bytes, which makes 1,194 of [`MAX_KERNEL`].
pub const MAX_STREAMS: usize = 4096;

/// Bytes of a decoded layer after which it must be known what it is, lest a file that decodes to anything else fills
/// the memory first. Every kind is recognized by less: a bzImage, the latest of all, by its first 0x250 bytes.
const HEAD: u64 = 4096;

/// What was around the ELF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Linux' boot image. The compression of its payload, if any, is the next layer.
    BzImage,
    /// A compressed stream.
    Compressed(Compression),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BzImage => f.write_str("bzImage"),
            Self::Compressed(compression) => compression.fmt(f),
        }
    }
}

/// A kernel file that has been opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The ELF file, whole. From a bzImage: all that its payload decompresses to, which for a relocatable Linux is the ELF
    /// followed by its relocation table.
    pub elf: Vec<u8>,
    /// What was around it, the outermost first.
    pub layers: Vec<Layer>,
    /// Bytes of the file as it was.
    pub file_len: u64,
    /// Linux' release ("6.1.0-56-amd64"), if this is one: from the bzImage's header, else from the banner in the ELF.
    pub linux_version: Option<String>,
}

/// Opens the kernel file at `path`, which must be a regular file or a link to one.
pub fn open(path: &Path) -> Result<Opened, OpenError> {
    let at = |cause| OpenError { path: path.to_owned(), inside: Vec::new(), cause };
    let bytes = input::read(path, MAX_KERNEL).map_err(|cause| at(cause.into()))?;
    open_bytes(bytes).map_err(|(inside, cause)| OpenError { path: path.to_owned(), inside, cause })
}

/// Opens a kernel file whose bytes are in memory. An error comes with the layers that could be opened before it.
pub fn open_bytes(bytes: Vec<u8>) -> Result<Opened, (Vec<Layer>, OpenCause)> {
    open_bytes_within(bytes, MAX_KERNEL)
}

/// The same, where no layer may decode to more than `limit` bytes.
pub fn open_bytes_within(bytes: Vec<u8>, limit: u64) -> Result<Opened, (Vec<Layer>, OpenCause)> {
    let file_len = bytes.len() as u64;
    let mut layers = Vec::new();
    let mut linux_version = None;
    let mut bytes = bytes;
    loop {
        match peel(&bytes, limit, &mut layers, &mut linux_version) {
            Ok(None) => break,
            Ok(Some(inner)) => bytes = inner,
            Err(cause) => return Err((layers, cause)),
        }
    }
    let linux_version = linux_version.or_else(|| Banner::find(&bytes).map(|banner| banner.release.to_owned()));
    Ok(Opened { elf: bytes, layers, file_len, linux_version })
}

/// What a file's first bytes say it is.
enum Kind {
    Elf,
    BzImage,
    Compressed(Compression),
}

/// Takes one layer off, and notes it; `None` if `bytes` are an ELF file.
fn peel(
    bytes: &[u8],
    limit: u64,
    layers: &mut Vec<Layer>,
    version: &mut Option<String>,
) -> Result<Option<Vec<u8>>, OpenCause> {
    let kind = recognize(bytes)?;
    if let Kind::Elf = kind {
        check_elf(bytes)?;
        return Ok(None);
    }
    if layers.len() >= MAX_LAYERS {
        return Err(OpenCause::TooManyLayers);
    }
    match kind {
        Kind::Elf => Ok(None),
        Kind::BzImage => {
            let image = BzImage::read(bytes)?;
            layers.push(Layer::BzImage);
            *version = image.version();
            Ok(Some(image.payload.to_vec()))
        }
        Kind::Compressed(compression) => {
            let end = if layers.last() == Some(&Layer::BzImage) { End::Payload } else { End::File };
            layers.push(Layer::Compressed(compression));
            Ok(Some(decompress(compression, bytes, end, limit)?))
        }
    }
}

/// Says what `bytes` are by what they begin with.
fn recognize(bytes: &[u8]) -> Result<Kind, OpenCause> {
    if bytes.is_empty() {
        return Err(InputCause::Empty.into());
    }
    if bytes.starts_with(b"\x7fELF") {
        return Ok(Kind::Elf);
    }
    if BzImage::recognizes(bytes) {
        return Ok(Kind::BzImage);
    }
    if let Some(compression) = Compression::of(bytes) {
        return Ok(Kind::Compressed(compression));
    }
    Err(OpenCause::unknown(bytes))
}

/// Bytes of a decoded layer that are kept before its length is known. A kernel of a distribution has less; of what has more, the
/// rest is decoded twice, so that one that exceeds the limit takes no memory for it.
const KEPT: u64 = 128 << 20;

/// Bytes that a decoder is asked for at once.
const BUFFER: usize = 64 << 10;

/// Decodes the streams that `bytes` are, one after the other, to at most `limit` bytes: all of them, as the compression's own
/// program does, or what is behind them is refused. Of a bzImage's payload only what it begins with.
fn decompress(compression: Compression, bytes: &[u8], end: End, limit: u64) -> Result<Vec<u8>, OpenCause> {
    decompress_keeping(compression, bytes, end, limit, KEPT)
}

fn decompress_keeping(
    compression: Compression,
    bytes: &[u8],
    end: End,
    limit: u64,
    kept: u64,
) -> Result<Vec<u8>, OpenCause> {
    let mut decoded = Decoded { content: Vec::new(), len: 0, kept, limit };
    decoded.take(compression, bytes, end)?;
    if decoded.len <= kept {
        return Ok(decoded.content);
    }
    let mut decoded = Decoded { content: input::room(decoded.len)?, len: 0, kept: limit, limit };
    decoded.take(compression, bytes, end)?;
    Ok(decoded.content)
}

/// What came out of a decoder: the first bytes of it, and how many there are in all.
struct Decoded {
    content: Vec<u8>,
    len: u64,
    kept: u64,
    limit: u64,
}

impl Decoded {
    fn take(&mut self, mut compression: Compression, bytes: &[u8], end: End) -> Result<(), OpenCause> {
        let mut rest = bytes;
        let (mut first, mut parts) = (true, 0..MAX_STREAMS);
        loop {
            let next = compression.next(rest);
            let is_skipped = match (first, end) {
                // Skippable frames may come first, padding may not.
                (true, _) => next.is_none(),
                (false, end) => end == End::File,
            };
            let skipped = is_skipped && compression.skip(&mut rest).map_err(|error| failed(compression, error))?;
            if !skipped {
                match next {
                    Some(next) => compression = next,
                    None if rest.is_empty() || (!first && end == End::Payload) => return Ok(()),
                    None if first => {}
                    None => return Err(OpenCause::Followed { compression, len: rest.len() }),
                }
            }
            parts.next().ok_or(OpenCause::TooManyStreams { compression })?;
            if !skipped {
                first = false;
                let mut reader = compression.reader(&mut rest, end).map_err(|error| failed(compression, error))?;
                self.stream(compression, &mut *reader)?;
            }
        }
    }

    /// Takes all of one stream. Its reader is not asked again after its end, where some begin with the next stream.
    fn stream(&mut self, compression: Compression, reader: &mut dyn Read) -> Result<(), OpenCause> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => buffer.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(compression, error)),
            };
            let before = self.len;
            self.len += read.len() as u64;
            if self.len > self.limit {
                return Err(InputCause::TooLarge { limit: self.limit }.into());
            }
            let room = usize::try_from(self.kept.saturating_sub(before)).unwrap_or(usize::MAX);
            self.content.extend_from_slice(read.get(..room).unwrap_or(read));
            // However many streams its head is in.
            if before < HEAD && self.len >= HEAD {
                recognize(&self.content)?;
            }
        }
    }
}

/// Why a stream could not be read.
fn failed(compression: Compression, error: io::Error) -> OpenCause {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => OpenCause::TruncatedStream { compression },
        _ => OpenCause::CorruptStream { compression, error },
    }
}

/// Refuses ELF files for other machines by name. All else about an ELF is judged by the reading of it as a kernel.
fn check_elf(bytes: &[u8]) -> Result<(), OpenCause> {
    /// Offset of e_machine, in ELF files of either class (gABI, "ELF Header").
    const MACHINE: usize = 18;
    const BIG_ENDIAN: u8 = 2;
    const EM_386: u16 = 3;
    const EM_X86_64: u16 = 62;

    let (Some(&order), Some(&[low, high])) = (bytes.get(5), bytes.get(MACHINE..MACHINE + 2)) else {
        return Err(OpenCause::TruncatedElf { len: bytes.len() });
    };
    let machine = if order == BIG_ENDIAN { u16::from_be_bytes([low, high]) } else { u16::from_le_bytes([low, high]) };
    if order == BIG_ENDIAN || !matches!(machine, EM_386 | EM_X86_64) {
        return Err(OpenCause::ForeignElf { machine, big_endian: order == BIG_ENDIAN });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_decoded_than_the_limit() {
        let mut elf = b"\x7fELF".to_vec();
        elf.resize(1 << 20, 0);
        let frame = zstd::bulk::compress(&elf, 1).unwrap();
        let limit = elf.len() as u64;
        assert!(decompress(Compression::Zstd, &frame, End::File, limit).unwrap() == elf);
        let one_less = decompress(Compression::Zstd, &frame, End::File, limit - 1);
        assert!(matches!(one_less, Err(OpenCause::Input(InputCause::TooLarge { .. }))));
        // Decoded once or twice, it is the same.
        assert!(decompress_keeping(Compression::Zstd, &frame, End::File, limit, 5000).unwrap() == elf);
        // However many frames there are.
        let many = decompress(Compression::Zstd, &frame.repeat(1000), End::File, 2 * limit);
        assert!(matches!(many, Err(OpenCause::Input(InputCause::TooLarge { .. }))));
    }
}
