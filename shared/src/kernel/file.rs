//! Where a kernel's bytes come from: a slice on the host, decoded frames in the guest.

use core::fmt;

use crate::memory::FileRange;

/// The most bytes that [`Kernel::read`](super::Kernel::read) asks for in one view, and so the scratch that an
/// implementation needs: a segment of notes, a table of section headers, or a table of section names.
pub const MAX_VIEW: u64 = 64 * 1024;

/// A kernel file that can be looked at piece by piece.
pub trait KernelFile {
    /// Why a piece cannot be had.
    type Error;

    /// Bytes in the file.
    fn len(&self) -> u64;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, all of them. The range lies within the file and is at most [`MAX_VIEW`] long. What is
    /// returned holds until the next call.
    fn view(&mut self, range: FileRange) -> Result<&[u8], Self::Error>;
}

/// A kernel file that is in memory as a whole.
#[derive(Clone, Copy)]
pub struct SliceFile<'a>(pub &'a [u8]);

impl KernelFile for SliceFile<'_> {
    type Error = Outside;

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn view(&mut self, range: FileRange) -> Result<&[u8], Outside> {
        let found = usize::try_from(range.offset())
            .ok()
            .zip(usize::try_from(range.end()).ok())
            .and_then(|(start, end)| self.0.get(start..end));
        found.ok_or(Outside { range, len: self.0.len() as u64 })
    }
}

/// A range that is not in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outside {
    /// The range asked for.
    pub range: FileRange,
    /// Bytes in the file.
    pub len: u64,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {} asked of a file of {:#x}", self.range, self.len)
    }
}

impl core::error::Error for Outside {}
