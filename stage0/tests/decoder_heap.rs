//! What zstd's decoder needs, in the very heap that it has in the guest: no more than the memory plan gives it.
#![allow(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use shared::format::{Codec, MAX_BLOCKS, MAX_FRAME_LEN};
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

/// Blocks of short matches among words of two kinds, which libzstd takes apart into many.
fn odd() -> Vec<u8> {
    let noise = content(16);
    let word = |n: usize| &noise[noise[1024 + n] as usize % 64 * 4..][..4];
    let mut content = noise[..256].to_vec();
    for n in 0.. {
        if content.len() >= MAX_FRAME_LEN as usize {
            break;
        }
        match n / 620 % 2 {
            0 => content.extend([word(n), &noise[4096 + n..][..1]].concat()),
            _ => content.extend([&word(n)[..3], b"a"].concat()),
        }
    }
    content.truncate(MAX_FRAME_LEN as usize);
    content
}

/// A frame of one segment, as libzstd makes it.
fn frame(level: i32, content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::bulk::Compressor::new(level).expect("an encoder");
    for parameter in [
        zstd::zstd_safe::CParameter::WindowLog(MAX_FRAME_LEN.ilog2()),
        zstd::zstd_safe::CParameter::ChecksumFlag(true),
        zstd::zstd_safe::CParameter::ContentSizeFlag(true),
    ] {
        encoder.set_parameter(parameter).expect("a parameter");
    }
    encoder.compress(content).expect("a frame")
}

/// The same with as many blocks as a frame may have: libzstd ends one wherever it is flushed.
fn of_many_blocks(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.include_checksum(true).expect("a parameter");
    encoder.window_log(MAX_FRAME_LEN.ilog2()).expect("a parameter");
    encoder.set_pledged_src_size(Some(content.len() as u64)).expect("a parameter");
    for piece in content.chunks(content.len().div_ceil(MAX_BLOCKS - 1)) {
        encoder.write_all(piece).expect("memory");
        encoder.flush().expect("memory");
    }
    encoder.finish().expect("memory")
}

fn main() {
    let len = usize::try_from(decoder_len(Codec::Zstd)).expect("a small number");
    let mut range = vec![0u8; len];
    // SAFETY: the vector outlives all use of the heap, and is touched by nothing else.
    unsafe { HEAP.give(range.as_mut_ptr(), len) };
    let mut frames = Vec::new();
    for content in [0, 1, 3, 8, 16].map(content).into_iter().chain([odd()]) {
        frames.extend([1, 3, 9, 19, 22].map(|level| (frame(level, &content), content.clone())));
        frames.push((of_many_blocks(&content), content));
    }
    let mut most = 0;
    for (n, (stored, content)) in frames.iter().enumerate() {
        let mut decoded = vec![0; content.len()];
        IN_GUEST.store(true, SeqCst);
        let result = decode(Codec::Zstd, stored, &mut decoded);
        IN_GUEST.store(false, SeqCst);
        assert_eq!(result, Ok(()), "frame {n}");
        assert!(decoded == *content, "frame {n}");
        most = most.max(HEAP.most_used());
    }
    println!("zstd's decoder used at most {most} of {len} bytes");
    assert!(most <= len);
}
