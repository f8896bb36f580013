//! Where a pack's stored bytes come from.

use shared::memory::{FileRange, Phys, PhysRange};

use super::memory::Memory;

/// Gives stored bytes, one range at a time. Nothing else knows where they come from.
pub trait Source {
    /// The stored bytes of `range` of the pack, to be decoded `into` a range of memory; `None` where one cannot be
    /// reached, or the two overlap.
    fn stored<'m, M: Memory>(
        &mut self,
        memory: &'m mut M,
        range: FileRange,
        into: PhysRange,
    ) -> Option<(&'m [u8], &'m mut [u8])>;
}

/// A pack that lies in memory as a whole, as a builder leaves a ramdisk.
#[derive(Clone, Copy, Debug)]
pub struct Ramdisk {
    /// The pack's first byte.
    pub base: Phys,
}

impl Ramdisk {
    /// Where `range` of the pack lies.
    pub fn place(&self, range: FileRange) -> Option<PhysRange> {
        PhysRange::sized(self.base.checked_add(range.offset())?, range.len()).ok()
    }
}

impl Source for Ramdisk {
    fn stored<'m, M: Memory>(
        &mut self,
        memory: &'m mut M,
        range: FileRange,
        into: PhysRange,
    ) -> Option<(&'m [u8], &'m mut [u8])> {
        memory.pair(self.place(range)?, into)
    }
}
