//! Makes the hashes of a changed pack right again, as the format's definition has them: a packer's doing, not a transfer's.

use harness::mutated;

/// Places in a manifest (`shared::format`).
const MANIFEST_LEN: usize = 24;
const MEMBER_COUNT: usize = 32;
const FRAME_COUNT: usize = 36;
const HEADER: usize = 256;
const MEMBER: usize = 128;
const FRAME: usize = 64;

fn number<const N: usize>(pack: &[u8], at: usize) -> Option<usize> {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(pack.get(at..at + N)?);
    usize::try_from(u64::from_le_bytes(bytes)).ok()
}

/// Sets the digest of the manifest. What is too short for one stays as it is.
pub fn manifest(pack: &mut [u8]) {
    let Some(len) = number::<8>(pack, MANIFEST_LEN) else { return };
    if let Some(manifest) = pack.get_mut(..len).filter(|bytes| bytes.len() >= HEADER) {
        mutated::seal(manifest);
    }
}

/// Sets the hashes of all frames, of command line and modules, and the digest.
pub fn all(pack: &mut [u8]) {
    let counts = number::<4>(pack, MEMBER_COUNT).zip(number::<4>(pack, FRAME_COUNT));
    let Some((members, frames)) = counts.filter(|(members, frames)| *members <= 64 && *frames <= 2048) else { return };
    for member in 1..members {
        hash(pack, HEADER + member * MEMBER, 16, number::<8>, 24, number::<8>, 96);
    }
    for frame in 0..frames {
        hash(pack, HEADER + members * MEMBER + frame * FRAME, 16, number::<8>, 24, number::<4>, 32);
    }
    manifest(pack);
}

type Number = fn(&[u8], usize) -> Option<usize>;

/// Sets the hash at `target` of the entry at `entry` to that of the bytes that it names.
fn hash(pack: &mut [u8], entry: usize, offset: usize, of: Number, len: usize, of_len: Number, target: usize) {
    let range = of(pack, entry + offset).zip(of_len(pack, entry + len));
    let range = range.and_then(|(start, len)| Some(start..start.checked_add(len)?));
    let Some(bytes) = range.and_then(|range| pack.get(range)) else { return };
    let hash = *blake3::hash(bytes).as_bytes();
    if let Some(place) = pack.get_mut(entry + target..entry + target + hash.len()) {
        place.copy_from_slice(&hash);
    }
}
