//! Changes packs and makes their hashes right again, as whoever made them could have: places are those of the tables in the
//! documentation of `shared::format`.

use sha2::{Digest, Sha256};

const PACK_LEN: usize = 16;
const MANIFEST_LEN: usize = 24;
const DIGEST: usize = 96;
const BEHIND_SIGNATURE: usize = 232;
/// The second member's entry, and in it the place and the hashes of what is stored.
const SECOND: usize = 256 + 128;
const STORED_OFFSET: usize = 16;
const SHA256: usize = 64;
const BLAKE3: usize = 96;

/// A pack that says it is of `len` bytes.
pub(crate) fn with_len(pack: &[u8], len: u64) -> Vec<u8> {
    let mut pack = pack.to_vec();
    pack[PACK_LEN..PACK_LEN + 8].copy_from_slice(&len.to_le_bytes());
    digest(&mut pack);
    pack
}

/// A pack that says another SHA-256 of the content of its member number `member`: another in one byte.
pub(crate) fn with_other_sha256(pack: &[u8], member: usize, byte: usize) -> Vec<u8> {
    let mut pack = pack.to_vec();
    pack[256 + 128 * member + SHA256 + byte] ^= 0x40;
    digest(&mut pack);
    pack
}

/// A pack with another command line, as long as the one that it has.
pub(crate) fn with_cmdline(pack: &[u8], text: &[u8]) -> Vec<u8> {
    let mut pack = pack.to_vec();
    let at = number(&pack, SECOND + STORED_OFFSET);
    pack[at..at + text.len()].copy_from_slice(text);
    pack[SECOND + SHA256..SECOND + SHA256 + 32].copy_from_slice(&Sha256::digest(text));
    pack[SECOND + BLAKE3..SECOND + BLAKE3 + 32].copy_from_slice(blake3::hash(text).as_bytes());
    digest(&mut pack);
    pack
}

/// A pack whose kernel has another name, as long as the one that it has.
pub(crate) fn with_name(pack: &[u8], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut pack = pack.to_vec();
    let manifest_len = number(&pack, MANIFEST_LEN);
    let manifest = &mut pack[..manifest_len];
    let at = manifest.windows(old.len()).position(|bytes| bytes == old.as_bytes()).unwrap();
    manifest[at..at + new.len()].copy_from_slice(new.as_bytes());
    digest(&mut pack);
    pack
}

fn number(pack: &[u8], at: usize) -> usize {
    u64::from_le_bytes(pack[at..at + 8].try_into().unwrap()) as usize
}

/// Sets the manifest's digest.
fn digest(pack: &mut [u8]) {
    let manifest_len = number(pack, MANIFEST_LEN);
    let digest = Sha256::new().chain_update(&pack[..DIGEST]).chain_update(&pack[BEHIND_SIGNATURE..manifest_len]);
    pack[DIGEST..DIGEST + 32].copy_from_slice(&digest.finalize());
}
