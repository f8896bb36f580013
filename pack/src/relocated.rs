//! Whether a static PIE's relocations are such that stage0 applies them, found out by the code that does.

use shared::kernel::{Pieces, Plan, RelocError, Relocated};
use shared::memory::{FileRange, PhysRange};

/// Goes through all relocations of the kernel in `elf`, which is to lie where `plan` has it.
pub(crate) fn check(elf: &[u8], plan: &Plan) -> Result<(), RelocError> {
    shared::kernel::relocate(plan, elf.len() as u64, &mut Simulated { elf, piece: &[] })
}

/// A kernel's file, and memory that keeps nothing: what is there decides on no error.
struct Simulated<'a> {
    elf: &'a [u8],
    piece: &'a [u8],
}

impl Pieces for Simulated<'_> {
    type Error = RelocError;

    fn open(&mut self, piece: FileRange) -> Result<(), RelocError> {
        self.piece = slice(self.elf, piece.offset(), piece.len());
        Ok(())
    }

    fn number(&mut self, at: u64, len: u64) -> u64 {
        number(slice(self.piece, at, len))
    }
}

impl Relocated for Simulated<'_> {
    fn get(&mut self, _: PhysRange) -> u64 {
        0
    }

    fn put(&mut self, _: PhysRange, _: u64) -> Result<(), RelocError> {
        Ok(())
    }
}

/// The bytes of a range; none if they are not all there.
pub(crate) fn slice(bytes: &[u8], at: u64, len: u64) -> &[u8] {
    let start = usize::try_from(at).ok();
    let end = at.checked_add(len).and_then(|end| usize::try_from(end).ok());
    start.zip(end).and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default()
}

/// A little-endian number of at most 8 bytes.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(number)
}
