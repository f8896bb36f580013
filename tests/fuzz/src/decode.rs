//! stage0's decoders, over bytes that the manifest names but a hostile packer made.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use pack::decode::NoContent;
use shared::format::{Codec, MAX_FRAME_LEN};
use stage0::load::{DecodeError, LoadError};
use twox_hash::XxHash64;

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

/// The same with a certain decoder. What the host makes of the frame is the same, or nothing.
pub fn run_with(data: &[u8], decode: Decode) {
    let mut input = Input::new(data);
    let codec = Codec::from_number(u32::from(input.u8() % 3)).unwrap_or(Codec::None);
    let len = u32::from(input.u16()) | u32::from(input.u8()) << 16;
    let mut stored = input.rest().to_vec();
    let mut content = vec![0xa5; (len % (MAX_FRAME_LEN + 1)) as usize];
    let mut decoded = decode(codec, &stored, &mut content);
    decoded.err().iter().for_each(|error| said::note(error));
    if let Err(LoadError::Decode { cause: DecodeError::Checksum, .. }) = decoded
        && let Some(checksum) = stored.last_chunk_mut()
    {
        // As who means to deceive would have it.
        *checksum = (XxHash64::oneshot(0, &content) as u32).to_le_bytes();
        decoded = decode(codec, &stored, &mut content);
    }
    let mut by_host = vec![0x5a; content.len()];
    match (decoded, pack::decode::frame(codec, &stored, &mut by_host)) {
        (Ok(()), Ok(())) => assert!(content == by_host, "stage0's decoder of {} differs from itself", codec.name()),
        (Ok(()), Err(NoContent::Refused(cause))) => panic!("the host refuses what the guest decodes: {cause}"),
        (Ok(()), Err(NoContent::Disputed)) => {
            let other = zstd::bulk::decompress(&stored, content.len());
            assert!(other.is_err() || is_known(data), "two decoders differ: keep it, with a sentence on who is right");
        }
        // The host has more memory, and the manifest's other rules.
        (Err(LoadError::DecoderMemory), _) | (Err(_), Err(_)) => {}
        (Err(error), Ok(())) => panic!("the host decodes what the guest refuses: {error}"),
    }
}

/// Frames of which two decoders make two contents, all that are known: name and input.
///
/// # Errors
/// The folder cannot be read.
pub fn disputed() -> io::Result<BTreeMap<String, Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions/disputed");
    let read = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?))
    };
    fs::read_dir(folder)?.map(read).collect()
}

fn is_known(data: &[u8]) -> bool {
    disputed().is_ok_and(|known| known.values().any(|input| input == data))
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
