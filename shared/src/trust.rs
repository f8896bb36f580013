//! Whose packs stage0 starts: the keys in its image, the signature in a pack's manifest, and the one pack that a builder
//! may require.
//!
//! # The slot
//!
//! Every stage0 has a slot for keys [`TrustSlot::OFFSET`] bytes behind the start of its file, and so of its image in
//! memory; nothing else in the file depends on what is in it.
//!
//! | offset in slot | size | field |
//! |---|---|---|
//! | 0 | 16 | [`TrustSlot::MAGIC`] |
//! | 16 | 4 × 32 | public keys (RFC 8032, 5.1.5); one that is all zero is none |
//!
//! Without a key in it stage0 starts any pack that is whole. With one, it starts a pack only if one of the keys signed
//! it. A signature is Ed25519's (RFC 8032), of the 32 bytes of the manifest's digest.
//!
//! A signed pack must be locked, with keys and without. Only the flag locks it, which the digest covers, so that nobody who signs it
//! or takes the signature away changes what reaches its kernel.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ed25519;
use crate::format::{Manifest, SignatureAlgorithm};
use crate::hash::sha256;

/// Most keys that a stage0 has.
pub const MAX_KEYS: usize = 4;

/// An Ed25519 public key, as RFC 8032 writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// What stands for no key. (As a point it is of order 4, so that nothing is ever signed by it.)
    pub const NONE: Self = Self([0; 32]);

    /// What names it in a pack: its SHA-256.
    pub fn id(&self) -> [u8; 32] {
        sha256(&self.0, &[])
    }

    /// Whether `signature` is this key's, of `digest`. Strictly: a signature has one form only, and keys and points of
    /// small order, under which signatures of anything can be made, have none.
    pub fn verify(&self, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        ed25519::verify(&self.0, digest, signature)
    }
}

/// Where the keys lie in stage0's image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TrustSlot {
    /// [`TrustSlot::MAGIC`].
    pub magic: [u8; 16],
    /// The keys.
    pub keys: [PublicKey; MAX_KEYS],
}

impl TrustSlot {
    /// Bytes from the start of the image. stage0.ld has the same number.
    pub const OFFSET: usize = 256;
    /// What the slot begins with.
    pub const MAGIC: [u8; 16] = *b"mstrap trust  1\n";
    /// A slot without a key.
    pub const EMPTY: Self = Self { magic: Self::MAGIC, keys: [PublicKey::NONE; MAX_KEYS] };

    /// The keys in it.
    pub fn trusted(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(|key| **key != PublicKey::NONE)
    }

    /// Refuses a signed pack that is not locked, and one that none of the keys signed, if there are any.
    pub fn check(&self, manifest: &Manifest<'_>) -> Result<(), TrustError> {
        let (algorithm, signature) = manifest.signature();
        if algorithm != SignatureAlgorithm::None && !manifest.is_locked() {
            return Err(TrustError::Unlocked);
        }
        if self.trusted().next().is_none() {
            return Ok(());
        }
        if algorithm == SignatureAlgorithm::None {
            return Err(TrustError::Unsigned);
        }
        let found = short(&signature.key_id);
        let signer = self.trusted().find(|key| key.id() == signature.key_id);
        let signer = signer.ok_or(TrustError::Stranger { found })?;
        if signer.verify(manifest.digest(), &signature.value) {
            Ok(())
        } else {
            Err(TrustError::Signature { key: found })
        }
    }
}

/// Refuses a pack other than the one that a builder requires, by its digest.
pub fn check_required(manifest: &Manifest<'_>, required: Option<&[u8; 32]>) -> Result<(), TrustError> {
    match required {
        Some(required) if required != manifest.digest() => {
            Err(TrustError::NotRequired { expected: short(required), found: short(manifest.digest()) })
        }
        _ => Ok(()),
    }
}

/// Why a pack is whole, and yet not started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrustError {
    /// It is signed, but its command line is not locked.
    Unlocked,
    /// Nobody signed it.
    Unsigned,
    /// None of the trusted keys signed it.
    Stranger {
        /// First four bytes of the signer's key id, big endian.
        found: u32,
    },
    /// It names a trusted key, but the signature is not that key's, or of something else.
    Signature {
        /// First four bytes of the key id, big endian.
        key: u32,
    },
    /// A builder requires another pack.
    NotRequired {
        /// First four bytes of the digest that it requires, big endian.
        expected: u32,
        /// First four bytes of the pack's digest, big endian.
        found: u32,
    },
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlocked => {
                f.write_str("signed pack is not locked: decisions, expected a locked command line, found an open one")
            }
            Self::Unsigned => {
                f.write_str("pack is not signed: signature slot, expected a trusted key's signature, found none")
            }
            Self::Stranger { found } => {
                write!(f, "pack is signed by a stranger: key id, expected a trusted key's, found {found:08x}...")
            }
            Self::Signature { key } => write!(
                f,
                "signature is wrong: signature slot, expected that of key {key:08x}... of this manifest, found another"
            ),
            Self::NotRequired { expected, found } => {
                write!(f, "pack is not the required one: digest, expected {expected:08x}..., found {found:08x}...")
            }
        }
    }
}

impl core::error::Error for TrustError {}

/// The first four bytes of a digest: enough for people to tell two of them apart.
fn short(digest: &[u8; 32]) -> u32 {
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

const _: () = assert!(size_of::<TrustSlot>() == 144);

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    use ed25519_dalek::{Signer, SigningKey};

    use super::*;
    use crate::format::{Codec, EncodedFrame, EncodedKernel, PackContent, put_signature};
    use crate::kernel::Decisions;

    fn pack() -> Vec<u8> {
        with_lock(true)
    }

    fn with_lock(locked: bool) -> Vec<u8> {
        let frames = vec![EncodedFrame { content_len: 4, codec: Codec::None, stored: vec![1, 2, 3, 4] }];
        let content = PackContent {
            kernel: EncodedKernel { name: "kernel".into(), sha256: [0; 32], frames },
            cmdline: None,
            modules: Vec::new(),
            measured: false,
            decisions: Decisions::default(),
            locked,
            allowed: Vec::new(),
        };
        content.encode().unwrap()
    }

    fn key(seed: u8) -> (SigningKey, PublicKey) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = PublicKey(key.verifying_key().to_bytes());
        (key, public)
    }

    fn signed_by(seed: u8) -> Vec<u8> {
        signed(seed, pack())
    }

    fn signed(seed: u8, mut pack: Vec<u8>) -> Vec<u8> {
        let (key, public) = key(seed);
        let digest = *Manifest::parse(&pack, pack.len() as u64).unwrap().digest();
        put_signature(&mut pack, public.id(), key.sign(&digest).to_bytes()).unwrap();
        pack
    }

    fn trusting(seeds: &[u8]) -> TrustSlot {
        let mut slot = TrustSlot::EMPTY;
        for (place, seed) in slot.keys.iter_mut().zip(seeds) {
            *place = key(*seed).1;
        }
        slot
    }

    fn check(slot: &TrustSlot, pack: &[u8]) -> Result<(), TrustError> {
        slot.check(&Manifest::parse(pack, pack.len() as u64).unwrap())
    }

    #[test]
    fn without_a_key_every_pack_is_started() {
        assert_eq!(check(&TrustSlot::EMPTY, &pack()), Ok(()));
        assert_eq!(check(&TrustSlot::EMPTY, &signed_by(1)), Ok(()));
    }

    #[test]
    fn any_of_the_keys_will_do() {
        for seed in 1..=4 {
            assert_eq!(check(&trusting(&[1, 2, 3, 4]), &signed_by(seed)), Ok(()));
        }
        let mut gaps = TrustSlot::EMPTY;
        gaps.keys[3] = key(7).1;
        assert_eq!(check(&gaps, &signed_by(7)), Ok(()));
    }

    #[test]
    fn three_ways_of_not_being_signed_are_three_errors() {
        let slot = trusting(&[1, 2]);
        assert_eq!(check(&slot, &pack()), Err(TrustError::Unsigned));
        assert_eq!(check(&slot, &signed_by(3)), Err(TrustError::Stranger { found: short(&key(3).1.id()) }));
        let wrong = Err(TrustError::Signature { key: short(&key(2).1.id()) });
        for at in [168, 200, 231] {
            let mut pack = signed_by(2);
            pack[at] ^= 1;
            assert_eq!(check(&slot, &pack), wrong);
        }
        // The signature of one key under the name of another.
        let mut pack = signed_by(3);
        pack[136..168].copy_from_slice(&key(2).1.id());
        assert_eq!(check(&slot, &pack), wrong);
    }

    /// Whoever's signature it is, and whomever stage0 trusts.
    #[test]
    fn a_signed_pack_that_is_not_locked_is_refused() {
        for seed in 1..=12 {
            let open = signed(seed, with_lock(false));
            for slot in [TrustSlot::EMPTY, trusting(&[seed]), trusting(&[seed + 1])] {
                assert_eq!(check(&slot, &open), Err(TrustError::Unlocked));
            }
            assert_eq!(check(&trusting(&[seed]), &signed_by(seed)), Ok(()));
        }
        assert_eq!(check(&TrustSlot::EMPTY, &with_lock(false)), Ok(()));
    }

    /// Signing, signing again, and taking the signature away leave digest and lock as they are.
    #[test]
    fn no_signature_changes_what_a_digest_names() {
        for locked in [false, true] {
            let mut bytes = with_lock(locked);
            let digest = *Manifest::parse(&bytes, bytes.len() as u64).unwrap().digest();
            for seed in 1..=12 {
                bytes = signed(seed, bytes);
                let mut stripped = bytes.clone();
                stripped[128..232].fill(0);
                for bytes in [&bytes, &stripped] {
                    let manifest = Manifest::parse(bytes, bytes.len() as u64).unwrap();
                    assert_eq!((*manifest.digest(), manifest.is_locked()), (digest, locked));
                }
            }
        }
        let digest = |locked| *Manifest::parse(&with_lock(locked), u64::MAX).unwrap().digest();
        assert_ne!(digest(false), digest(true));
    }

    #[test]
    fn another_pack_than_the_required_one_is_refused() {
        let bytes = pack();
        let manifest = Manifest::parse(&bytes, bytes.len() as u64).unwrap();
        let required = *manifest.digest();
        assert_eq!(check_required(&manifest, Some(&required)), Ok(()));
        assert_eq!(check_required(&manifest, None), Ok(()));
        let mut other = required;
        other[31] ^= 1;
        assert!(
            check_required(&manifest, Some(&other)).unwrap_err().to_string().starts_with("pack is not the required")
        );
    }
}
