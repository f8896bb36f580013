//! Relocates a static PIE where it has been placed.

use shared::format::Manifest;
use shared::kernel::{KernelFile, Pieces, Plan, Relocated};
use shared::memory::{FileRange, Phys, PhysRange};

use super::Clock;
use super::error::LoadError;
use super::head::PackedFile;
use super::memory::Memory;
use super::source::Source;
use super::timing::Meter;

/// Applies the relocations of a kernel that lies where `plan` has it. They are read from its frames, decoded into the
/// [`VIEW_LEN`](shared::memory::VIEW_LEN) bytes from `scratch` on. Nothing is done for a kernel that is no static PIE.
pub fn relocate<M: Memory, S: Source, C: Clock>(
    memory: &mut M,
    source: &mut S,
    manifest: &Manifest<'_>,
    plan: &Plan,
    scratch: Phys,
    meter: &mut Meter<C>,
) -> Result<(), LoadError> {
    let file = PackedFile::new(memory, source, *manifest, scratch, meter).for_tables();
    let len = file.len();
    shared::kernel::relocate(plan, len, &mut Placed { file, piece: PhysRange::EMPTY })
}

/// A kernel in place, and a piece of its file in scratch.
struct Placed<'a, M, S, C> {
    file: PackedFile<'a, M, S, C>,
    piece: PhysRange,
}

impl<M: Memory, S: Source, C: Clock> Pieces for Placed<'_, M, S, C> {
    type Error = LoadError;

    fn open(&mut self, piece: FileRange) -> Result<(), LoadError> {
        self.piece = self.file.place(piece)?;
        Ok(())
    }

    #[inline(never)]
    fn number(&mut self, at: u64, len: u64) -> u64 {
        let range = self.piece.start().checked_add(at).and_then(|start| PhysRange::sized(start, len).ok());
        self.get(range.unwrap_or_default())
    }
}

impl<M: Memory, S: Source, C: Clock> Relocated for Placed<'_, M, S, C> {
    fn get(&mut self, place: PhysRange) -> u64 {
        let bytes = self.file.memory.bytes(place).unwrap_or_default();
        let mut number = [0; 8];
        number.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(number)
    }

    #[inline(never)]
    fn put(&mut self, place: PhysRange, number: u64) -> Result<(), LoadError> {
        let bytes = self.file.memory.bytes_mut(place).ok_or(LoadError::Unreachable { range: place })?;
        bytes.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
        Ok(())
    }
}
