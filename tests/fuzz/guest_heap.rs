//! stage0's decoders in the very heap that they have in the guest. What does not fit there is refused, as it is there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::mem::transmute;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, park};

use shared::format::Codec;
use shared::memory::decoder_len;
use stage0::load::LoadError;
use stage0::platform::heap::Bump;

static HEAP: Bump = Bump::new();
/// Where the heap is; set before it is used.
static START: AtomicUsize = AtomicUsize::new(0);
/// Bytes that the decoder has wanted beyond it.
static BEYOND: AtomicUsize = AtomicUsize::new(0);
/// More than these it does not get: it may want a thousand times as much.
const MOST_BEYOND: usize = 64 << 20;
/// Bytes of the heap.
const LEN: usize = decoder_len(Codec::Zstd) as usize;

thread_local! {
    /// Whether this thread's allocations go to the heap. Only one thread at a time says so.
    static IN_GUEST: Cell<bool> = const { Cell::new(false) };
    /// Who waits for the decoder that this thread runs.
    static WAITING: RefCell<Option<Sender<Result<(), LoadError>>>> = const { RefCell::new(None) };
}

struct Either;

#[global_allocator]
static EITHER: Either = Either;

// SAFETY: each block goes back to where it came from, which its address tells.
unsafe impl GlobalAlloc for Either {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IN_GUEST.get() {
            // SAFETY: passed on as it came.
            let block = unsafe { HEAP.alloc(layout) };
            if !block.is_null() {
                return block;
            }
            if BEYOND.fetch_add(layout.size(), Relaxed) > MOST_BEYOND {
                end();
            }
        }
        // SAFETY: passed on as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let is_in_heap = block.addr().wrapping_sub(START.load(Relaxed)) < LEN;
        // SAFETY: passed on as it came.
        unsafe { if is_in_heap { HEAP.dealloc(block, layout) } else { System.dealloc(block, layout) } }
    }
}

/// Ends the decoder, which cannot be told that there is no memory: its thread stays here for ever.
fn end() -> ! {
    IN_GUEST.set(false);
    WAITING.take().into_iter().for_each(|waiting| _ = waiting.send(Err(LoadError::DecoderMemory)));
    loop {
        park();
    }
}

/// [`fuzz::decode::decode`] in the guest's heap, in a thread of its own; called by one thread.
fn decode(codec: Codec, stored: &[u8], content: &mut [u8]) -> Result<(), LoadError> {
    if START.load(Relaxed) == 0 {
        START.store(vec![0u8; LEN].leak().as_mut_ptr().expose_provenance(), Relaxed);
    }
    BEYOND.store(0, Relaxed);
    // SAFETY: the range lives for ever, and no decoder that ran before runs now.
    unsafe { HEAP.give(std::ptr::with_exposed_provenance_mut(START.load(Relaxed)), LEN) };
    // SAFETY: the thread uses them until it sends its answer, for which this function waits.
    let (stored, content) =
        unsafe { transmute::<(&[u8], &mut [u8]), (&'static [u8], &'static mut [u8])>((stored, content)) };
    let (sender, receiver) = channel();
    let thread = move || {
        WAITING.set(Some(sender));
        IN_GUEST.set(true);
        let result = fuzz::decode::decode(codec, stored, content);
        IN_GUEST.set(false);
        let result = if BEYOND.load(Relaxed) == 0 { result } else { Err(LoadError::DecoderMemory) };
        WAITING.take().into_iter().for_each(|waiting| _ = waiting.send(result));
    };
    let started = Builder::new().stack_size(1 << 20).spawn(thread);
    started.and_then(|_| receiver.recv().map_err(std::io::Error::other)).expect("a decoder that answers")
}

/// The target, in that heap.
pub(crate) fn run(data: &[u8]) {
    fuzz::decode::run_with(data, decode);
}
