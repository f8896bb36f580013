//! BLAKE3 of stored bytes: on the host the crate's own, in the guest by vectors, which are given back.

#[cfg(target_os = "none")]
use crate::platform::vectors::blake3;

/// Whether `stored` are the bytes that the manifest names by `expected`. Nothing may decode them before this said so.
pub(super) fn is_of(expected: &[u8; 32], stored: &[u8]) -> bool {
    blake3(stored) == *expected
}

#[cfg(not(target_os = "none"))]
fn blake3(bytes: &[u8]) -> [u8; 32] {
    *::blake3::hash(bytes).as_bytes()
}
