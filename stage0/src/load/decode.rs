//! Decoding of one frame whose stored bytes have been verified.

use core::fmt;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read;
use shared::format::{Codec, ZstdError, check_zstd};

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
    /// The codec's own checksum is of other bytes.
    Checksum,
    /// It is no zstd frame that a pack may have.
    Zstd(ZstdError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("expected a frame of its codec, found none"),
            Self::Length { expected, found } => write!(f, "expected {expected} bytes, found {found}"),
            Self::Checksum => f.write_str("expected content with the frame's checksum, found another"),
            Self::Zstd(error) => error.fmt(f),
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

/// Decodes block by block, and takes what it can of each out of the decoder before the next. The decoder is set up twice: only
/// the second time does it reserve the window, which is the content, at once. It reads the frame's checksum, but comparing it is
/// left to us.
fn decode_zstd(stored: &[u8], content: &mut [u8]) -> Result<(), DecodeError> {
    let expected = content.len();
    check_zstd(stored, expected).map_err(DecodeError::Zstd)?;
    let mut decoder = FrameDecoder::new();
    let mut source = stored;
    decoder.init(&mut source).map_err(|_| DecodeError::Damaged)?;
    source = stored;
    decoder.init(&mut source).map_err(|_| DecodeError::Damaged)?;
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
    if filled != expected || decoder.can_collect() != 0 {
        return Err(DecodeError::Length { expected, found: filled + decoder.can_collect() });
    }
    match (decoder.get_checksum_from_data(), decoder.get_calculated_checksum()) {
        (Some(stored), Some(calculated)) if stored == calculated => Ok(()),
        _ => Err(DecodeError::Checksum),
    }
}
