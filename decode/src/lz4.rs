//! LZ4 blocks (lz4's `doc/lz4_Block_format.md`), without a frame around them.
//!
//! Its conditions for a block's end, which a decoder may demand, are demanded: the last sequence is literals only, the last 5 bytes
//! are literals, and the last match begins at least 12 bytes before the end.

use core::fmt;

use crate::fast;
use crate::repeat::repeat;

/// Literals at a block's end at least, if there is a match before them.
const LAST_LITERALS: usize = 5;

/// How far before the block's end the last match begins at least.
const LAST_MATCH: usize = 12;

/// Bytes of the shortest match.
pub(crate) const MIN_MATCH: usize = 4;

/// Why bytes are not one LZ4 block of the content that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockError {
    /// The block's bytes end within a sequence.
    Truncated,
    /// The block has less content than is wanted.
    Short {
        /// Bytes that are wanted.
        expected: usize,
        /// Bytes of content.
        found: usize,
    },
    /// The block has more content than is wanted.
    Long,
    /// A match repeats what is before the content, or at a distance of zero.
    Offset,
    /// The last match is too near the block's end.
    End,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "expected a whole LZ4 block, found its start",
            Self::Short { expected, found } => return write!(f, "expected {expected} bytes of content, found {found}"),
            Self::Long => "expected an LZ4 block within the content, found a longer one",
            Self::Offset => "expected an LZ4 match of content, found an offset before its start",
            Self::End => "expected the last LZ4 match 12 bytes before the end and 5 literals after it, found it later",
        })
    }
}

impl core::error::Error for BlockError {}

/// How far a block has come.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Where the next sequence is.
    pub(crate) from: usize,
    /// Where content is written next.
    pub(crate) at: usize,
    /// Where the last match begins of those that [`Progress::one`] has copied: no other begins in the last bytes.
    last_match: usize,
}

/// Decodes the block `stored`, whose content is as long as `content`, into that.
///
/// # Errors
/// `stored` is not exactly one such block. `content` is undefined then.
pub fn decode(stored: &[u8], content: &mut [u8]) -> Result<(), BlockError> {
    let mut progress = Progress { from: 0, at: 0, last_match: 0 };
    loop {
        fast::matches(stored, content, &mut progress);
        if progress.one(stored, content)? {
            return Ok(());
        }
    }
}

impl Progress {
    /// Decodes a sequence, and says whether it was the last.
    fn one(&mut self, stored: &[u8], content: &mut [u8]) -> Result<bool, BlockError> {
        let mut rest = stored.get(self.from..).unwrap_or_default();
        let token = byte(&mut rest)?;
        let literals = len(token >> 4, &mut rest)?;
        let (literals, mut rest) = rest.split_at_checked(literals).ok_or(BlockError::Truncated)?;
        let to = self.at + literals.len();
        content.get_mut(self.at..to).ok_or(BlockError::Long)?.copy_from_slice(literals);
        if rest.is_empty() {
            return self.end(literals.len(), to, content.len()).map(|()| true);
        }
        let distance = usize::from(u16::from_le_bytes([byte(&mut rest)?, byte(&mut rest)?]));
        let len = len(token & 15, &mut rest)? + MIN_MATCH;
        if distance == 0 || distance > to {
            return Err(BlockError::Offset);
        }
        if len > content.len() - to {
            return Err(BlockError::Long);
        }
        repeat(content, to, distance, len);
        *self = Self { from: stored.len() - rest.len(), at: to + len, last_match: to };
        Ok(false)
    }

    /// Checks the conditions for the end of a block whose last sequence has `literals` and ends at `found`.
    fn end(&self, literals: usize, found: usize, expected: usize) -> Result<(), BlockError> {
        if found != expected {
            return Err(BlockError::Short { expected, found });
        }
        let has_matches = self.from > 0;
        if has_matches && (literals < LAST_LITERALS || expected - self.last_match < LAST_MATCH) {
            return Err(BlockError::End);
        }
        Ok(())
    }
}

/// The next byte.
fn byte(rest: &mut &[u8]) -> Result<u8, BlockError> {
    let (byte, after) = rest.split_first().ok_or(BlockError::Truncated)?;
    *rest = after;
    Ok(*byte)
}

/// A length that `nibble` says, with the bytes that follow if it is the highest.
fn len(nibble: u8, rest: &mut &[u8]) -> Result<usize, BlockError> {
    let mut len = usize::from(nibble);
    let mut more = nibble == 15;
    while more {
        let byte = byte(rest)?;
        len = len.checked_add(byte.into()).ok_or(BlockError::Long)?;
        more = byte == 255;
    }
    Ok(len)
}
