//! How many blocks a zstd frame has, which tells how long decoding it takes at most.

/// Bytes that a block decodes to at most (RFC 8878, 3.1.1.2.4).
const MAX_BLOCK: u32 = 128 << 10;

/// Most blocks of a frame: 64 times those that the largest content needs. An encoder splits a block whose parts differ; of kernels
/// libzstd makes 180 at most. Each may want new tables, so that this bounds the time of a hostile frame.
pub const MAX_BLOCKS: usize = 64 * (super::MAX_FRAME_LEN / MAX_BLOCK) as usize;

/// How many blocks the zstd frame `stored` has, by their headers; none if they are not at most [`MAX_BLOCKS`] up to a last one. What
/// is in them is for a decoder to judge.
pub fn zstd_blocks(stored: &[u8]) -> Option<usize> {
    // What the descriptor tells: the content size's length (RFC 8878, 3.1.1.1). In a pack there is nothing else before the blocks.
    let mut rest = stored.get(5 + (1 << (stored.get(4)? >> 6))..)?;
    for count in 1..=MAX_BLOCKS {
        let (header, blocks) = rest.split_first_chunk::<3>()?;
        let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let (is_last, is_repeated, len) = (header & 1 != 0, header >> 1 & 3 == 1, header >> 3);
        if is_last {
            return Some(count);
        }
        rest = blocks.get(if is_repeated { 1 } else { len as usize }..)?;
    }
    None
}
