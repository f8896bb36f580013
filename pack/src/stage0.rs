//! The stage0 that this program carries, or another one.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use shared::kernel::{Kernel, PlanError, Protocol, SliceFile};
use shared::trust::TrustSlot;
use zerocopy::FromBytes;

use crate::info::hex;
use crate::input::{self, InputCause};

/// stage0's image, as it was built together with this program.
pub const EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stage0.elf"));

/// Most bytes that an image has, of this version or any other.
pub const MAX_STAGE0: u64 = 128 << 10;

const _: () = assert!(EMBEDDED.len() as u64 <= MAX_STAGE0, "the stage0 to carry has more than 131072 bytes");

/// A file that is no stage0, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct Stage0Error {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub cause: Stage0Cause,
}

/// Why a file is no stage0.
#[derive(Debug, thiserror::Error)]
pub enum Stage0Cause {
    /// There are no bytes to look at.
    #[error(transparent)]
    Input(#[from] InputCause),
    /// Not an ELF file that a builder would load.
    #[error("is no stage0: expected an ELF file that a builder loads")]
    NotElf,
    /// Nowhere to write keys.
    #[error("has no room for keys: take a stage0 of this version")]
    NoSlot,
    /// No PVH entry.
    #[error("is no stage0: {0}")]
    NoEntry(PlanError),
}

/// Reads another stage0 from a file.
pub fn read(path: &Path) -> Result<Vec<u8>, Stage0Error> {
    let checked = input::read(path, MAX_STAGE0).map_err(Stage0Cause::from).and_then(check);
    checked.map_err(|cause| Stage0Error { path: path.to_owned(), cause })
}

/// The stage0 in a file, or where none is named the one that this program carries.
pub fn given(path: Option<&Path>) -> Result<Cow<'static, [u8]>, Stage0Error> {
    path.map_or(Ok(Cow::Borrowed(EMBEDDED)), |path| read(path).map(Cow::Owned))
}

/// Whether a builder would start `image`.
fn check(image: Vec<u8>) -> Result<Vec<u8>, Stage0Cause> {
    let kernel = Kernel::read(&mut SliceFile(&image)).map_err(|_| Stage0Cause::NotElf)?;
    kernel.plan(Protocol::Pvh, &Default::default()).map_err(Stage0Cause::NoEntry)?;
    Ok(image)
}

/// Writes keys into the slot of `image`. Nothing else of it changes.
pub fn trust(image: &mut [u8], keys: &TrustSlot) -> Result<(), Stage0Cause> {
    let slot = image.get_mut(TrustSlot::OFFSET..).and_then(|slot| TrustSlot::mut_from_prefix(slot).ok());
    match slot {
        Some((slot, _)) if slot.magic == TrustSlot::MAGIC => *slot = *keys,
        _ => return Err(Stage0Cause::NoSlot),
    }
    Ok(())
}

/// The keys in `image`; one without a slot trusts nobody in particular.
pub fn trusted(image: &[u8]) -> TrustSlot {
    let slot = image.get(TrustSlot::OFFSET..).and_then(|slot| TrustSlot::read_from_prefix(slot).ok());
    slot.map(|(slot, _)| slot).filter(|slot| slot.magic == TrustSlot::MAGIC).unwrap_or(TrustSlot::EMPTY)
}

/// SHA-256 of an image, hexadecimal.
pub fn digest(image: &[u8]) -> String {
    hex(&Sha256::digest(image))
}
