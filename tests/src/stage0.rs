//! The stage0 under test: the one that `pack` carries.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use shared::memory::{Phys, PhysRange};

/// What stage0 writes to isa-debug-exit when something is wrong.
pub use stage0::platform::DEBUG_EXIT_FAILED as EXIT_ERROR;

/// stage0 as a file that QEMU can be given.
///
/// # Errors
/// Where it cannot be written.
pub fn file() -> Result<PathBuf> {
    crate::probe::file("stage0", pack::stage0::EMBEDDED)
}

/// Where a builder loads stage0: its file's bytes, its stack and its tables.
///
/// # Errors
/// Where the file is no ELF with one PT_LOAD, as stage0 is.
pub fn place() -> Result<PhysRange> {
    let file = pack::stage0::EMBEDDED;
    let header = FileHeader64::<LittleEndian>::parse(file).context("stage0 is no ELF64 file")?;
    let headers = header.program_headers(LittleEndian, file)?;
    let loads: Vec<_> = headers.iter().filter(|load| load.p_type(LittleEndian) == PT_LOAD).collect();
    ensure!(loads.len() == 1, "stage0 has {} PT_LOADs, not one", loads.len());
    Ok(PhysRange::sized(Phys(loads[0].p_paddr(LittleEndian)), loads[0].p_memsz(LittleEndian))?)
}
