//! The stage0 under test: the one that `pack` carries.

use std::mem::offset_of;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD, PT_NOTE, ProgramHeader64, ProgramType};
use object::read::elf::{FileHeader, ProgramHeader};
use pack::stage0::EMBEDDED;
use shared::memory::{Phys, PhysRange};

/// What stage0 writes to isa-debug-exit when something is wrong.
pub use stage0::platform::DEBUG_EXIT_FAILED as EXIT_ERROR;

/// What each line begins with by which stage0 refuses.
pub const ERROR: &str = "stage0: error: ";

/// Why stage0 refused, by what is on a console: its errors, without what each begins with.
pub fn errors(console: &str) -> Vec<&str> {
    console.lines().filter_map(|line| line.strip_prefix(ERROR)).collect()
}

/// stage0 as a file that QEMU can be given.
///
/// # Errors
/// Where it cannot be written.
pub fn file() -> Result<PathBuf> {
    crate::probe::file("stage0", EMBEDDED)
}

/// Where a builder loads stage0: its file's bytes, its stack and its tables, and room for its unpacked code.
///
/// # Errors
/// Where the file is no ELF with one PT_LOAD, as stage0 is.
pub fn place() -> Result<PhysRange> {
    let load = header(PT_LOAD)?;
    Ok(PhysRange::sized(Phys(load.p_paddr(LittleEndian)), load.p_memsz(LittleEndian))?)
}

/// The one program header of a type.
fn header(kind: ProgramType) -> Result<ProgramHeader64<LittleEndian>> {
    let header = FileHeader64::<LittleEndian>::parse(EMBEDDED).context("stage0 is no ELF64 file")?;
    let headers = header.program_headers(LittleEndian, EMBEDDED)?;
    let found: Vec<_> = headers.iter().filter(|header| header.p_type(LittleEndian) == kind).collect();
    ensure!(found.len() == 1, "stage0 has {} program headers of type {kind:?}, not one", found.len());
    Ok(*found[0])
}

/// Where the packed body begins in the file: behind the notes (stage0.ld).
///
/// # Errors
/// Where the file has no notes.
pub fn packed_at() -> Result<usize> {
    let note = header(PT_NOTE)?;
    Ok(usize::try_from(note.p_offset(LittleEndian) + note.p_filesz(LittleEndian))?)
}

/// Code and constants, as they are unpacked when stage0 starts.
///
/// # Errors
/// Where the file is not as `pack`'s build made it.
pub fn body() -> Result<Vec<u8>> {
    let packed = EMBEDDED.get(packed_at()?..).context("stage0 is cut off")?;
    Ok(upkr::unpack(packed, &upkr::Config::default(), 1 << 20)?)
}

/// A stage0 with another body, of the same length.
///
/// # Errors
/// As for [`body`].
pub fn with_body(body: &[u8]) -> Result<Vec<u8>> {
    /// Where the length is: in the first program header, which follows the file's.
    const FILE_LEN_AT: usize =
        size_of::<FileHeader64<LittleEndian>>() + offset_of!(ProgramHeader64<LittleEndian>, p_filesz);
    let mut file = EMBEDDED[..packed_at()?].to_vec();
    file.extend(upkr::pack(body, 1, &upkr::Config::default(), None));
    let len = (file.len() as u64).to_le_bytes();
    file[FILE_LEN_AT..][..len.len()].copy_from_slice(&len);
    Ok(file)
}

/// A stage0 in whose body `code` is written over the one place that begins with `place`.
///
/// # Errors
/// As for [`body`], or there is not one such place.
pub fn changed(place: &[u8], code: &[u8]) -> Result<Vec<u8>> {
    let mut body = body()?;
    let at = find(&body, place)?;
    body[at..][..code.len()].copy_from_slice(code);
    with_body(&body)
}

/// Where the one place of `body` is that begins with `place`.
///
/// # Errors
/// There is not one such place.
pub fn find(body: &[u8], place: &[u8]) -> Result<usize> {
    let places: Vec<usize> = (0..body.len()).filter(|at| body[*at..].starts_with(place)).collect();
    ensure!(places.len() == 1, "expected {place:x?} once in stage0, found it at {places:x?}");
    Ok(places[0])
}
