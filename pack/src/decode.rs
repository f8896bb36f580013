//! The one place where the frames of a pack are decoded.
//!
//! Two decoders that take a malformed frame for different bytes make two kernels of one pack. So the content is what stage0's
//! decoder makes, which is compiled for the host too, and nothing is handed on of which another decoder makes anything else.

use shared::format::{Codec, check_zstd};
use stage0::load::DecodeError;

/// Why a frame has no content that may be handed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoContent {
    /// stage0 does not decode it.
    Refused(DecodeError),
    /// Another decoder does not decode it, or to other bytes.
    Disputed,
}

/// Decodes a frame that is stored as `stored` into `content`, which is as long as its entry says.
///
/// The other decoder goes first, for it takes no memory beyond `content`: of what it refuses, stage0's can want a thousand times as
/// much, which in the guest its heap bounds.
///
/// # Errors
/// There is no content that both make. What `content` holds then is of no meaning.
pub fn frame(codec: Codec, stored: &[u8], content: &mut [u8]) -> Result<(), NoContent> {
    let opinion = match codec {
        Codec::Zstd => {
            check_zstd(stored, content.len()).map_err(|error| NoContent::Refused(DecodeError::Zstd(error)))?;
            Some(second_opinion(stored, content.len()).ok_or(NoContent::Disputed)?)
        }
        // Of these there are no two readings: bytes as they are, and a format that one library reads here and in the guest.
        Codec::None | Codec::Lz4 => None,
    };
    stage0::load::decode(codec, stored, content).map_err(NoContent::Refused)?;
    if opinion.is_none_or(|opinion| opinion == content) { Ok(()) } else { Err(NoContent::Disputed) }
}

/// What libzstd makes of a zstd frame of `len` bytes, if it takes it; it compares the frame's checksum.
fn second_opinion(stored: &[u8], len: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(stored, len).ok()
}
