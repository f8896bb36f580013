//! The compressions that Linux knows for its own image, each told by its first bytes.

use std::fmt;
use std::io::{self, Read};

use super::MAX_KERNEL;
use super::{lz4_legacy, lzop};

/// Most memory that an LZMA decoder may take for its dictionary, KiB. A dictionary larger than what may come out has no
/// use; the last MiB is for the decoder itself.
const MAX_LZMA_KIB: u32 = (MAX_KERNEL / 1024) as u32 + 1024;

/// A compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// The older format of the LZMA utilities, 13 bytes of header and no check.
    Lzma,
    /// The .xz format, the x86 filter included.
    Xz,
    /// lzop's format around LZO1X.
    Lzo,
    /// The legacy LZ4 frame, which Linux uses (`lz4 -l`).
    Lz4Legacy,
    /// The LZ4 frame of today.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// What is behind the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing that is not of the compression's own format: the streams are a file.
    File,
    /// Whatever it is, it is none of theirs: Linux appends the decoded length to the payload of a bzImage.
    Payload,
}

/// What is behind the skippable frame (RFC 8878, 3.1.2; LZ4 has the same) that `bytes` begin with: `Some(None)` if it is cut off.
fn skippable(bytes: &[u8]) -> Option<Option<&[u8]>> {
    let (magic, rest) = bytes.split_first_chunk()?;
    if u32::from_le_bytes(*magic) & !0xf != 0x184d_2a50 {
        return None;
    }
    let behind = rest.split_first_chunk().and_then(|(len, rest)| rest.get(u32::from_le_bytes(*len) as usize..));
    Some(behind)
}

/// The decoder of LZMA reads ahead: at the end of the stream, it gives back what is not of it.
struct LzmaStream<'a, 'i> {
    decoder: Option<lzma_rust2::LzmaReader<&'a mut &'i [u8]>>,
    bytes: &'i [u8],
}

impl<'a, 'i> LzmaStream<'a, 'i> {
    fn new(input: &'a mut &'i [u8]) -> io::Result<Self> {
        let bytes = *input;
        Ok(Self { decoder: Some(lzma_rust2::LzmaReader::new_mem_limit(input, MAX_LZMA_KIB, None)?), bytes })
    }
}

impl Read for LzmaStream<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(mut decoder) = self.decoder.take() else { return Ok(0) };
        let read = decoder.read(out)?;
        if read > 0 || out.is_empty() {
            self.decoder = Some(decoder);
            return Ok(read);
        }
        let (input, unused) = decoder.into_parts();
        let left = input.len().saturating_add(unused.len());
        *input = self.bytes.get(self.bytes.len().saturating_sub(left)..).unwrap_or_default();
        Ok(0)
    }
}

/// A stream in any compression, decoded as it is read.
pub(super) type StreamReader<'a> = Box<dyn Read + 'a>;

impl Compression {
    /// Every compression.
    pub const ALL: [Self; 8] =
        [Self::Gzip, Self::Bzip2, Self::Lzma, Self::Xz, Self::Lzo, Self::Lz4Legacy, Self::Lz4, Self::Zstd];

    /// What a stream begins with. The old LZMA format has no magic: what Linux itself looks for (lib/decompress.c) is the
    /// byte of lc=3 lp=0 pb=2, which is all that is in use, and a dictionary of whole 256 bytes.
    const fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b],
            Self::Bzip2 => b"BZh",
            Self::Lzma => &[0x5d, 0x00],
            Self::Xz => b"\xfd7zXZ\0",
            Self::Lzo => lzop::MAGIC,
            Self::Lz4Legacy => &lz4_legacy::MAGIC,
            Self::Lz4 => &[0x04, 0x22, 0x4d, 0x18],
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }

    /// The compression that `bytes` begin with a stream of, if any. Skippable frames may stand before it; where nothing else is to be
    /// seen, they count as Zstandard's.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut skipped = false;
        while let Some(behind) = skippable(rest) {
            (rest, skipped) = (behind.unwrap_or_default(), true);
        }
        if rest.is_empty() && skipped {
            return Some(Self::Zstd);
        }
        let begins = |compression: &Self| rest.starts_with(compression.magic());
        Self::ALL.into_iter().filter(|compression| !skipped || compression.has_skippable()).find(begins)
    }

    /// Whether skippable frames may stand between its frames.
    const fn has_skippable(self) -> bool {
        matches!(self, Self::Zstd | Self::Lz4 | Self::Lz4Legacy)
    }

    /// Whether a frame of `other` may follow one of this, as the program of this compression has it.
    fn is_followed_by(self, other: Self) -> bool {
        // LZMA's streams stand alone.
        let lz4 = |of| matches!(of, Self::Lz4 | Self::Lz4Legacy);
        self != Self::Lzma && (self == other || (lz4(self) && lz4(other)))
    }

    /// The compression of the stream that `rest` begins with, found behind a stream of this one: parallel compressors write
    /// several. `None` where there is none.
    pub(super) fn next(self, rest: &[u8]) -> Option<Self> {
        let begins = |other: &Self| self.is_followed_by(*other) && rest.starts_with(other.magic());
        Self::ALL.into_iter().find(begins)
    }

    /// Takes from `rest`, found behind a stream, what the format has there that is no stream: gzip's zeros up to the end, xz's
    /// zeros in fours, one skippable frame. Whether there was any. A skippable frame that is cut off gives `UnexpectedEof`.
    pub(super) fn skip(self, rest: &mut &[u8]) -> io::Result<bool> {
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        let skipped = match self {
            Self::Gzip if zeros == rest.len() => zeros,
            Self::Xz => zeros - zeros % 4,
            _ if self.has_skippable() => match skippable(rest) {
                Some(behind) => rest.len() - behind.ok_or(io::ErrorKind::UnexpectedEof)?.len(),
                None => 0,
            },
            _ => 0,
        };
        *rest = rest.get(skipped..).unwrap_or_default();
        Ok(skipped > 0)
    }

    /// A decoder of the one stream that `input` begins with; read to its end, it leaves `input` behind the stream. A stream that ends too
    /// early gives `UnexpectedEof`. `end` says what may stand behind a stream without an end mark.
    pub(super) fn reader<'a>(self, input: &'a mut &[u8], end: End) -> io::Result<StreamReader<'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(input)),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(input)),
            Self::Lzma => Box::new(LzmaStream::new(input)?),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, false, MAX_LZMA_KIB)),
            Self::Lzo => Box::new(lzop::reader(input)?),
            Self::Lz4Legacy => Box::new(lz4_legacy::reader(input, end)?),
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(input)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?.single_frame()),
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lzo => "lzo",
            Self::Lz4Legacy => "lz4 (legacy)",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}
