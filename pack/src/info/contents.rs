//! What the manifest says.

use serde::Serialize;
use shared::format::{Codec, MemberKind, SignatureAlgorithm, VERSION};
use shared::kernel::{EntryRule, Mapping};

use super::hex;
use crate::image::{Image, ImageCause};

/// What is in a pack.
#[derive(Serialize, Debug)]
pub struct Contents {
    /// The format's version.
    pub version: u32,
    /// Bytes of the pack.
    pub pack_len: u64,
    /// Bytes of the manifest.
    pub manifest_len: u64,
    /// The digest, which names the pack: SHA-256, hexadecimal.
    pub digest: String,
    /// Who signed it.
    pub signature: Option<Signature>,
    /// What a person decided.
    pub decisions: Decided,
    /// The command line, and what may be added to it.
    pub cmdline: Cmdline,
    /// The members, in order.
    pub members: Vec<MemberInfo>,
    /// The kernel's frames, in order.
    pub frames: Vec<FrameInfo>,
}

/// A signature, not checked.
#[derive(Serialize, Debug)]
pub struct Signature {
    /// Its algorithm.
    pub algorithm: &'static str,
    /// SHA-256 of the public key, hexadecimal.
    pub key_id: String,
}

/// What a person decided when packing; `None` where it was left to the kernel and the domain.
#[derive(Serialize, Debug)]
pub struct Decided {
    /// The protocol.
    pub protocol: Option<&'static str>,
    /// What is mapped.
    pub mapping: &'static str,
    /// What the entry address means.
    pub entry: Option<&'static str>,
    /// The virtual address of physical 0.
    pub virt_base: Option<u64>,
}

/// The command line.
#[derive(Serialize, Debug)]
pub struct Cmdline {
    /// The pack's own.
    pub text: Option<String>,
    /// Whether the builder may add only what is allowed.
    pub locked: bool,
    /// Patterns of what is allowed.
    pub allowed: Vec<String>,
}

/// A member.
#[derive(Serialize, Debug)]
pub struct MemberInfo {
    /// What it is.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Where its stored bytes begin in the pack.
    pub stored_offset: u64,
    /// Bytes stored.
    pub stored_len: u64,
    /// Bytes of its content.
    pub content_len: u64,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// A frame.
#[derive(Serialize, Debug)]
pub struct FrameInfo {
    /// Where its content begins in the ELF file.
    pub content_offset: u64,
    /// Bytes of its content.
    pub content_len: u64,
    /// Its codec.
    pub codec: &'static str,
    /// Where its stored bytes begin in the pack.
    pub stored_offset: u64,
    /// Bytes stored.
    pub stored_len: u64,
    /// BLAKE3 of its stored bytes, hexadecimal.
    pub blake3: String,
}

impl Contents {
    /// What the manifest of `image` says. No hashes are checked but the command line's.
    pub fn of(image: &Image<'_>) -> Result<Self, ImageCause> {
        let manifest = &image.manifest;
        Ok(Self {
            version: VERSION,
            pack_len: manifest.pack_len(),
            manifest_len: manifest.manifest_len(),
            digest: hex(manifest.digest()),
            signature: signature(image),
            decisions: decided(image),
            cmdline: Cmdline {
                text: image.cmdline()?.map(str::to_owned),
                locked: manifest.is_locked(),
                allowed: manifest.allowed().map(str::to_owned).collect(),
            },
            members: members(image),
            frames: frames(image),
        })
    }

    /// How many frames there are of each codec, and bytes stored in them.
    pub fn frame_summary(&self) -> String {
        let count = |codec: Codec| self.frames.iter().filter(|frame| frame.codec == codec.name()).count();
        let parts: Vec<String> = [Codec::Zstd, Codec::Lz4, Codec::None]
            .into_iter()
            .map(|codec| (count(codec), codec))
            .filter(|(count, _)| *count > 0)
            .map(|(count, codec)| format!("{count} {}", codec.name()))
            .collect();
        parts.join(", ")
    }
}

fn signature(image: &Image<'_>) -> Option<Signature> {
    let (algorithm, slot) = image.manifest.signature();
    match algorithm {
        SignatureAlgorithm::None => None,
        SignatureAlgorithm::Ed25519 => Some(Signature { algorithm: "Ed25519", key_id: hex(&slot.key_id) }),
    }
}

fn decided(image: &Image<'_>) -> Decided {
    let decisions = image.manifest.decisions();
    Decided {
        protocol: decisions.protocol.map(|protocol| protocol.name()),
        mapping: match decisions.mapping {
            Mapping::Linear => "linear",
            Mapping::Segments => "segments",
        },
        entry: match decisions.entry {
            EntryRule::Notes => None,
            EntryRule::Physical => Some("physical"),
            EntryRule::Virtual => Some("virtual"),
        },
        virt_base: decisions.virt_base.map(|base| base.0),
    }
}

fn members(image: &Image<'_>) -> Vec<MemberInfo> {
    let info = |member: shared::format::Member<'_>| MemberInfo {
        kind: match member.kind {
            MemberKind::Kernel => "kernel",
            MemberKind::Cmdline => "cmdline",
            MemberKind::Module => "module",
            MemberKind::Measurements => "measurements",
        },
        name: member.name.to_owned(),
        stored_offset: member.stored.offset(),
        stored_len: member.stored.len(),
        content_len: member.content_len,
        sha256: hex(member.sha256),
    };
    image.manifest.members().map(info).collect()
}

fn frames(image: &Image<'_>) -> Vec<FrameInfo> {
    let info = |frame: shared::format::Frame<'_>| FrameInfo {
        content_offset: frame.content.offset(),
        content_len: frame.content.len(),
        codec: frame.codec.name(),
        stored_offset: frame.stored.offset(),
        stored_len: frame.stored.len(),
        blake3: hex(frame.blake3),
    };
    image.manifest.frames().map(info).collect()
}
