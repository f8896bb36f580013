//! Verifying Ed25519 signatures (RFC 8032) of SHA-256 digests.

use ed25519_dalek::{Signature, VerifyingKey};

/// Whether `signature` is that of `message` by `key`. Strictly: a signature has one form only, and keys and points of
/// small order, under which signatures of anything can be made, have none.
pub(crate) fn verify(key: &[u8; 32], message: &[u8; 32], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}
