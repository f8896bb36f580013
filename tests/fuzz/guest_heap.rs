//! stage0's decoders in the very heap that they have in the guest: what does not fit there ends the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Once;

use shared::format::Codec;
use shared::memory::decoder_len;
use stage0::load::DecodeError;
use stage0::platform::heap::Bump;

static HEAP: Bump = Bump::new();

thread_local! {
    /// Whether this thread's allocations go to the heap. Only one thread ever says so.
    static IN_GUEST: Cell<bool> = const { Cell::new(false) };
}

struct Either;

#[global_allocator]
static EITHER: Either = Either;

// SAFETY: each block goes back to where it came from: what the decoder allocates it frees before it returns, while
// the flag is set.
unsafe impl GlobalAlloc for Either {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on as it came.
        unsafe { if IN_GUEST.get() { HEAP.alloc(layout) } else { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on as it came.
        unsafe { if IN_GUEST.get() { HEAP.dealloc(block, layout) } else { System.dealloc(block, layout) } }
    }
}

/// [`stage0::load::decode`] in the guest's heap; called by one thread.
fn decode(codec: Codec, stored: &[u8], content: &mut [u8]) -> Result<(), DecodeError> {
    static GIVEN: Once = Once::new();
    GIVEN.call_once(|| {
        let len = usize::try_from(decoder_len(Codec::Zstd)).unwrap_or(0);
        let range = vec![0u8; len].leak();
        // SAFETY: the range lives for ever, and is touched by nothing else.
        unsafe { HEAP.give(range.as_mut_ptr(), len) };
    });
    IN_GUEST.set(true);
    let result = stage0::load::decode(codec, stored, content);
    IN_GUEST.set(false);
    result
}

/// The target, in that heap.
pub(crate) fn run(data: &[u8]) {
    fuzz::decode::run_with(data, decode);
}
