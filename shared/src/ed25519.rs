//! Verifying Ed25519 signatures (RFC 8032) of SHA-256 digests, in as little code as stage0 has room for.
//!
//! The field and the curve are curve25519-dalek's. What is here is the equation, computed bit by bit, and with a hash that
//! is not reduced modulo the group's order first: no tables, no arithmetic of scalars. In stage0 that takes 10.7 KiB, of
//! which 1.3 KiB are SHA-512; ed25519-dalek's `verify_strict` takes 17. The answer is the same for every key without a
//! part of small order, and a key that is made as RFC 8032 says has none; `pack` takes no other. It takes less time for
//! some inputs than for others, and all of them are public.

use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::CompressedEdwardsY;
use sha2::{Digest, Sha512};

/// The order of the group, little endian (RFC 8032, 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Whether `signature` is that of `message` by `key`. Strictly: a signature has one form only, and keys and points of
/// small order, under which signatures of anything can be made, have none.
pub(crate) fn verify(key: &[u8; 32], message: &[u8; 32], signature: &[u8; 64]) -> bool {
    let Some((commitment, response)) = signature.split_first_chunk::<32>() else { return false };
    if !response.iter().rev().lt(ORDER.iter().rev()) {
        return false;
    }
    let compressed = CompressedEdwardsY(*key);
    let Some(point) = compressed.decompress() else { return false };
    if point.compress() != compressed || is_small(point) {
        return false;
    }
    let hash = Sha512::new().chain_update(commitment).chain_update(key).chain_update(message).finalize();
    let minus = -point;
    let mut sum = EdwardsPoint::default();
    for bit in (0..512).rev() {
        let is_set = |number: &[u8]| number.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 != 0);
        sum += sum;
        if is_set(response) {
            sum += ED25519_BASEPOINT_POINT;
        }
        if is_set(&hash) {
            sum += minus;
        }
    }
    sum.compress().0 == *commitment && !is_small(sum)
}

/// Whether eight times `point` is nothing.
fn is_small(mut point: EdwardsPoint) -> bool {
    for _ in 0..3 {
        point += point;
    }
    point.compress() == EdwardsPoint::default().compress()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
    use proptest::prelude::*;

    use super::*;

    /// What everyone else says.
    fn strict(key: &[u8; 32], message: &[u8; 32], signature: &[u8; 64]) -> bool {
        let key = VerifyingKey::from_bytes(key);
        key.is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }

    /// `number` and the group's order, as 32 bytes; they are below 2^255.
    fn plus_order(number: &[u8]) -> [u8; 32] {
        let mut carry = 0;
        core::array::from_fn(|n| {
            carry += u16::from(number[n]) + u16::from(ORDER[n]);
            let byte = carry.to_le_bytes()[0];
            carry >>= 8;
            byte
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_ed25519_dalek(seed: [u8; 32], message: [u8; 32], at in 0_usize..128, flip in 1_u8..) {
            let signer = SigningKey::from_bytes(&seed);
            let key = signer.verifying_key().to_bytes();
            let signature = signer.sign(&message).to_bytes();
            prop_assert!(verify(&key, &message, &signature));
            prop_assert!(strict(&key, &message, &signature));
            // Any byte of the three.
            let mut all = [0; 128];
            all[..32].copy_from_slice(&key);
            all[32..64].copy_from_slice(&message);
            all[64..].copy_from_slice(&signature);
            all[at] ^= flip;
            let (key, rest) = all.split_first_chunk::<32>().unwrap();
            let (message, rest) = rest.split_first_chunk::<32>().unwrap();
            let signature = rest.first_chunk::<64>().unwrap();
            prop_assert!(!verify(key, message, signature));
            prop_assert!(!strict(key, message, signature));
        }

        #[test]
        fn a_signature_has_one_form(seed: [u8; 32], message: [u8; 32]) {
            let signer = SigningKey::from_bytes(&seed);
            let mut signature = signer.sign(&message).to_bytes();
            let response = plus_order(&signature[32..]);
            signature[32..].copy_from_slice(&response);
            prop_assert!(!verify(&signer.verifying_key().to_bytes(), &message, &signature));
        }
    }

    /// Points of small order, and two of them written with a number that exceeds the field's: with any of them as key or as
    /// commitment a signature of nothing in particular can be made, which plain RFC 8032 accepts.
    #[test]
    fn what_is_of_small_order_signs_nothing() {
        let mut points: std::vec::Vec<[u8; 32]> =
            curve25519_dalek::constants::EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
        let mut above = [0xff; 32];
        (above[0], above[31]) = (0xee, 0x7f);
        points.push(above);
        above[0] = 0xed;
        points.push(above);
        for key in &points {
            for commitment in &points {
                // The response 0 asks that the commitment be minus the hash times the key, which for one message in eight
                // it is.
                for message in 0..32 {
                    let mut signature = [0; 64];
                    signature[..32].copy_from_slice(commitment);
                    assert!(!verify(key, &[message; 32], &signature));
                    assert!(!strict(key, &[message; 32], &signature));
                }
            }
        }
    }

    #[test]
    fn a_key_without_a_point_verifies_nothing() {
        let mut key = [0; 32];
        key[0] = 2;
        assert!(CompressedEdwardsY(key).decompress().is_none());
        assert!(!verify(&key, &[0; 32], &[0; 64]));
    }
}
