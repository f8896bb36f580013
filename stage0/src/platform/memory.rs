//! Physical memory through the window.

use core::{ptr, slice};

use shared::memory::{PAGE_SIZE, Phys, PhysRange};

use super::pv::{ByXen, Frames, View};
use crate::entry::WINDOW;
use crate::load::Memory;

/// The domain's memory from 0 on, at most 4 GiB, but for what stage0 itself stands on.
#[derive(Debug)]
pub struct PhysicalMemory {
    /// stage0's image, and its page tables once it has its own: memory that Rust code holds by other means.
    own: [PhysRange; 2],
    /// What the window shows ends here.
    end: Phys,
    /// In a PV domain: by whom what moves is renamed instead of copied.
    frames: Option<Frames<'static, ByXen>>,
}

impl PhysicalMemory {
    /// The only one.
    ///
    /// # Safety
    /// At most one lives at a time; the window maps all up to `end`, writable, but for what is in `image` or given to
    /// [`PhysicalMemory::set_place`]; `image` holds all memory in which Rust
    /// code has variables, constants, code, or page tables.
    pub(super) const unsafe fn new(image: PhysRange, end: Phys) -> Self {
        Self { own: [image, PhysRange::EMPTY], end, frames: None }
    }

    /// Changes where stage0 stands.
    ///
    /// # Safety
    /// As for [`PhysicalMemory::new`], for `image` and `tables` together.
    pub(super) unsafe fn set_place(&mut self, image: PhysRange, tables: PhysRange) {
        self.own = [image, tables];
    }

    /// Where `range` is seen; `None` if the window does not show it, or it is stage0's own.
    fn pointer(&self, range: PhysRange) -> Option<(*mut u8, usize)> {
        let reached = range.end() <= self.end && !self.own.iter().any(|own| own.overlaps(&range));
        let len = usize::try_from(range.len()).ok()?;
        reached.then_some((pointer(range.start()), len))
    }
}

impl PhysicalMemory {
    /// What moves is renamed by `frames` from now on.
    pub(super) fn rename_by(&mut self, frames: Frames<'static, ByXen>) {
        self.frames = Some(frames);
    }

    /// A PV domain's frames.
    pub const fn frames(&mut self) -> Option<&mut Frames<'static, ByXen>> {
        self.frames.as_mut()
    }

    /// Copies a PV domain's list of frames to `range`, which it may not fill.
    pub fn copy_list(&mut self, range: PhysRange) -> Option<()> {
        let (pointer, len) = self.pointer(range)?;
        let list = zerocopy::IntoBytes::as_bytes(self.frames.as_ref()?.list());
        // SAFETY: as in `bytes_mut`; the list lies in what stage0 stands on, which is excluded.
        let target = unsafe { slice::from_raw_parts_mut(pointer, len) };
        target.fill(0);
        target.get_mut(..list.len())?.copy_from_slice(list);
        Some(())
    }
}

/// Where physical memory is seen in the window.
pub(super) fn pointer(at: Phys) -> *mut u8 {
    ptr::with_exposed_provenance_mut((WINDOW.0 + at.0) as usize)
}

impl Memory for PhysicalMemory {
    fn bytes(&self, range: PhysRange) -> Option<&[u8]> {
        let (pointer, len) = self.pointer(range)?;
        // SAFETY: 1. the window maps the range (checked by `pointer`), at an address above 0, and u8 needs no alignment;
        // 2. all bytes are initialised memory of the machine; 3. nothing writes to it while `self` is borrowed: stage0's
        // own memory is excluded, and this is the only `PhysicalMemory` (promised to `new`).
        Some(unsafe { slice::from_raw_parts(pointer, len) })
    }

    fn bytes_mut(&mut self, range: PhysRange) -> Option<&mut [u8]> {
        let (pointer, len) = self.pointer(range)?;
        // SAFETY: as in `bytes`; and `self` is borrowed mutably, so that nothing reads it meanwhile.
        Some(unsafe { slice::from_raw_parts_mut(pointer, len) })
    }

    fn pair(&mut self, from: PhysRange, to: PhysRange) -> Option<(&[u8], &mut [u8])> {
        if from.overlaps(&to) {
            return None;
        }
        let ((from, from_len), (to, to_len)) = (self.pointer(from)?, self.pointer(to)?);
        // SAFETY: as in `bytes_mut`, for each of two ranges that have no byte in common.
        Some(unsafe { (slice::from_raw_parts(from, from_len), slice::from_raw_parts_mut(to, to_len)) })
    }

    fn relocate(&mut self, from: PhysRange, to: Phys) -> Option<()> {
        if let Some(frames) = &mut self.frames {
            let aligned = from.start().is_aligned(PAGE_SIZE) && to.is_aligned(PAGE_SIZE);
            let from = from.page_hull().ok().filter(|_| aligned)?;
            frames.relocate(from, PhysRange::sized(to, from.len()).ok()?, View::Shown);
            return Some(());
        }
        let (source, len) = self.pointer(from)?;
        let (target, _) = self.pointer(PhysRange::sized(to, from.len()).ok()?)?;
        // SAFETY: the window maps both ranges; `self` is borrowed mutably; they may overlap.
        unsafe { ptr::copy(source, target, len) };
        Some(())
    }
}
