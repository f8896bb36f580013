//! One frame: fetch, verify, decode.

use shared::format::Frame;
use shared::memory::PhysRange;

use super::Clock;
use super::decode::decode;
use super::error::LoadError;
use super::hash;
use super::memory::Memory;
use super::source::Source;
use super::timing::{Meter, Phase};

/// Decodes `frame` to `into`, which is as long as its content. Its stored bytes are those that the manifest names, or
/// nothing is decoded. Gives the frame's work.
pub(super) fn decode_frame<M: Memory, S: Source, C: Clock>(
    memory: &mut M,
    source: &mut S,
    frame: &Frame<'_>,
    into: PhysRange,
    meter: &mut Meter<C>,
) -> Result<u64, LoadError> {
    let (stored, content) = source.stored(memory, frame.stored, into).ok_or(LoadError::Unreachable { range: into })?;
    if !meter.measure(Phase::Verify, frame.stored.len(), || hash::is_of(frame.blake3, stored)) {
        return Err(LoadError::FrameHash { index: frame.index });
    }
    let _ = meter
        .measure(Phase::Decode, frame.content.len(), || decode(frame.codec, stored, content))
        .map_err(|cause| LoadError::Decode { index: frame.index, codec: frame.codec, cause })?;
    Ok(frame.work(stored))
}
