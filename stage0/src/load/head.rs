//! The kernel's file while it is still in its pack: the few parts that a plan needs.

use shared::format::Manifest;
use shared::kernel::KernelFile;
use shared::memory::{FileRange, Phys, PhysRange, VIEW_LEN};

use super::error::LoadError;
use super::frames;
use super::memory::Memory;
use super::source::Source;
use super::timing::Meter;

/// A kernel's file within a pack, decoded where it is looked at.
pub struct PackedFile<'a, M, S, C> {
    /// The domain's memory.
    pub memory: &'a mut M,
    /// Where stored bytes come from.
    pub source: &'a mut S,
    /// The pack's manifest.
    pub manifest: Manifest<'a>,
    /// [`VIEW_LEN`] bytes into which the parts are decoded.
    pub scratch: Phys,
    /// Who measures.
    pub meter: &'a mut Meter<C>,
}

impl<M: Memory, S: Source, C: super::Clock> KernelFile for PackedFile<'_, M, S, C> {
    type Error = LoadError;

    fn len(&self) -> u64 {
        self.manifest.kernel().content_len
    }

    fn view(&mut self, range: FileRange) -> Result<&[u8], LoadError> {
        let mut filled: u64 = 0;
        let mut first: Option<u64> = None;
        for frame in self.manifest.frames_of(range) {
            first.get_or_insert(frame.content.offset());
            let end = filled.saturating_add(frame.content.len());
            if end > VIEW_LEN {
                return Err(LoadError::View { wanted: range });
            }
            let into =
                self.scratch.checked_add(filled).and_then(|start| PhysRange::sized(start, frame.content.len()).ok());
            let into = into.ok_or(LoadError::View { wanted: range })?;
            frames::decode_frame(self.memory, self.source, &frame, into, self.meter)?;
            filled = end;
        }
        let whole = PhysRange::sized(self.scratch, filled).map_err(|_| LoadError::View { wanted: range })?;
        let decoded = self.memory.bytes(whole).ok_or(LoadError::Unreachable { range: whole })?;
        let skip = range.offset() - first.unwrap_or(range.offset());
        let part = usize::try_from(skip).ok().zip(usize::try_from(range.len()).ok());
        part.and_then(|(skip, len)| decoded.get(skip..)?.get(..len)).ok_or(LoadError::View { wanted: range })
    }
}
