//! Writing a pack: what only the host does.

use std::string::String;
use std::vec::Vec;

use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::decode::{Manifest, is_handed};
use super::error::FormatError;
use super::header::manifest_digest;
use super::wire::{
    Codec, DECISION_LOCKED, DECISION_VIRT_BASE, DIGEST_START, FrameEntry, HEADER_LEN, Header, MemberEntry, MemberKind,
    SIGNATURE_END, SIGNATURE_START, SignatureAlgorithm, SignatureSlot, StringEntry, WireDecisions,
};
use super::{MAGIC, VERSION};
use crate::kernel::{Decisions, EntryRule, Mapping, Protocol};
use crate::measure;
use crate::memory::PAGE_SIZE;

/// A frame, compressed.
pub struct EncodedFrame {
    /// Bytes of the ELF file that it holds, from the end of the frame before on.
    pub content_len: u32,
    /// How `stored` holds them.
    pub codec: Codec,
    /// The stored bytes.
    pub stored: Vec<u8>,
}

/// The kernel, compressed.
pub struct EncodedKernel {
    /// Its name.
    pub name: String,
    /// SHA-256 of the ELF file.
    pub sha256: [u8; 32],
    /// Its frames, in the order of the file.
    pub frames: Vec<EncodedFrame>,
}

/// A module, as it is handed over.
pub struct EncodedModule {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// All that goes into a pack.
pub struct PackContent {
    /// The kernel.
    pub kernel: EncodedKernel,
    /// The pack's own command line.
    pub cmdline: Option<String>,
    /// The modules, in the order in which they are handed over.
    pub modules: Vec<EncodedModule>,
    /// Whether there is room for measurements.
    pub measured: bool,
    /// What a person decided.
    pub decisions: Decisions,
    /// Whether only allowed words of the builder's command line reach the kernel.
    pub locked: bool,
    /// The patterns of the words that a locked pack lets through.
    pub allowed: Vec<String>,
}

impl PackContent {
    /// The pack, as bytes. Refused is what [`Manifest::parse`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut strings = Strings::default();
        let room = self.measured.then(|| measure::room(self.modules.len()));
        let mut members = self.member_entries(&mut strings, room.as_deref());
        let allowed: Vec<StringEntry> = self.allowed.iter().map(|pattern| strings.add(pattern)).collect();
        let manifest_len = HEADER_LEN
            + size_of::<MemberEntry>() * members.len()
            + size_of::<FrameEntry>() * self.kernel.frames.len()
            + size_of::<StringEntry>() * allowed.len()
            + strings.0.len();
        let pack_len = place(&mut members, manifest_len as u64);
        let frames = self.frame_entries(members[0].stored_offset.get());

        let mut pack = Vec::with_capacity(usize::try_from(pack_len).unwrap_or(0));
        let header = self.header(&members, &frames, &allowed, &strings, manifest_len, pack_len);
        pack.extend_from_slice(header.as_bytes());
        pack.extend_from_slice(members.as_bytes());
        pack.extend_from_slice(frames.as_bytes());
        pack.extend_from_slice(allowed.as_bytes());
        pack.extend_from_slice(&strings.0);
        let digest = manifest_digest(&pack);
        pack[DIGEST_START..][..digest.len()].copy_from_slice(&digest);
        self.append_stored(&members, room.as_deref(), &mut pack);
        pack.resize(usize::try_from(pack_len).unwrap_or(pack.len()), 0);

        Manifest::parse(&pack, pack_len)?;
        Ok(pack)
    }

    fn header(
        &self,
        members: &[MemberEntry],
        frames: &[FrameEntry],
        allowed: &[StringEntry],
        strings: &Strings,
        manifest_len: usize,
        pack_len: u64,
    ) -> Header {
        Header {
            magic: MAGIC,
            version: U32::new(VERSION),
            flags: U32::new(0),
            pack_len: U64::new(pack_len),
            manifest_len: U64::new(manifest_len as u64),
            member_count: count(members.len()),
            frame_count: count(frames.len()),
            allowed_count: count(allowed.len()),
            strings_len: count(strings.0.len()),
            decisions: self.wire_decisions(),
            reserved: [0; 24],
            digest: [0; 32],
            signature: SignatureSlot::NONE,
            reserved_end: [0; 24],
        }
    }

    fn wire_decisions(&self) -> WireDecisions {
        let decisions = &self.decisions;
        let locked = if self.locked { DECISION_LOCKED } else { 0 };
        let given = if decisions.virt_base.is_some() { DECISION_VIRT_BASE } else { 0 };
        WireDecisions {
            protocol: U32::new(match decisions.protocol {
                None => 0,
                Some(Protocol::Pvh) => 1,
                Some(Protocol::Pv) => 2,
                Some(Protocol::Direct) => 3,
            }),
            mapping: U32::new(match decisions.mapping {
                Mapping::Linear => 0,
                Mapping::Segments => 1,
            }),
            entry: U32::new(match decisions.entry {
                EntryRule::Notes => 0,
                EntryRule::Physical => 1,
                EntryRule::Virtual => 2,
            }),
            flags: U32::new(locked | given),
            virt_base: U64::new(decisions.virt_base.map_or(0, |base| base.0)),
        }
    }

    /// The entries of all members; where their stored bytes lie is left to [`place`].
    fn member_entries(&self, strings: &mut Strings, room: Option<&[u8]>) -> Vec<MemberEntry> {
        let kernel = &self.kernel;
        let stored_len = kernel.frames.iter().map(|frame| frame.stored.len() as u64).sum();
        let content_len = kernel.frames.iter().map(|frame| u64::from(frame.content_len)).sum();
        let name = strings.add(&kernel.name);
        let mut members = Vec::from([entry(MemberKind::Kernel, name, stored_len, content_len, kernel.sha256, [0; 32])]);
        if let Some(text) = &self.cmdline {
            members.push(verbatim(MemberKind::Cmdline, strings.add("cmdline"), text.as_bytes()));
        }
        if let Some(room) = room {
            members.push(verbatim(MemberKind::Measurements, strings.add(measure::NAME), room));
        }
        for module in &self.modules {
            members.push(verbatim(MemberKind::Module, strings.add(&module.name), &module.content));
        }
        members
    }

    fn frame_entries(&self, mut stored_offset: u64) -> Vec<FrameEntry> {
        let mut content_offset = 0;
        let mut entries = Vec::with_capacity(self.kernel.frames.len());
        for frame in &self.kernel.frames {
            entries.push(FrameEntry {
                content_offset: U64::new(content_offset),
                content_len: U32::new(frame.content_len),
                codec: U32::new(frame.codec.number()),
                stored_offset: U64::new(stored_offset),
                stored_len: count(frame.stored.len()),
                reserved: U32::new(0),
                blake3: *blake3::hash(&frame.stored).as_bytes(),
            });
            content_offset += u64::from(frame.content_len);
            stored_offset += frame.stored.len() as u64;
        }
        entries
    }

    fn append_stored(&self, members: &[MemberEntry], room: Option<&[u8]>, pack: &mut Vec<u8>) {
        for frame in &self.kernel.frames {
            pack.extend_from_slice(&frame.stored);
        }
        let cmdline = self.cmdline.iter().map(|text| text.as_bytes());
        let modules = self.modules.iter().map(|module| module.content.as_slice());
        for (entry, content) in members.iter().skip(1).zip(cmdline.chain(room).chain(modules)) {
            pack.resize(usize::try_from(entry.stored_offset.get()).unwrap_or(pack.len()), 0);
            pack.extend_from_slice(content);
        }
    }
}

/// Gives each member its place behind a manifest of `manifest_len` bytes; returns the pack's length.
fn place(members: &mut [MemberEntry], manifest_len: u64) -> u64 {
    let mut free = manifest_len;
    for entry in members {
        let module = is_handed(entry);
        if module {
            free = free.next_multiple_of(PAGE_SIZE);
        }
        entry.stored_offset = U64::new(free);
        free += entry.stored_len.get();
        if module {
            free = free.next_multiple_of(PAGE_SIZE);
        }
    }
    free
}

/// Puts an Ed25519 signature of the pack's digest, made by the key with this id, into its signature slot, in the place of
/// any other. Refused is what is no pack, or would be none with it.
pub fn put_signature(pack: &mut [u8], key_id: [u8; 32], value: [u8; 64]) -> Result<(), FormatError> {
    let available = pack.len() as u64;
    Manifest::parse(pack, available)?;
    let algorithm = U32::new(SignatureAlgorithm::Ed25519.number());
    let slot = SignatureSlot { algorithm, reserved: U32::new(0), key_id, value };
    pack[SIGNATURE_START..SIGNATURE_END].copy_from_slice(slot.as_bytes());
    Manifest::parse(pack, available).map(|_| ())
}

fn verbatim(kind: MemberKind, name: StringEntry, content: &[u8]) -> MemberEntry {
    let len = content.len() as u64;
    entry(kind, name, len, len, Sha256::digest(content).into(), *blake3::hash(content).as_bytes())
}

fn entry(
    kind: MemberKind,
    name: StringEntry,
    stored_len: u64,
    content_len: u64,
    sha256: [u8; 32],
    blake3: [u8; 32],
) -> MemberEntry {
    MemberEntry {
        kind: U32::new(kind.number()),
        flags: U32::new(0),
        name,
        stored_offset: U64::new(0),
        stored_len: U64::new(stored_len),
        content_len: U64::new(content_len),
        reserved: [0; 24],
        sha256,
        blake3,
    }
}

/// A count as the wire has it. One above 32 bits becomes the largest, which every bound refuses.
fn count(n: usize) -> U32 {
    U32::new(u32::try_from(n).unwrap_or(u32::MAX))
}

#[derive(Default)]
struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, text: &str) -> StringEntry {
        let offset = count(self.0.len());
        self.0.extend_from_slice(text.as_bytes());
        StringEntry { offset, len: count(text.len()) }
    }
}
