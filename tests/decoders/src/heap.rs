//! A heap that is handed out upwards and cleared as a whole.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::linux;

const LEN: usize = 64 << 20;

struct Heap {
    start: AtomicUsize,
    used: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap { start: AtomicUsize::new(0), used: AtomicUsize::new(0) };

/// Takes back all that was handed out, which nobody uses any more.
pub(crate) fn clear() {
    HEAP.used.store(0, Relaxed);
}

// SAFETY: blocks lie within memory that is nobody else's, do not overlap, and are aligned; null is returned where there is no room.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.start.load(Relaxed) == 0 {
            let Some(memory) = linux::memory(LEN) else { return ptr::null_mut() };
            self.start.store(memory.as_mut_ptr().expose_provenance(), Relaxed);
        }
        let at = self.used.load(Relaxed).next_multiple_of(layout.align());
        match at.checked_add(layout.size()) {
            Some(end) if end <= LEN => {
                self.used.store(end, Relaxed);
                ptr::with_exposed_provenance_mut(self.start.load(Relaxed) + at)
            }
            _ => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
