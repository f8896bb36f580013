//! Keys that packs are signed with: Ed25519 in PEM files as every other program reads and writes them, PKCS#8 for a
//! private key (RFC 5958, 8410) and SubjectPublicKeyInfo for a public one (RFC 8410).

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use shared::format::{FormatError, Manifest, put_signature};
use shared::trust::{MAX_KEYS, PublicKey, TrustSlot};

use crate::input::{self, InputCause};
use crate::output;

/// Most bytes of a key's file. openssl writes 119 for a private key, and may add text.
const MAX_FILE: u64 = 16 << 10;

/// A key that signs.
pub struct PrivateKey(SigningKey);

/// A key's file that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct KeyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub cause: KeyCause,
}

/// Why a pack is not signed.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// It cannot be read.
    #[error("{0}")]
    Format(FormatError),
    /// The builder's words would reach its kernel.
    #[error(
        "is not locked, as a signed pack must be: pack it again with --lock-cmdline, which gives it another digest, and \
         sign that"
    )]
    Unlocked,
}

/// What is wrong with a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyCause {
    /// There are no bytes to look at.
    #[error(transparent)]
    Input(#[from] InputCause),
    /// A private key behind a passphrase.
    #[error("is encrypted: decrypt it with `openssl pkey -in FILE -out DECRYPTED`")]
    Encrypted,
    /// No private key.
    #[error("is no Ed25519 private key: expected PEM of PKCS#8, as `pack key new FILE` writes it")]
    NotPrivate,
    /// No public key.
    #[error("is no Ed25519 public key: expected PEM, as `pack key public KEY` prints it")]
    NotPublic,
    /// A public key that no private key belongs to.
    #[error("is no key that can be trusted: whoever made it, not as RFC 8032 says, can sign in more ways than one")]
    Weak,
    /// There is one already.
    #[error("is there already: a key is never replaced, name another file")]
    Exists,
    /// The system refuses to write it.
    #[error("cannot be written: {0}")]
    Unwritable(io::Error),
    /// The system has no random numbers.
    #[error("cannot be made: {0}")]
    Random(getrandom::Error),
}

impl PrivateKey {
    /// A new key, of the system's random numbers.
    pub fn random() -> Result<Self, KeyCause> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyCause::Random)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of these 32 bytes (RFC 8032, 5.1.5), which have to be random.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The key in the file at `path`.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let decode = |text: String| match SigningKey::from_pkcs8_pem(pem(&text)) {
            Ok(key) => Ok(Self(key)),
            Err(_) if text.contains("BEGIN ENCRYPTED PRIVATE KEY") => Err(KeyCause::Encrypted),
            Err(_) => Err(KeyCause::NotPrivate),
        };
        read(path).and_then(decode).map_err(|cause| KeyError { path: path.to_owned(), cause })
    }

    /// Writes the key to a new file at `path`, which nobody but its owner may read. The name is given to all of it or to nothing.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let write = || -> io::Result<()> {
            // Without the public key, which older programs do not expect in it.
            let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
            let text = bytes.to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
            if path.symlink_metadata().is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let file = output::beside(path, 0o600)?;
            output::write_whole(file.as_file(), text.as_bytes())?;
            file.persist_noclobber(path)?;
            output::sync_folder(output::folder(path));
            Ok(())
        };
        write().map_err(|error| {
            let cause = match error.kind() {
                ErrorKind::AlreadyExists => KeyCause::Exists,
                _ => KeyCause::Unwritable(error),
            };
            KeyError { path: path.to_owned(), cause }
        })
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Its public key, as a PEM file has it.
    pub fn public_pem(&self) -> io::Result<String> {
        self.0.verifying_key().to_public_key_pem(LineEnding::LF).map_err(io::Error::other)
    }

    /// Signs `pack`, which must be locked, in the place of whoever signed it before. Its digest stays what it is.
    pub fn sign(&self, pack: &mut [u8]) -> Result<(), NotSigned> {
        let manifest = Manifest::parse(pack, pack.len() as u64).map_err(NotSigned::Format)?;
        if !manifest.is_locked() {
            return Err(NotSigned::Unlocked);
        }
        let digest = *manifest.digest();
        put_signature(pack, self.public().id(), self.0.sign(&digest).to_bytes()).map_err(NotSigned::Format)
    }
}

/// The public key in the file at `path`.
pub fn read_public(path: &Path) -> Result<PublicKey, KeyError> {
    let decode = |text: String| {
        let key = VerifyingKey::from_public_key_pem(pem(&text)).map_err(|_| KeyCause::NotPublic)?;
        // The point is in the group that RFC 8032 takes keys from, and written as it would write it.
        let point = key.to_edwards();
        let sound = point.is_torsion_free() && !key.is_weak() && point.compress().as_bytes() == key.as_bytes();
        if sound { Ok(PublicKey(key.to_bytes())) } else { Err(KeyCause::Weak) }
    };
    read(path).and_then(decode).map_err(|cause| KeyError { path: path.to_owned(), cause })
}

/// A slot with the public keys in the files at `paths`, of which there are at most [`MAX_KEYS`].
pub fn trusting(paths: &[PathBuf]) -> Result<TrustSlot, KeyError> {
    let mut slot = TrustSlot::EMPTY;
    debug_assert!(paths.len() <= MAX_KEYS);
    for (place, path) in slot.keys.iter_mut().zip(paths) {
        *place = read_public(path)?;
    }
    Ok(slot)
}

fn read(path: &Path) -> Result<String, KeyCause> {
    Ok(String::from_utf8_lossy(&input::read(path, MAX_FILE)?).into_owned())
}

/// The first PEM block of a file, which may have text around it (RFC 7468, 2).
fn pem(text: &str) -> &str {
    let start = text.find("-----BEGIN ").unwrap_or(0);
    let end = text[start..].find("-----END ").and_then(|end| {
        let end = start + end;
        Some(end + text[end..].find('\n')? + 1)
    });
    &text[start..end.unwrap_or(text.len())]
}
