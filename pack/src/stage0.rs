//! The stage0 that this program carries, or another one.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use shared::kernel::{Kernel, PlanError, Protocol, SliceFile};

use crate::info::hex;
use crate::input::{self, InputCause};

/// stage0's image, as it was built together with this program.
pub const EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stage0.elf"));

/// Most bytes that an image has, of this version or any other.
pub const MAX_STAGE0: u64 = if cfg!(feature = "pv") { 208 << 10 } else { 144 << 10 };

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
    /// No PVH entry.
    #[error("is no stage0: {0}")]
    NoEntry(PlanError),
}

/// Reads another stage0 from a file.
pub fn read(path: &Path) -> Result<Vec<u8>, Stage0Error> {
    let checked = input::read(path, MAX_STAGE0).map_err(Stage0Cause::from).and_then(check);
    checked.map_err(|cause| Stage0Error { path: path.to_owned(), cause })
}

/// Whether a builder would start `image`.
fn check(image: Vec<u8>) -> Result<Vec<u8>, Stage0Cause> {
    let kernel = Kernel::read(&mut SliceFile(&image)).map_err(|_| Stage0Cause::NotElf)?;
    kernel.plan(Protocol::Pvh, &Default::default()).map_err(Stage0Cause::NoEntry)?;
    Ok(image)
}

/// SHA-256 of an image, hexadecimal.
pub fn digest(image: &[u8]) -> String {
    hex(&Sha256::digest(image))
}
