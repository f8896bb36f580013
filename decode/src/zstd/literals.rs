//! A block's literals (RFC 8878, 3.1.1.3.1).

use super::huffman::{self, Huffman};
use super::{FrameError, MAX_BLOCK};
use crate::Path;

/// Decodes the literals that `block` begins with to the end of `room`, which is as long as the block's content may be. Returns how
/// many there are, and what follows them in the block.
///
/// There they are never in the way of the content before them: a block has as many bytes besides literals as `room` has at most.
pub(super) fn decode<'a>(
    block: &'a [u8],
    room: &mut [u8],
    codes: &mut Huffman,
    path: Path,
) -> Result<(usize, &'a [u8]), FrameError> {
    let first = *block.first().ok_or(FrameError::Truncated)?;
    let (kind, format) = (first & 3, first >> 2 & 3);
    let header_len = match (kind, format) {
        (0 | 1, 0 | 2) => 1,
        (0 | 1, 1) => 2,
        (0 | 1, _) | (_, 0 | 1) => 3,
        (_, 2) => 4,
        _ => 5,
    };
    let (header, rest) = block.split_at_checked(header_len).ok_or(FrameError::Truncated)?;
    let header = header.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)) as usize;
    // Bits of each of the sizes.
    let (len, stored) = match header_len {
        1 => (header >> 3, 0),
        _ if kind < 2 => (header >> 4, 0),
        3 => (header >> 4 & 0x3ff, header >> 14),
        4 => (header >> 4 & 0x3fff, header >> 18),
        _ => (header >> 4 & 0x3_ffff, header >> 22),
    };
    if len > MAX_BLOCK {
        return Err(FrameError::LiteralsSize);
    }
    let start = room.len().checked_sub(len).ok_or(FrameError::Long)?;
    let literals = &mut room[start..];
    let rest = match kind {
        0 => {
            let (bytes, rest) = rest.split_at_checked(len).ok_or(FrameError::Truncated)?;
            literals.copy_from_slice(bytes);
            rest
        }
        1 => {
            let (byte, rest) = rest.split_first().ok_or(FrameError::Truncated)?;
            literals.fill(*byte);
            rest
        }
        _ => {
            let (mut bytes, rest) = rest.split_at_checked(stored).ok_or(FrameError::Truncated)?;
            if kind == 2 {
                bytes = codes.described(bytes)?;
            }
            let codes = codes.codes()?;
            match format {
                0 => huffman::one(codes, bytes, literals)?,
                _ => huffman::four(path, codes, bytes, literals)?,
            }
            rest
        }
    };
    Ok((len, rest))
}
