//! stage0's decoders, over bytes that the manifest names but a hostile packer made.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use pack::decode::NoContent;
use shared::format::{Codec, MAX_FRAME_LEN};
use stage0::load::{LoadError, decode};
use twox_hash::XxHash64;

use crate::input::Input;
use crate::{said, seeds};

/// The codec, the content's length (three bytes), then a frame. What the host makes of it is what stage0 does, or nothing.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let codec = Codec::from_number(u32::from(input.u8() % 3)).unwrap_or(Codec::None);
    let len = u32::from(input.u16()) | u32::from(input.u8()) << 16;
    let mut stored = input.rest().to_vec();
    let mut content = vec![0xa5; (len % (MAX_FRAME_LEN + 1)) as usize];
    let decoded = decode(codec, &stored, &mut content)
        .inspect_err(|cause| said::note(&LoadError::Decode { index: 0, codec, cause: *cause }));
    if let Ok(Some(_)) = decoded
        && let Some(checksum) = stored.last_chunk_mut()
    {
        // As who means to deceive would have it.
        *checksum = (XxHash64::oneshot(0, &content) as u32).to_le_bytes();
    }
    let mut by_host = vec![0x5a; content.len()];
    match (decoded, pack::decode::frame(codec, &stored, &mut by_host)) {
        (Ok(_), Ok(())) => assert!(content == by_host, "stage0's decoder of {} differs from itself", codec.name()),
        (Ok(_), Err(NoContent::Refused(cause))) => panic!("the host refuses what the guest decodes: {cause}"),
        (Ok(_), Err(NoContent::Checksum)) => panic!("the host finds another checksum than is there"),
        (Ok(_), Err(NoContent::Disputed)) => panic!("two decoders differ: find out which of them is right"),
        (Err(error), Err(NoContent::Refused(cause))) => assert!(error == cause, "{error} there, {cause} here"),
        (Err(error), other) => panic!("the guest refuses it, {error}, and the host does not: {other:?}"),
    }
}

/// Malformed frames of which other decoders make two contents, all that are known: name and input.
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
