//! Frames of which decoders make two contents. What starts is what the guest's decoder makes of them, on the host too; and the host
//! passes none.

use harness::Exit;
use harness::trial::{Trouble, check};
use pack::check::Obstacle;
use pack::image::ImageCause;
use shared::format::Codec;
use stage0::load::{LoadError, decode};

use crate::four_streams::{FILLER_IS_RIGHT, malformed, pack_of, shapes};
use crate::{checked, refused, start};

pub(crate) fn run() -> Result<(), Trouble> {
    for (n, shape) in shapes().iter().enumerate() {
        let frame = malformed(shape);
        // In memory should be what the guest's decoder makes; the manifest names the other content, where there is one.
        let mut content = vec![0; frame.by_streams.len()];
        let by_guest = decode(Codec::Zstd, &frame.stored, &mut content);
        let says = frame.by_counts.as_ref().unwrap_or(&frame.by_streams);
        let (pack, index) = pack_of(&frame.stored, &content, says);
        let verdict = checked(&pack)?;
        let is_refused = matches!(verdict, Err(Obstacle::Pack(ImageCause::Disputed { index: at, .. })) if at == index);
        check(is_refused, format!("{shape:?}: {verdict:?}"))?;
        let outcome = start(&format!("disputed-{n}"), &pack)?;
        match by_guest {
            Ok(()) => outcome.ended(&Exit::Debug(FILLER_IS_RIGHT))?,
            Err(cause) => refused(&outcome, &LoadError::Decode { index, codec: Codec::Zstd, cause }.to_string())?,
        }
    }
    Ok(())
}
