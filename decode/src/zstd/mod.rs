//! zstd (RFC 8878), as far as packs need it: one frame of one segment of at most 2 MiB, with a content size and a checksum, without
//! a dictionary.
//!
//! The literals of a block are decoded to the end of the room that its content may take. They lie there before they are
//! copied to where they belong: as the content grows towards them by no more than what is not literals, it never reaches one that
//! is still to be copied.

mod codes;
mod error;
#[cfg(test)]
mod examples;
mod fse;
mod huffman;
mod literals;
mod sequences;

pub(crate) use fse::Cell;
pub(crate) use huffman::{Codes, MAX_BITS};
pub(crate) use sequences::{Progress, Sequence, SequenceTables};

pub use error::FrameError;

use crate::Path;
use fse::Table;
use huffman::Huffman;

/// Bytes that a block decodes to at most (RFC 8878, 3.1.1.2.4).
pub const MAX_BLOCK: usize = 128 << 10;

/// Bytes of a frame's content at most.
pub const MAX_CONTENT: usize = 2 << 20;

/// Most blocks of a frame: 64 times those that the largest content needs. Each may want new tables, which is what bounds the time
/// of a hostile frame. Of kernels libzstd makes 180 at most.
pub const MAX_BLOCKS: usize = 64 * (MAX_CONTENT / MAX_BLOCK);

/// What decoding needs besides the content, 16 KiB. It may be used for any number of frames.
#[derive(Debug)]
pub struct Tables {
    huffman: Huffman,
    sequences: SequenceTables,
    /// The last three distances.
    distances: [usize; 3],
}

impl Tables {
    /// Tables for any frame.
    #[expect(clippy::new_without_default, reason = "16 KiB are no value to pass about")]
    pub const fn new() -> Self {
        Self {
            huffman: Huffman::new(),
            sequences: SequenceTables { literals: Table::new(), offsets: Table::new(), matches: Table::new() },
            distances: [1, 4, 8],
        }
    }

    /// Makes it as if no frame had been decoded.
    fn clear(&mut self) {
        self.huffman.clear();
        self.sequences.literals.clear();
        self.sequences.offsets.clear();
        self.sequences.matches.clear();
        self.distances = [1, 4, 8];
    }
}

/// What a frame says its content's checksum is: the low 32 bits of its XXH64 of seed 0.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checksum(pub u32);

/// Decodes the frame `stored`, whose content is as long as `content`, into that. The checksum is the caller's to compare.
///
/// # Errors
/// `stored` is not exactly one such frame. `content` is undefined then.
pub fn decode(stored: &[u8], content: &mut [u8], tables: &mut Tables, path: Path) -> Result<Checksum, FrameError> {
    let mut rest = header(stored, content.len())?;
    tables.clear();
    let mut at = 0;
    for _ in 0..MAX_BLOCKS {
        let (block, after) = rest.split_first_chunk::<3>().ok_or(FrameError::Truncated)?;
        let header = u32::from_le_bytes([block[0], block[1], block[2], 0]);
        let (last, kind, len) = (header & 1 != 0, header >> 1 & 3, (header >> 3) as usize);
        if len > MAX_BLOCK.min(content.len()) {
            return Err(FrameError::BlockSize);
        }
        let (bytes, after) = after.split_at_checked(if kind == 1 { 1 } else { len }).ok_or(FrameError::Truncated)?;
        rest = after;
        at = match kind {
            0 | 1 => {
                let room = content.get_mut(at..at + len).ok_or(FrameError::Long)?;
                if kind == 0 {
                    room.copy_from_slice(bytes)
                } else {
                    room.fill(bytes[0])
                }
                at + len
            }
            2 => compressed(bytes, content, at, tables, path)?,
            _ => return Err(FrameError::BlockKind),
        };
        if last {
            return end(rest, content.len(), at);
        }
    }
    Err(FrameError::Blocks)
}

/// What follows the frame's header (RFC 8878, 3.1.1.1).
fn header(stored: &[u8], content_len: usize) -> Result<&[u8], FrameError> {
    /// Bit 5: the frame is one segment. Bit 2: there is a checksum.
    const WANTED: u8 = 1 << 5 | 1 << 2;
    let (magic, rest) = stored.split_first_chunk().ok_or(FrameError::Truncated)?;
    if u32::from_le_bytes(*magic) != 0xfd2f_b528 {
        return Err(FrameError::Magic);
    }
    let (descriptor, rest) = rest.split_first().ok_or(FrameError::Truncated)?;
    // Between the size of the content size and these are an unused bit, a reserved one, and the size of a dictionary's number.
    if descriptor & 0x3f != WANTED {
        return Err(FrameError::Properties);
    }
    let (field, rest) = rest.split_at_checked(1 << (descriptor >> 6)).ok_or(FrameError::Truncated)?;
    let size = field.iter().rev().fold(0u64, |size, byte| size << 8 | u64::from(*byte));
    // A field of two bytes begins where one of one byte ends.
    let size = if field.len() == 2 { size + 256 } else { size };
    if size != content_len as u64 || content_len > MAX_CONTENT {
        return Err(FrameError::Size { expected: content_len, found: size });
    }
    Ok(rest)
}

/// Decodes a compressed block to `content[at..]`, and returns where it ends.
fn compressed(
    block: &[u8],
    content: &mut [u8],
    at: usize,
    tables: &mut Tables,
    path: Path,
) -> Result<usize, FrameError> {
    let end = content.len().min(at + MAX_BLOCK);
    let (literals, rest) = literals::decode(block, &mut content[at..end], &mut tables.huffman, path)?;
    sequences::decode(rest, content, (at, end - literals, end), tables, path)
}

/// The checksum, which must be all that is left of the frame.
fn end(rest: &[u8], expected: usize, found: usize) -> Result<Checksum, FrameError> {
    if found != expected {
        return Err(FrameError::Short { expected, found });
    }
    let (checksum, trailing) = rest.split_first_chunk().ok_or(FrameError::Truncated)?;
    if !trailing.is_empty() {
        return Err(FrameError::Trailing { found: trailing.len() });
    }
    Ok(Checksum(u32::from_le_bytes(*checksum)))
}
