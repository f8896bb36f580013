//! The measurements that stage0 will make, made here.

use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use shared::cmdline::{self, CmdlineError};
use shared::measure::{self, Measured};

use crate::image::{Image, ImageCause};
use crate::stage0::Stage0Cause;

/// Why there are no measurements.
#[derive(Debug, thiserror::Error)]
pub enum NoMeasurements {
    /// The pack is not whole.
    #[error(transparent)]
    Pack(#[from] ImageCause),
    /// stage0 is none.
    #[error(transparent)]
    Stage0(#[from] Stage0Cause),
    /// The kernel would get no command line.
    #[error("{0}: shorten or correct it")]
    Cmdline(CmdlineError),
}

/// The log that `stage0`, an image, writes when it starts the pack in `image`, and the builder gives `builder` as its command
/// line. Every hash in the pack is checked: a verifier who trusts the log need not trust the pack's maker too.
pub fn log(image: &Image<'_>, stage0: &[u8], builder: &str) -> Result<String, NoMeasurements> {
    image.check()?;
    let manifest = &image.manifest;
    let own = image.cmdline()?.unwrap_or_default();
    let cmdline = cmdline::merge(own, builder, manifest.is_locked(), manifest.allowed(), cmdline::MAX_LEN);
    let cmdline = cmdline.map_err(NoMeasurements::Cmdline)?;
    let loaded = loaded(stage0).ok_or(Stage0Cause::NotElf)?;
    let mut room = measure::room(manifest.modules().count());
    let len = Measured { stage0: &measure::stage0(loaded), manifest, cmdline: &cmdline }.write(&mut room);
    Ok(String::from_utf8_lossy(&room[..len]).into_owned())
}

/// The bytes of stage0's file that a builder loads: those of its only segment.
fn loaded(image: &[u8]) -> Option<&[u8]> {
    let header = FileHeader64::<LittleEndian>::parse(image).ok()?;
    let mut loads = header.program_headers(LittleEndian, image).ok()?.iter();
    let load = loads.find(|header| header.p_type(LittleEndian) == PT_LOAD)?;
    load.data(LittleEndian, image).ok()
}
