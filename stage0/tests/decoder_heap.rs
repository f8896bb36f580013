//! What zstd's decoder needs, in the very heap that it has in the guest: no more than the memory plan gives it.
#![allow(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use shared::format::{Codec, MAX_FRAME_LEN, MAX_WINDOW_LOG};
use shared::memory::decoder_len;
use stage0::load::decode;
use stage0::platform::heap::Bump;

static HEAP: Bump = Bump::new();
/// Whether allocations go to the heap; only this file's one test sets it, around code that has no other thread.
static IN_GUEST: AtomicBool = AtomicBool::new(false);

struct Either;

#[global_allocator]
static EITHER: Either = Either;

// SAFETY: each block goes back to where it came from: what the decoder allocates it frees before it returns, while
// the flag is set.
unsafe impl GlobalAlloc for Either {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on as it came.
        unsafe { if IN_GUEST.load(SeqCst) { HEAP.alloc(layout) } else { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on as it came.
        unsafe { if IN_GUEST.load(SeqCst) { HEAP.dealloc(block, layout) } else { System.dealloc(block, layout) } }
    }
}

/// Bytes that compress well, badly, or not at all, by how many of each sixteen are drawn at random.
fn content(random: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..MAX_FRAME_LEN as usize).map(|at| if at % 16 < random { next() as u8 } else { (at / 4096) as u8 }).collect()
}

fn main() {
    let len = usize::try_from(decoder_len(Codec::Zstd)).expect("a small number");
    let mut range = vec![0u8; len];
    // SAFETY: the vector outlives all use of the heap, and is touched by nothing else.
    unsafe { HEAP.give(range.as_mut_ptr(), len) };
    let mut most = 0;
    for random in [0, 1, 3, 8, 16] {
        for level in [1, 3, 19, 22] {
            let content = content(random);
            let mut encoder = zstd::bulk::Compressor::new(level).expect("an encoder");
            for parameter in [
                zstd::zstd_safe::CParameter::WindowLog(MAX_WINDOW_LOG),
                zstd::zstd_safe::CParameter::ChecksumFlag(true),
                zstd::zstd_safe::CParameter::ContentSizeFlag(true),
            ] {
                encoder.set_parameter(parameter).expect("a parameter");
            }
            let stored = encoder.compress(&content).expect("a frame");
            let mut decoded = vec![0; content.len()];
            IN_GUEST.store(true, SeqCst);
            let result = decode(Codec::Zstd, &stored, &mut decoded);
            IN_GUEST.store(false, SeqCst);
            assert_eq!(result, Ok(()));
            assert!(decoded == content, "level {level}, {random} random bytes of 16");
            most = most.max(HEAP.most_used());
        }
    }
    println!("zstd's decoder used at most {most} of {len} bytes");
    assert!(most <= len);
}
