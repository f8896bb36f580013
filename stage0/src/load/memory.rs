//! The domain's memory, as loading sees it.

use shared::memory::{Phys, PhysRange};

/// Guest-physical memory. Each method returns `None` where the range cannot be reached.
///
/// In the guest it is a window through which the page tables show it; in tests, arrays.
pub trait Memory {
    /// The bytes of `range`.
    fn bytes(&self, range: PhysRange) -> Option<&[u8]>;

    /// The bytes of `range`, to be written.
    fn bytes_mut(&mut self, range: PhysRange) -> Option<&mut [u8]>;

    /// The bytes of `from`, to be read while those of `to` are written; `None` also if the two overlap.
    fn pair(&mut self, from: PhysRange, to: PhysRange) -> Option<(&[u8], &mut [u8])>;

    /// Moves what is at `from` to `to`, also where the two overlap. What is left where it was means nothing.
    fn relocate(&mut self, from: PhysRange, to: Phys) -> Option<()>;
}
