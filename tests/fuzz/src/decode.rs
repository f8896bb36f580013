//! stage0's decoders, over bytes that the manifest names but a hostile packer made.

use shared::format::{Codec, MAX_FRAME_LEN};
use stage0::load::LoadError;

use crate::input::Input;
use crate::{said, seeds};

/// What decodes a frame: its codec, its stored bytes, room for its content.
pub type Decode = fn(Codec, &[u8], &mut [u8]) -> Result<(), LoadError>;

/// The codec, the content's length (three bytes), then a frame.
pub fn run(data: &[u8]) {
    run_with(data, decode);
}

/// stage0's, as for the first frame of a pack.
pub fn decode(codec: Codec, stored: &[u8], content: &mut [u8]) -> Result<(), LoadError> {
    stage0::load::decode(codec, stored, content).map_err(|cause| LoadError::Decode { index: 0, codec, cause })
}

/// The same with a certain decoder.
pub fn run_with(data: &[u8], decode: Decode) {
    let mut input = Input::new(data);
    let codec = Codec::from_number(u32::from(input.u8() % 3)).unwrap_or(Codec::None);
    let len = u32::from(input.u16()) | u32::from(input.u8()) << 16;
    let stored = input.rest();
    let mut content = vec![0xa5; (len % (MAX_FRAME_LEN + 1)) as usize];
    if let Err(error) = decode(codec, stored, &mut content) {
        return said::note(&error);
    }
    // Another decoder makes the same of it, if it takes it.
    let other = match codec {
        Codec::None => Some(stored.to_vec()),
        Codec::Lz4 => lz4_flex::block::decompress(stored, content.len()).ok(),
        Codec::Zstd => zstd::bulk::decompress(stored, content.len()).ok(),
    };
    assert!(other.is_none_or(|other| other == content), "two decoders of {} differ", codec.name());
}

/// Frames of each codec.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (n, elf) in seeds::kernels().into_iter().enumerate() {
        let piece = &elf[..elf.len().min(3000 + n * 500)];
        let frames = [piece.to_vec(), lz4_flex::block::compress(piece), seeds::zstd_frame(piece, n as i32 % 20)];
        for (codec, frame) in (0u8..).zip(frames) {
            let len = (piece.len() as u32).to_le_bytes();
            seeds.push([&[codec], &len[..3], &frame[..]].concat());
        }
    }
    seeds
}
