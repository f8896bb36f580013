//! Malformed frames of which other decoders make two contents: the guest refuses them, and the host for the same cause. And frames
//! that say another checksum than their content has: the guest starts what BLAKE3 has vouched for, and the host passes none.

use decode::zstd::FrameError;
use harness::Exit;
use harness::trial::{Trouble, check};
use pack::check::Obstacle;
use pack::image::ImageCause;
use shared::format::Codec;
use stage0::load::{DecodeError, LoadError};

use crate::four_streams::{FILLER_IS_RIGHT, malformed, pack_of, shapes};
use crate::{checked, refused, start};

pub(crate) fn two_contents() -> Result<(), Trouble> {
    let cause = DecodeError::Zstd(FrameError::LiteralsStream);
    for (n, shape) in shapes().iter().enumerate() {
        let frame = malformed(shape);
        // The manifest names what another decoder makes of it, if that takes it.
        let says = frame.by_counts.as_ref().unwrap_or(&frame.by_streams);
        let (pack, index) = pack_of(&frame.stored, &frame.by_streams, says);
        let verdict = checked(&pack)?;
        let is_refused = matches!(
            verdict,
            Err(Obstacle::Pack(ImageCause::FrameContent { index: at, cause: why, .. })) if at == index && why == cause
        );
        check(is_refused, format!("{shape:?}: {verdict:?}"))?;
        let outcome = start(&format!("disputed-{n}"), &pack)?;
        refused(&outcome, &LoadError::Decode { index, codec: Codec::Zstd, cause }.to_string())?;
    }
    Ok(())
}

pub(crate) fn other_checksum() -> Result<(), Trouble> {
    let wrong = |error: std::io::Error| Trouble::from(error.to_string());
    for (n, shape) in shapes().iter().enumerate() {
        let content = malformed(shape).by_streams;
        let mut compressor = zstd::bulk::Compressor::new(3).map_err(wrong)?;
        compressor.include_checksum(true).map_err(wrong)?;
        let mut stored = compressor.compress(&content).map_err(wrong)?;
        let at = stored.len() - 1 - n % 4;
        stored[at] ^= 1 << (n % 8);
        let (pack, index) = pack_of(&stored, &content, &content);
        let verdict = checked(&pack)?;
        let is_refused =
            matches!(verdict, Err(Obstacle::Pack(ImageCause::FrameChecksum { index: at, .. })) if at == index);
        check(is_refused, format!("{shape:?}: {verdict:?}"))?;
        start(&format!("checksum-{n}"), &pack)?.ended(&Exit::Debug(FILLER_IS_RIGHT))?;
    }
    Ok(())
}
