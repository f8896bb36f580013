//! Decoding of one frame whose stored bytes have been verified.

use core::fmt;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read;
use shared::format::{Codec, MAX_WINDOW_LOG};

/// Why a frame does not decode to what its entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The codec finds an error.
    Damaged,
    /// It decodes to more or fewer bytes.
    Length {
        /// Bytes that the entry says.
        expected: usize,
        /// Bytes that came, at least.
        found: usize,
    },
    /// The codec's own checksum is missing, or of other bytes.
    Checksum,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("expected a frame of its codec, found none"),
            Self::Length { expected, found } => write!(f, "expected {expected} bytes, found {found}"),
            Self::Checksum => f.write_str("expected content with the frame's checksum, found another"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Decodes `stored` into `content`, which is as long as the frame's entry says.
pub fn decode(codec: Codec, stored: &[u8], content: &mut [u8]) -> Result<(), DecodeError> {
    match codec {
        Codec::None if stored.len() == content.len() => {
            content.copy_from_slice(stored);
            Ok(())
        }
        Codec::None => Err(DecodeError::Length { expected: content.len(), found: stored.len() }),
        Codec::Lz4 => decode_lz4(stored, content),
        Codec::Zstd => decode_zstd(stored, content),
    }
}

fn decode_lz4(stored: &[u8], content: &mut [u8]) -> Result<(), DecodeError> {
    let expected = content.len();
    match lz4_flex::block::decompress_into(stored, content) {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(DecodeError::Length { expected, found }),
        Err(_) => Err(DecodeError::Damaged),
    }
}

/// Decodes block by block, and takes each block out of the decoder's window before the next, so that the window never
/// grows. The decoder is set up twice: only the second time does it reserve the window at once. It reads the frame's
/// checksum, but comparing it is left to us.
fn decode_zstd(stored: &[u8], content: &mut [u8]) -> Result<(), DecodeError> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(1 << MAX_WINDOW_LOG);
    let mut source = stored;
    decoder.init(&mut source).map_err(|_| DecodeError::Damaged)?;
    source = stored;
    decoder.init(&mut source).map_err(|_| DecodeError::Damaged)?;
    let expected = content.len();
    let declared = decoder.content_size();
    if declared != expected as u64 {
        return Err(DecodeError::Length { expected, found: usize::try_from(declared).unwrap_or(usize::MAX) });
    }
    if !literals_fit(source) {
        return Err(DecodeError::Damaged);
    }
    let mut filled = 0;
    // Each block is at least three bytes of `stored`, so that this ends.
    loop {
        let last = decoder
            .decode_blocks(&mut source, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|_| DecodeError::Damaged)?;
        loop {
            let read = decoder.read(&mut content[filled..]).map_err(|_| DecodeError::Damaged)?;
            filled += read;
            if read == 0 {
                break;
            }
        }
        // More than there is room for would stay in the window.
        if last || decoder.can_collect() != 0 {
            break;
        }
    }
    if filled != expected || decoder.can_collect() != 0 || !source.is_empty() {
        return Err(DecodeError::Length { expected, found: filled + decoder.can_collect() + source.len() });
    }
    match (decoder.get_checksum_from_data(), decoder.get_calculated_checksum()) {
        (Some(stored), Some(calculated)) if stored == calculated => Ok(()),
        _ => Err(DecodeError::Checksum),
    }
}

/// Most bytes that a block decodes to (RFC 8878, 3.1.1.2.4).
const MAX_BLOCK: u32 = 128 << 10;

/// Whether no block says that it has more literals than a block can: the decoder would make room for them before it looks.
fn literals_fit(mut blocks: &[u8]) -> bool {
    // Where they are cut, the decoder finds it. Each is at least three bytes, so that this ends.
    while let Some((header, content)) = blocks.split_first_chunk::<3>() {
        let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let (last, kind, len) = (header & 1 != 0, header >> 1 & 3, header >> 3);
        if kind == 2 && content.first_chunk().is_some_and(|start| literals(*start) > MAX_BLOCK) {
            return false;
        }
        let stored = if kind == 1 { 1 } else { len as usize };
        match content.get(stored..) {
            Some(rest) if !last => blocks = rest,
            _ => break,
        }
    }
    true
}

/// How many literals a compressed block has, by its first bytes (RFC 8878, 3.1.1.3.1.1); those of sizes of fewer bits are few.
const fn literals(start: [u8; 3]) -> u32 {
    let word = u32::from_le_bytes([start[0], start[1], start[2], 0]);
    match (word & 3, word >> 2 & 3) {
        (0 | 1, 3) => word >> 4,
        (_, 3) => word >> 4 & 0x3_ffff,
        _ => 0,
    }
}
