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

/// What stage0 puts back once it has hashed by vectors (platform/vectors.rs), each in the order of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// The upper halves of YMM: `xrstor64 [rdi]`.
    Upper,
    /// The FPU and XMM: `fxrstor64 [rdi]`.
    Vectors,
    /// XCR0: `mov eax, esi; xsetbv`.
    Xcr0,
    /// CR4: `mov rdx, [rdi + 0x340]; mov cr4, rdx`.
    Cr4,
}

impl Restore {
    const fn code(self) -> &'static [u8] {
        match self {
            Self::Upper => &[0x48, 0x0f, 0xae, 0x2f],
            Self::Vectors => &[0x48, 0x0f, 0xae, 0x0f],
            Self::Xcr0 => &[0x89, 0xf0, 0x0f, 0x01, 0xd1],
            Self::Cr4 => &[0x48, 0x8b, 0x97, 0x40, 0x03, 0x00, 0x00, 0x0f, 0x22, 0xe2],
        }
    }

    /// Leaves it out of `body`.
    ///
    /// # Errors
    /// It is not there, or more than once.
    pub fn leave_out(self, body: &mut [u8]) -> Result<()> {
        let at = find(body, self.code())?;
        // nop
        body[at..][..self.code().len()].fill(0x90);
        Ok(())
    }
}

/// The code that moves stage0, in the order of its bytes (platform/pvh.rs: mov r8, rcx; mov rcx, rdx; rep movsq; mov cr3, r8; ret),
/// which runs once, while the phase is "place".
pub const MOVE: [u8; 13] = [0x49, 0x89, 0xc8, 0x48, 0x89, 0xd1, 0xf3, 0x48, 0xa5, 0x41, 0x0f, 0x22, 0xd8];

/// Code that a PVH domain never runs, in the order of its bytes: a stub for each exception in a PV domain (platform/fault.s:
/// pop rcx; pop r11; jmp), each of [`STUB_LEN`] bytes.
const STUB: [u8; 4] = [0x59, 0x41, 0x5b, 0xe9];
const STUB_LEN: usize = 16;
const STUBS: usize = 32;

/// Where in `body` there is room for code, which a PVH domain does not run: 512 bytes.
///
/// # Errors
/// The stubs are not there.
pub fn unused(body: &[u8]) -> Result<usize> {
    let is_stubs =
        |at: &usize| body[*at..].chunks(STUB_LEN).take_while(|stub| stub.starts_with(&STUB)).count() >= STUBS;
    (0..body.len()).find(is_stubs).context("expected the stubs for PV domains, found none")
}

/// A jump from one place to another: jmp.
///
/// # Errors
/// They are too far from each other.
pub fn jump(from: usize, to: usize) -> Result<[u8; 5]> {
    let [a, b, c, d] = i32::try_from(to as i64 - (from as i64 + 5))?.to_le_bytes();
    Ok([0xe9, a, b, c, d])
}

/// Puts `code` before [`MOVE`], in a PVH domain. It may change RAX and flags.
///
/// # Errors
/// There is no room for it.
pub fn before_moving(body: &mut [u8], code: &[u8]) -> Result<()> {
    /// Bytes of the instructions that a jump is put in the place of.
    const REPLACED: usize = 6;
    let (at, room) = (find(body, &MOVE)?, unused(body)?);
    let back = jump(room + code.len() + REPLACED, at + REPLACED)?;
    let code = [code, &MOVE[..REPLACED], &back].concat();
    ensure!(code.len() <= STUB_LEN * STUBS, "{} bytes of code, which is too many", code.len());
    body[room..][..code.len()].copy_from_slice(&code);
    body[at..][..5].copy_from_slice(&jump(at, room)?);
    Ok(())
}
