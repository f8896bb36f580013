//! Copying within the content.

/// Writes `len` bytes at `at` that repeat those `distance` before, which the caller has found to be from 1 to `at`; the caller also
/// knows that `at + len` is within the content.
#[inline(never)]
pub(crate) fn repeat(content: &mut [u8], at: usize, distance: usize, len: usize) {
    let start = at - distance;
    let (mut at, end) = (at, at + len);
    // What lies between `start` and `at` grows with each copy.
    while at < end {
        let count = (at - start).min(end - at);
        content.copy_within(start..start + count, at);
        at += count;
    }
}
