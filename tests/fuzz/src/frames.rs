//! The decoder, over frames that are made by the grammar and changed, beside other decoders.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use grammar::others::{Others, compare_lz4};
use grammar::{Choices, Size};

/// After how many frames it is said how many were decoded.
const SAID_AFTER: u64 = 1 << 20;

static FRAMES: AtomicU64 = AtomicU64::new(0);
static BY_LIBZSTD: AtomicU64 = AtomicU64::new(0);
static BY_RUZSTD: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OTHERS: RefCell<Others> = RefCell::default();
}

/// Choices of the grammar: one in eight inputs is a block of LZ4, the others are frames of zstd. Half of all are changed.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (lz4, changed) = (choices.once_in(8), choices.once_in(2));
    if lz4 {
        let (mut stored, content) = grammar::lz4::block(&mut choices, 20);
        if changed {
            grammar::change(&mut choices, &mut stored, &[], 0);
        }
        let decoded = compare_lz4(&stored, content.len());
        assert!(changed || decoded.is_ok(), "a block of the grammar is refused: {decoded:?}");
        return;
    }
    let mut frame = grammar::frame(&mut choices, Size::TINY);
    if changed {
        grammar::change(&mut choices, &mut frame.stored, &frame.parts, 4);
    }
    let compared = OTHERS.with_borrow_mut(|others| others.compare(&frame.stored, frame.content.len()));
    let decoded = matches!(compared.ours, Some(Ok(_)));
    assert!(changed || decoded, "a frame of the grammar is refused: {compared:?}");
    count(compared.compressed && decoded, compared.libzstd, compared.ruzstd);
}

/// Counts frames with a compressed block that both have decoded to its end.
fn count(decoded: bool, by_libzstd: bool, by_ruzstd: bool) {
    let add = |counter: &AtomicU64, add: bool| counter.fetch_add(u64::from(add), Relaxed) + u64::from(add);
    let libzstd = add(&BY_LIBZSTD, decoded && by_libzstd);
    let ruzstd = add(&BY_RUZSTD, decoded && by_ruzstd);
    let frames = add(&FRAMES, true);
    if frames.is_multiple_of(SAID_AFTER) {
        println!("{frames} frames, compressed blocks decoded by us and libzstd {libzstd}, by us and ruzstd {ruzstd}");
    }
}

/// None: all comes of chance.
pub fn seeds() -> Vec<Vec<u8>> {
    (0..64_u64)
        .map(|seed| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().repeat(1 + seed as usize % 9))
        .collect()
}
