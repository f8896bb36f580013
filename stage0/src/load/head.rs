//! The kernel's file while it is still in its pack: the few parts that a plan needs.

use shared::format::{MAX_HEAD_WORK, Manifest};
use shared::kernel::KernelFile;
use shared::memory::{FileRange, Phys, PhysRange, VIEW_LEN};

use super::error::LoadError;
use super::frames;
use super::memory::Memory;
use super::source::Source;
use super::timing::Meter;

/// A kernel's file within a pack, decoded where it is looked at.
pub struct PackedFile<'a, M, S, C> {
    pub(super) memory: &'a mut M,
    source: &'a mut S,
    manifest: Manifest<'a>,
    scratch: Phys,
    meter: &'a mut Meter<C>,
    /// What the scratch holds, from its start on.
    held: FileRange,
    /// What was decoded, as [`MAX_HEAD_WORK`] counts.
    work: u64,
    /// The most of that.
    limit: u64,
}

impl<'a, M: Memory, S: Source, C: super::Clock> PackedFile<'a, M, S, C> {
    /// The kernel of the pack that has `manifest` and whose stored bytes come from `source`, decoded into [`VIEW_LEN`] bytes from
    /// `scratch` on.
    pub fn new(
        memory: &'a mut M,
        source: &'a mut S,
        manifest: Manifest<'a>,
        scratch: Phys,
        meter: &'a mut Meter<C>,
    ) -> Self {
        Self { memory, source, manifest, scratch, meter, held: FileRange::default(), work: 0, limit: MAX_HEAD_WORK }
    }

    /// The same, to read tables of relocations from their start to their end. Their number is bounded by the kernel's segments, and a
    /// frame of at most [`VIEW_LEN`] bytes is decoded for at most three pieces: it takes no more than a few times what placing takes.
    pub fn for_tables(self) -> Self {
        Self { limit: u64::MAX, ..self }
    }

    /// Decodes what holds `range` into scratch, unless it is there. Returns where in there its bytes are.
    pub(super) fn place(&mut self, range: FileRange) -> Result<PhysRange, LoadError> {
        let is_held = |held: FileRange| held.offset() <= range.offset() && range.end() <= held.end();
        if !is_held(self.held) {
            self.decode(range)?;
        }
        let skip = range.offset().checked_sub(self.held.offset()).filter(|_| is_held(self.held));
        let start = skip.and_then(|skip| self.scratch.checked_add(skip));
        start.and_then(|start| PhysRange::sized(start, range.len()).ok()).ok_or(LoadError::View { wanted: range })
    }

    /// Decodes the frames that hold a byte of `range`, and no others.
    fn decode(&mut self, range: FileRange) -> Result<(), LoadError> {
        self.held = FileRange::default();
        let (mut start, mut filled): (u64, u64) = (range.offset(), 0);
        for frame in self.manifest.frames_of(range) {
            start = start.min(frame.content.offset());
            let end = filled.saturating_add(frame.content.len());
            if end > VIEW_LEN {
                return Err(LoadError::View { wanted: range });
            }
            let into =
                self.scratch.checked_add(filled).and_then(|start| PhysRange::sized(start, frame.content.len()).ok());
            let into = into.ok_or(LoadError::View { wanted: range })?;
            self.work += frames::decode_frame(self.memory, self.source, &frame, into, self.meter)?;
            if self.work > self.limit {
                return Err(LoadError::HeadWork);
            }
            filled = end;
        }
        self.held = FileRange::new(start, filled).map_err(|_| LoadError::View { wanted: range })?;
        Ok(())
    }
}

impl<M: Memory, S: Source, C: super::Clock> KernelFile for PackedFile<'_, M, S, C> {
    type Error = LoadError;

    fn len(&self) -> u64 {
        self.manifest.kernel().content_len
    }

    // Once, however often it is called: it is small only to look at.
    #[inline(never)]
    fn view(&mut self, range: FileRange) -> Result<&[u8], LoadError> {
        let place = self.place(range)?;
        self.memory.bytes(place).ok_or(LoadError::Unreachable { range: place })
    }
}
