//! Decoding of one frame whose stored bytes have been verified, straight to its place.

use core::fmt;

use decode::lz4::BlockError;
use decode::zstd::{self, Checksum, FrameError, Tables};
use decode::{Path, lz4};
use shared::format::{Codec, MAX_BLOCKS, MAX_FRAME_LEN};

/// Why a frame does not decode to what its entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// What is stored as it is has another length.
    Length {
        /// Bytes that the entry says.
        expected: usize,
        /// Bytes that are stored.
        found: usize,
    },
    /// It is no LZ4 block of the content.
    Lz4(BlockError),
    /// It is no zstd frame of the content that a pack may have.
    Zstd(FrameError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => write!(f, "expected {expected} bytes, found {found}"),
            Self::Lz4(error) => error.fmt(f),
            Self::Zstd(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DecodeError {}

// What a pack may have, the decoder takes.
const _: () = assert!(MAX_BLOCKS == zstd::MAX_BLOCKS && MAX_FRAME_LEN as usize == zstd::MAX_CONTENT);

/// Decodes `stored` into `content`, which is as long as the frame's entry says, and returns the checksum that a zstd frame says it has.
/// In the guest nobody compares that: BLAKE3 has vouched for `stored`.
///
/// # Errors
/// `stored` is not exactly one frame of that. `content` is undefined then.
pub fn decode(codec: Codec, stored: &[u8], content: &mut [u8]) -> Result<Option<Checksum>, DecodeError> {
    match codec {
        Codec::None if stored.len() == content.len() => {
            content.copy_from_slice(stored);
            Ok(None)
        }
        Codec::None => Err(DecodeError::Length { expected: content.len(), found: stored.len() }),
        Codec::Lz4 => lz4::decode(stored, content).map(|()| None).map_err(DecodeError::Lz4),
        Codec::Zstd => {
            zstd::decode(stored, content, &mut Tables::new(), Path::detect()).map(Some).map_err(DecodeError::Zstd)
        }
    }
}
