//! SHA-256, by one piece of code.

use sha2::{Digest, Sha256};

/// SHA-256 of `first` and then `second`. Not repeated at every use: each would be some hundred bytes of stage0.
#[inline(never)]
pub(crate) fn sha256(first: &[u8], second: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(first).chain_update(second).finalize().into()
}
