//! The decoders' heap: a range of scratch, handed out upwards, and free again as a whole once nothing of it is in use.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Hands out a range upwards. What is freed comes back when it was the last handed out, or when it was the only one.
#[derive(Debug)]
pub struct Bump {
    start: AtomicUsize,
    end: AtomicUsize,
    next: AtomicUsize,
    highest: AtomicUsize,
    alive: AtomicUsize,
}

#[cfg(target_os = "none")]
#[global_allocator]
static GUEST: Guest = Guest;

#[cfg(target_os = "none")]
pub(super) static HEAP: Bump = Bump::new();

/// The guest's heap. What does not fit ends the domain: only the frame of a hostile packer makes a decoder want so much, and the
/// decoder would panic.
#[cfg(target_os = "none")]
struct Guest;

impl Bump {
    /// A heap that has no range yet.
    #[expect(clippy::new_without_default, reason = "a heap without a range is no useful default")]
    pub const fn new() -> Self {
        Self {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            highest: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
        }
    }

    /// Gives the heap a range of addresses.
    ///
    /// # Safety
    /// The range is mapped, writable, and nobody else's; nothing that was allocated before is in use.
    pub unsafe fn give(&self, start: *mut u8, len: usize) {
        let start = start.expose_provenance();
        self.start.store(start, Relaxed);
        self.next.store(start, Relaxed);
        self.highest.store(start, Relaxed);
        self.end.store(start.saturating_add(len), Relaxed);
        self.alive.store(0, Relaxed);
    }

    /// Most bytes of the range that were in use at a time.
    pub fn most_used(&self) -> usize {
        self.highest.load(Relaxed) - self.start.load(Relaxed)
    }
}

// SAFETY: 1. blocks lie within the range given, do not overlap while in use, and are aligned; 2. null is returned where
// there is no room; 3. stage0 has one thread and takes no interrupts, so that plain loads and stores are enough.
unsafe impl GlobalAlloc for Bump {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.next.load(Relaxed).checked_next_multiple_of(layout.align());
        let end = block.and_then(|block| block.checked_add(layout.size()));
        match block.zip(end) {
            Some((block, end)) if end <= self.end.load(Relaxed) => {
                self.next.store(end, Relaxed);
                self.highest.store(end.max(self.highest.load(Relaxed)), Relaxed);
                self.alive.store(self.alive.load(Relaxed) + 1, Relaxed);
                ptr::with_exposed_provenance_mut(block)
            }
            _ => ptr::null_mut(),
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let alive = self.alive.load(Relaxed) - 1;
        self.alive.store(alive, Relaxed);
        if alive == 0 {
            self.next.store(self.start.load(Relaxed), Relaxed);
        } else if block.addr() + layout.size() == self.next.load(Relaxed) {
            self.next.store(block.addr(), Relaxed);
        }
    }
}

#[cfg(target_os = "none")]
// SAFETY: as for the heap, to which everything is passed on.
unsafe impl GlobalAlloc for Guest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on as it came.
        let block = unsafe { HEAP.alloc(layout) };
        if block.is_null() {
            crate::fail(&crate::load::LoadError::DecoderMemory);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on as it came.
        unsafe { HEAP.dealloc(block, layout) }
    }
}
