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

    /// The compression that `bytes` begin with a stream of, if any.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| bytes.starts_with(compression.magic()))
    }

    /// Whether `rest`, found behind a stream, is a further stream of the same compression: parallel compressors write
    /// several. LZMA is left out, because its decoder reads ahead and its magic is weak.
    pub(super) fn continues(self, rest: &[u8]) -> bool {
        self != Self::Lzma && rest.starts_with(self.magic())
    }

    /// A decoder of the one stream that `input` begins with; read to its end, it leaves `input` behind the stream.
    /// A stream that ends too early gives `UnexpectedEof`.
    pub(super) fn reader<'a>(self, input: &'a mut &[u8]) -> io::Result<StreamReader<'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(input)),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(input)),
            Self::Lzma => Box::new(lzma_rust2::LzmaReader::new_mem_limit(input, MAX_LZMA_KIB, None)?),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, false, MAX_LZMA_KIB)),
            Self::Lzo => Box::new(lzop::reader(input)?),
            Self::Lz4Legacy => Box::new(lz4_legacy::reader(input)?),
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
