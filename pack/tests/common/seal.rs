//! Changes packs and makes their hashes right again, as whoever made them could have: places are those of the tables in the
//! documentation of `shared::format`.

use sha2::{Digest, Sha256};

const PACK_LEN: usize = 16;
const MANIFEST_LEN: usize = 24;
const DIGEST: usize = 96;
const BEHIND_SIGNATURE: usize = 232;

/// A pack that says it is of `len` bytes.
pub(crate) fn with_len(pack: &[u8], len: u64) -> Vec<u8> {
    let mut pack = pack.to_vec();
    pack[PACK_LEN..PACK_LEN + 8].copy_from_slice(&len.to_le_bytes());
    digest(&mut pack);
    pack
}

/// Sets the manifest's digest.
fn digest(pack: &mut [u8]) {
    let manifest_len = u64::from_le_bytes(pack[MANIFEST_LEN..MANIFEST_LEN + 8].try_into().unwrap()) as usize;
    let digest = Sha256::new().chain_update(&pack[..DIGEST]).chain_update(&pack[BEHIND_SIGNATURE..manifest_len]);
    pack[DIGEST..DIGEST + 32].copy_from_slice(&digest.finalize());
}
