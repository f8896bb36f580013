//! What of RFC 8878 a zstd frame of a pack may have, by its headers. Its reader has little memory, and another reader may not
//! take it for something else, so that little is left open.

use core::fmt;

/// Bytes that a block decodes to at most (RFC 8878, 3.1.1.2.4).
const MAX_BLOCK: u32 = 128 << 10;

/// Most blocks of a frame: 64 times those that the largest content needs. An encoder splits a block whose parts differ; of kernels
/// libzstd makes 180 at most. Each may cost the decoder 1 KiB of its memory until the frame ends.
pub const MAX_BLOCKS: usize = 64 * (super::MAX_FRAME_LEN / MAX_BLOCK) as usize;

/// Why bytes are no such frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ZstdError {
    /// The frame's header is none, or one of other properties.
    Header,
    /// The header says another content size.
    Length {
        /// Bytes that the frame's entry says.
        expected: usize,
        /// Bytes that the header says.
        found: u64,
    },
    /// What follows is not the blocks and the checksum that it must be.
    Blocks,
}

impl fmt::Display for ZstdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str(
                "expected a zstd frame with a content size and a checksum, of a single segment without a dictionary, found another",
            ),
            Self::Length { expected, found } => write!(f, "expected {expected} bytes, found {found}"),
            Self::Blocks => write!(
                f,
                "expected at most {MAX_BLOCKS} blocks of at most {MAX_BLOCK} bytes, then a checksum, found others"
            ),
        }
    }
}

impl core::error::Error for ZstdError {}

/// Whether `stored` is, as far as the headers of the frame and its blocks tell, one frame of `content_len` bytes as [`super`] wants it.
///
/// # Errors
/// It is not.
pub fn check_zstd(stored: &[u8], content_len: usize) -> Result<(), ZstdError> {
    let (declared, blocks) = header(stored).ok_or(ZstdError::Header)?;
    if declared != content_len as u64 {
        return Err(ZstdError::Length { expected: content_len, found: declared });
    }
    count_blocks(blocks).map(drop).ok_or(ZstdError::Blocks)
}

/// How many blocks `stored` has, if [`check_zstd`] would take it; else as many as it would take.
pub(super) fn blocks_of(stored: &[u8]) -> usize {
    header(stored).and_then(|(_, blocks)| count_blocks(blocks)).unwrap_or(MAX_BLOCKS)
}

/// The content size that the frame's header says, and what follows the header (RFC 8878, 3.1.1.1).
fn header(stored: &[u8]) -> Option<(u64, &[u8])> {
    /// Bit 5, single segment: the content is the window. Bit 2: there is a checksum.
    const WANTED: u8 = 1 << 5 | 1 << 2;
    let (descriptor, rest) = stored.strip_prefix(&0xfd2f_b528_u32.to_le_bytes())?.split_first()?;
    // Between the size of the content size and these are an unused bit, a reserved one, and the size of a dictionary's number.
    if descriptor & 0x3f != WANTED {
        return None;
    }
    let (field, blocks) = rest.split_at_checked(1 << (descriptor >> 6))?;
    let size = field.iter().rev().fold(0u64, |size, byte| size << 8 | u64::from(*byte));
    // A field of two bytes begins where one of one byte ends.
    Some((if field.len() == 2 { size + 256 } else { size }, blocks))
}

/// How many blocks these are, if they end with a last one, and a checksum.
fn count_blocks(mut rest: &[u8]) -> Option<usize> {
    for count in 1..=MAX_BLOCKS {
        let (header, content) = rest.split_first_chunk::<3>()?;
        let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let (last, kind, len) = (header & 1 != 0, header >> 1 & 3, header >> 3);
        let stored = if kind == 1 { 1 } else { len };
        let (content, behind) = content.split_at_checked(stored as usize)?;
        let literals = content.first_chunk().map_or(0, |start| literals(*start));
        if kind == 3 || len > MAX_BLOCK || (kind == 2 && literals > MAX_BLOCK) {
            return None;
        }
        if last {
            return (behind.len() == 4).then_some(count);
        }
        rest = behind;
    }
    None
}

/// How many literals a compressed block says it has, by its first bytes (RFC 8878, 3.1.1.3.1.1); those of sizes of fewer bits are
/// few. A decoder makes room for them before it looks.
const fn literals(start: [u8; 3]) -> u32 {
    let word = u32::from_le_bytes([start[0], start[1], start[2], 0]);
    match (word & 3, word >> 2 & 3) {
        (0 | 1, 3) => word >> 4,
        (_, 3) => word >> 4 & 0x3_ffff,
        _ => 0,
    }
}
