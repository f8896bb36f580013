//! The one place where the frames of a pack are decoded.
//!
//! Two decoders that take a malformed frame for different bytes make two kernels of one pack. So the content is what stage0's
//! decoder makes, which is compiled for the host too, and nothing is handed on of which another decoder makes anything else.

use ::decode::zstd::Checksum;
use ruzstd::decoding::FrameDecoder;
use shared::format::Codec;
use stage0::load::DecodeError;
use twox_hash::XxHash64;

/// Why a frame has no content that may be handed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoContent {
    /// stage0 does not decode it.
    Refused(DecodeError),
    /// It has a checksum of other content.
    Checksum,
    /// Another decoder does not decode it, or to other bytes.
    Disputed,
}

/// Decodes a frame that is stored as `stored` into `content`, which is as long as its entry says.
///
/// # Errors
/// stage0 refuses it, or there is no content that all make. What `content` holds then is of no meaning.
pub fn frame(codec: Codec, stored: &[u8], content: &mut [u8]) -> Result<(), NoContent> {
    let checksum = stage0::load::decode(codec, stored, content).map_err(NoContent::Refused)?;
    if checksum.is_some_and(|checksum| checksum != checksum_of(content)) {
        return Err(NoContent::Checksum);
    }
    agreed(content, |opinion| second_opinion(codec, stored, opinion))
}

/// XXH64 of seed 0, its low 32 bits (RFC 8878, 3.1.1).
fn checksum_of(content: &[u8]) -> Checksum {
    Checksum(XxHash64::oneshot(0, content) as u32)
}

/// Whether another decoder, which says how many bytes it has made, makes `content`.
fn agreed(content: &[u8], decode: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), NoContent> {
    let mut opinion = vec![0; content.len()];
    let is_same = decode(&mut opinion) == Some(content.len()) && opinion == content;
    if is_same { Ok(()) } else { Err(NoContent::Disputed) }
}

/// What another decoder makes of a frame that stage0 decodes, which bounds what that one takes.
fn second_opinion(codec: Codec, stored: &[u8], content: &mut [u8]) -> Option<usize> {
    match codec {
        Codec::None => {
            content.copy_from_slice(stored);
            Some(stored.len())
        }
        Codec::Lz4 => lz4_flex::block::decompress_into(stored, content).ok(),
        Codec::Zstd => FrameDecoder::new().decode_all(stored, content).ok(),
    }
}

#[cfg(test)]
mod tests {
    use shared::format::MAX_FRAME_LEN;

    use super::*;

    /// Bytes that both codecs make shorter.
    fn content_of(len: usize) -> Vec<u8> {
        (0..len).map(|n| ((n / 5) ^ (n / 977)) as u8).collect()
    }

    fn stored_as(codec: Codec, content: &[u8]) -> Vec<u8> {
        match codec {
            Codec::None => content.to_vec(),
            Codec::Lz4 => lz4_flex::block::compress(content),
            Codec::Zstd => {
                let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
                compressor.include_checksum(true).unwrap();
                compressor.compress(content).unwrap()
            }
        }
    }

    #[test]
    fn what_all_make_is_handed_on() {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            for len in [1, 2, 5, 13, 100, 255, 256, 257, 65_536 + 256, 128 << 10, 300_000, MAX_FRAME_LEN as usize] {
                let content = content_of(len);
                let mut found = vec![0; len];
                assert_eq!(frame(codec, &stored_as(codec, &content), &mut found), Ok(()), "{codec:?}, {len}");
                assert!(found == content, "{codec:?}, {len}");
            }
        }
    }

    #[test]
    fn a_checksum_of_other_content_is_found() {
        for len in [1, 13, 255, 4096, 300_000] {
            let content = content_of(len);
            let stored = stored_as(Codec::Zstd, &content);
            for (at, bit) in (stored.len() - 4..stored.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut other = stored.clone();
                other[at] ^= 1 << bit;
                assert_eq!(frame(Codec::Zstd, &other, &mut vec![0; len]), Err(NoContent::Checksum));
            }
        }
    }

    #[test]
    fn no_flipped_bit_makes_zstd_give_other_bytes() {
        let content: Vec<u8> = (0..6000_u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
        let stored = stored_as(Codec::Zstd, &content);
        // Each of some thousand frames.
        for (at, bit) in (0..stored.len()).map(|at| (at, at % 8)) {
            let mut other = stored.clone();
            other[at] ^= 1 << bit;
            let mut found = vec![0; content.len()];
            assert!(frame(Codec::Zstd, &other, &mut found).is_err() || found == content, "byte {at}, bit {bit}");
        }
    }

    #[test]
    fn what_another_decoder_does_not_make_is_disputed() {
        let content = content_of(1000);
        let copy = |opinion: &mut [u8]| opinion.copy_from_slice(&content);
        let same = agreed(&content, |opinion| {
            copy(opinion);
            Some(1000)
        });
        assert_eq!(same, Ok(()));
        assert_eq!(agreed(&content, |_| None), Err(NoContent::Disputed));
        for len in [0, 1, 999, 1001] {
            let shorter = agreed(&content, |opinion| {
                copy(opinion);
                Some(len)
            });
            assert_eq!(shorter, Err(NoContent::Disputed), "{len}");
        }
        for at in [0, 1, 7, 500, 998, 999] {
            let other = agreed(&content, |opinion| {
                copy(opinion);
                opinion[at] ^= 1;
                Some(1000)
            });
            assert_eq!(other, Err(NoContent::Disputed), "{at}");
        }
    }
}
