//! memcpy and memmove, by which the compiler copies.

use core::arch::global_asm;

global_asm!(include_str!("copy.s"), options(att_syntax));

// On the host there are others, which copy.s is only tested beside.
#[cfg(target_os = "none")]
global_asm!(".global memcpy, memmove", ".set memcpy, stage0_copy", ".set memmove, stage0_move", options(att_syntax));

#[cfg(test)]
mod tests {
    unsafe extern "C" {
        fn stage0_copy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
        fn stage0_move(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    }

    /// Lengths around each at which the code does something else.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..70).chain([127, 128, 129, 255, 256, 257]).chain(500..530).chain([1023, 1024, 1025, 4096, 10_001])
    }

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|n| ((n as u32).wrapping_mul(0x9e37_79b1) >> 23) as u8).collect()
    }

    #[test]
    fn what_is_copied_is_what_was_there_and_no_byte_around_it() {
        for len in lengths() {
            for (from, to) in (0..18).flat_map(|from| [(from, 16), (16, from)]) {
                let source = content(len + 64);
                let mut target = vec![0xa5; len + 64];
                let mut expected = target.clone();
                expected[to..to + len].copy_from_slice(&source[from..from + len]);
                let start = target[to..].as_mut_ptr();
                // SAFETY: both have that many bytes from there on, and do not overlap.
                let returned = unsafe { stage0_copy(start, source[from..].as_ptr(), len) };
                assert!(target == expected && returned == start, "{len} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn what_is_moved_is_what_was_there_however_the_two_overlap() {
        for len in lengths() {
            let steps = (0..40).chain([len / 2, len.saturating_sub(9), len.saturating_sub(1), len, len + 1]);
            for (from, to) in steps.flat_map(|step| [(0, step), (step, 0)]) {
                let mut bytes = content(2 * len + 64);
                let mut expected = bytes.clone();
                expected.copy_within(from..from + len, to);
                let start = bytes.as_mut_ptr();
                // SAFETY: the whole has that many bytes from both on.
                let returned = unsafe { stage0_move(start.add(to), start.add(from), len) };
                assert!(bytes == expected, "{len} bytes from {from} to {to}");
                assert_eq!(returned, start.wrapping_add(to));
            }
        }
    }
}
