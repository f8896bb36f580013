//! Packs that were changed at random, as a transfer or a hostile packer changes them, and what may come of one: the kernel that
//! it names, or one line that says what is wrong. There is no third outcome.

use fastrand::Rng;
use sha2::{Digest, Sha256};
use shared::format::Manifest;

use crate::{Outcome, stage0};

/// A changed pack, and what was done to it.
#[derive(Debug, Clone)]
pub struct Mutated {
    /// What was done, for people.
    pub what: String,
    /// The pack.
    pub pack: Vec<u8>,
}

/// Offsets in a manifest (`shared::format`): the digest, what is behind the signature, and the decided protocol.
const DIGEST: std::ops::Range<usize> = 96..128;
const BEHIND_SIGNATURE: usize = 232;
const PROTOCOL: std::ops::Range<usize> = 48..52;

/// Sets the digest of a manifest, of at least its header's length, to what it must be.
pub fn seal(manifest: &mut [u8]) {
    let digest = Sha256::new().chain_update(&manifest[..DIGEST.start]);
    let digest = digest.chain_update(&manifest[BEHIND_SIGNATURE..]).finalize();
    manifest[DIGEST].copy_from_slice(&digest);
}

/// Changes `pack`, which is whole: one change, or a few.
///
/// # Errors
/// `pack` is no pack.
pub fn mutated(pack: &[u8], rng: &mut Rng) -> Result<Mutated, String> {
    let manifest = Manifest::parse(pack, pack.len() as u64).map_err(|error| error.to_string())?;
    let (manifest_len, len) = (manifest.manifest_len() as usize, pack.len());
    let frames: Vec<_> = manifest.frames().map(|frame| frame.stored).collect();
    let mut changed = pack.to_vec();
    let what = match rng.u8(..8) {
        0 => flip(&mut changed, 0..len, rng),
        1 => flip(&mut changed, 0..manifest_len, rng),
        2 => {
            let to = rng.usize(..len);
            changed.truncate(to);
            format!("cut to {to} bytes")
        }
        3 => {
            let (at, count) = (rng.usize(..len), rng.usize(1..70_000));
            let end = (at + count).min(len);
            changed[at..end].fill(0);
            format!("bytes {at} to {end} zeroed")
        }
        4 => {
            let (a, b) = (frames[rng.usize(..frames.len())], frames[rng.usize(..frames.len())]);
            let some = a.len().min(b.len()) as usize;
            let (from, to) = (a.offset() as usize, b.offset() as usize);
            changed.copy_within(from..from + some, to);
            format!("{some} bytes of the frame at {from} put over that at {to}")
        }
        5 => {
            let count = rng.usize(1..9000);
            changed.extend((0..count).map(|_| rng.u8(..)));
            format!("{count} bytes more behind it")
        }
        // By a packer: the digest is right again. What is decided of the protocol stays, for that is another kernel's start.
        _ => {
            let mut what = Vec::new();
            for _ in 0..rng.usize(1..=2) {
                let mut place = rng.usize(..manifest_len);
                while PROTOCOL.contains(&place) {
                    place = rng.usize(..manifest_len);
                }
                what.push(flip(&mut changed, place..place + 1, rng));
            }
            seal(&mut changed[..manifest_len]);
            format!("{}, the digest made right", what.join(", "))
        }
    };
    Ok(Mutated { what, pack: changed })
}

/// Changes a byte somewhere in `range`.
fn flip(bytes: &mut [u8], range: std::ops::Range<usize>, rng: &mut Rng) -> String {
    let (at, by) = (rng.usize(range), rng.u8(1..));
    bytes[at] ^= by;
    format!("byte {at} ^ {by:#x}")
}

/// Which of the two outcomes it was: whether the kernel was started.
///
/// # Errors
/// It was a third. `started` tells whether a kernel that was started said that all is as it should be, and the machine ended as it
/// then does; `refused`, whether the machine ended as stage0 ends it.
pub fn verdict(what: &str, lines: &str, outcome: &Outcome, started: bool, refused: bool) -> Result<bool, String> {
    let errors = stage0::errors(lines).len();
    let last = lines.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    match (errors, started, refused) {
        (0, true, false) => Ok(true),
        (1, false, true) if last.starts_with(stage0::ERROR) => Ok(false),
        _ => Err(outcome.failure(&format!("{what}: neither the kernel nor one line that refuses it: {lines}"))),
    }
}
