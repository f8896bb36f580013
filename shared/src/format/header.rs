//! The rules of the header: lengths, counts, digest, decisions, signature slot.

use zerocopy::FromBytes;

use super::error::{FormatError, Part};
use super::rules::{bound, equal, no_flags, reserved};
use super::wire::{
    DECISION_LOCKED, DECISION_VIRT_BASE, DIGEST_START, FrameEntry, HEADER_LEN, Header, MemberEntry, SIGNATURE_END,
    SignatureAlgorithm, SignatureSlot, StringEntry,
};
use super::{MAGIC, MAX_ALLOWED, MAX_FRAMES, MAX_MANIFEST_LEN, MAX_MEMBERS, MAX_PACK_LEN, MAX_STRINGS_LEN, VERSION};
use crate::hash::sha256;
use crate::kernel::{Decisions, EntryRule, Mapping, Protocol};
use crate::memory::Virt;

/// Checks what can be checked of the header alone.
pub(super) fn header(pack: &[u8], available: u64) -> Result<&Header, FormatError> {
    if let Some(found) = pack.first_chunk::<8>()
        && *found != MAGIC
    {
        return Err(FormatError::Magic { found: *found });
    }
    let (header, _) = Header::ref_from_prefix(pack).map_err(|_| FormatError::Truncated {
        part: Part::Header,
        expected: HEADER_LEN as u64,
        found: pack.len() as u64,
    })?;
    if header.version.get() != VERSION {
        return Err(FormatError::Version { found: header.version.get() });
    }
    no_flags(Part::Header, header.flags.get(), 0)?;
    reserved(Part::Header, &header.reserved)?;
    reserved(Part::Header, &header.reserved_end)?;
    bound(Part::Header, "member count", 1, MAX_MEMBERS.into(), header.member_count.get().into())?;
    bound(Part::Header, "frame count", 1, MAX_FRAMES.into(), header.frame_count.get().into())?;
    bound(Part::Header, "allowed-argument count", 0, MAX_ALLOWED.into(), header.allowed_count.get().into())?;
    bound(Part::Header, "length of strings", 0, MAX_STRINGS_LEN.into(), header.strings_len.get().into())?;
    // Bounded above: at most MAX_MANIFEST_LEN.
    let manifest_len = HEADER_LEN as u64
        + u64::from(header.member_count.get()) * size_of::<MemberEntry>() as u64
        + u64::from(header.frame_count.get()) * size_of::<FrameEntry>() as u64
        + u64::from(header.allowed_count.get()) * size_of::<StringEntry>() as u64
        + u64::from(header.strings_len.get());
    debug_assert!(manifest_len <= MAX_MANIFEST_LEN);
    equal(Part::Header, "manifest length", manifest_len, header.manifest_len.get())?;
    bound(Part::Header, "pack length", manifest_len, MAX_PACK_LEN, header.pack_len.get())?;
    if header.pack_len.get() > available {
        return Err(FormatError::Truncated { part: Part::Pack, expected: header.pack_len.get(), found: available });
    }
    Ok(header)
}

/// SHA-256 of a manifest but for its digest and signature fields.
pub(super) fn manifest_digest(manifest: &[u8]) -> [u8; 32] {
    sha256(&manifest[..DIGEST_START], &manifest[SIGNATURE_END..])
}

pub(super) fn check_digest(header: &Header, manifest: &[u8]) -> Result<(), FormatError> {
    let found = manifest_digest(manifest);
    if found == header.digest {
        return Ok(());
    }
    let short = |digest: &[u8; 32]| u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    Err(FormatError::Digest { expected: short(&header.digest), found: short(&found) })
}

pub(super) fn decisions(header: &Header) -> Result<Decisions, FormatError> {
    let wire = &header.decisions;
    let part = Part::Decisions;
    let flags = wire.flags.get();
    no_flags(part, flags, DECISION_LOCKED | DECISION_VIRT_BASE)?;
    let unknown = |field, found| FormatError::Unknown { part, field, found };
    let virt_base = wire.virt_base.get();
    let given = flags & DECISION_VIRT_BASE != 0;
    if !given {
        equal(part, "virt-base", 0, virt_base)?;
    }
    Ok(Decisions {
        protocol: match wire.protocol.get() {
            0 => None,
            1 => Some(Protocol::Pvh),
            2 => Some(Protocol::Pv),
            3 => Some(Protocol::Direct),
            found => return Err(unknown("protocol", found)),
        },
        mapping: match wire.mapping.get() {
            0 => Mapping::Linear,
            1 => Mapping::Segments,
            found => return Err(unknown("mapping", found)),
        },
        entry: match wire.entry.get() {
            0 => EntryRule::Notes,
            1 => EntryRule::Physical,
            2 => EntryRule::Virtual,
            found => return Err(unknown("entry rule", found)),
        },
        virt_base: given.then_some(Virt(virt_base)),
    })
}

pub(super) fn check_signature_slot(slot: &SignatureSlot) -> Result<(), FormatError> {
    let part = Part::Signature;
    reserved(part, &slot.reserved.to_bytes())?;
    let algorithm = SignatureAlgorithm::from_number(slot.algorithm.get()).ok_or(FormatError::Unknown {
        part,
        field: "algorithm",
        found: slot.algorithm.get(),
    })?;
    let empty = slot.key_id == [0; 32] || slot.value == [0; 64];
    match algorithm {
        SignatureAlgorithm::None => {
            reserved(part, &slot.key_id)?;
            reserved(part, &slot.value)
        }
        SignatureAlgorithm::Ed25519 if empty => Err(FormatError::NoSignature),
        SignatureAlgorithm::Ed25519 => Ok(()),
    }
}
