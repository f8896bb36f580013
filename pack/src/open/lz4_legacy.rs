//! The legacy LZ4 frame (lz4_Frame_format.md, "Legacy frame"): a magic, then blocks, each behind its compressed length
//! as a little-endian u32, each decoding to at most 8 MiB. There is no end mark and no check: a length that no block has begins
//! what follows.

use std::io;

use super::compression::End;
use super::lzop::Blocks;

/// What a frame begins with: 0x184c2102, little endian.
pub(super) const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// Most bytes that a block decodes to, by the format's definition.
const BLOCK: usize = 8 << 20;

/// Most bytes that one byte of a block decodes to (lz4_Block_format.md: a byte adds at most 255 to a length). No more memory
/// is taken for a block, so that very many small ones cost little.
const RATIO: usize = 255;

/// A decoder of the frame that `input` begins with.
pub(super) fn reader<'a, 'i>(input: &'a mut &'i [u8], end: End) -> io::Result<impl io::Read + use<'a, 'i>> {
    *input = input.strip_prefix(&MAGIC).ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut last = false;
    Ok(Blocks::new(move |block: &mut Vec<u8>| {
        // In a payload each block but the last decodes to exactly 8 MiB, and behind that one there may be a length that Linux
        // appended: 4 bytes, where no block can follow.
        let ended = end == End::Payload && (last || input.len() <= 4);
        if ended || input.is_empty() || input.starts_with(&MAGIC) {
            return Ok(false);
        }
        let (length, rest) = input.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > lz4_flex::block::get_maximum_output_size(BLOCK) {
            if end == End::File {
                return Ok(false);
            }
            return Err(io::Error::other("a block is longer than the format allows"));
        }
        let (stored, rest) = rest.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        block.resize(BLOCK.min(stored.len().saturating_mul(RATIO)), 0);
        let decoded = lz4_flex::block::decompress_into(stored, block).map_err(io::Error::other)?;
        block.truncate(decoded);
        last = decoded < BLOCK;
        *input = rest;
        Ok(true)
    }))
}
