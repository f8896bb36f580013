//! Reading a manifest. Whatever [`Manifest::parse`] returns keeps every rule of [`super`]; its accessors rely on that.

use zerocopy::FromBytes;

use super::error::{FormatError, Part};
use super::header::{check_digest, check_signature_slot, decisions, header};
use super::rules::{bound, equal, name, no_flags, reserved, stored_range, string};
use super::wire::{
    Codec, DECISION_LOCKED, FrameEntry, HEADER_LEN, Header, MemberEntry, MemberKind, SignatureAlgorithm, SignatureSlot,
    StringEntry,
};
use super::zstd::{MAX_BLOCKS, zstd_blocks};
use super::{BLOCK_WORK, MAX_CMDLINE_LEN, MAX_FRAME_LEN, MAX_KERNEL_LEN, max_stored_len};
use crate::kernel::Decisions;
use crate::measure::{ARCHIVE_AT, ROOM_LEN};
use crate::memory::{FileRange, PAGE_SIZE};

/// A manifest whose digest and rules hold.
#[derive(Clone, Copy)]
pub struct Manifest<'a> {
    header: &'a Header,
    members: &'a [MemberEntry],
    frames: &'a [FrameEntry],
    allowed: &'a [StringEntry],
    strings: &'a [u8],
    decisions: Decisions,
}

/// One member of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// What it is.
    pub kind: MemberKind,
    /// Its name.
    pub name: &'a str,
    /// Its stored bytes, within the pack.
    pub stored: FileRange,
    /// Bytes of its content.
    pub content_len: u64,
    /// SHA-256 of its content.
    pub sha256: &'a [u8; 32],
    /// BLAKE3 of its stored bytes; zero for the kernel.
    pub blake3: &'a [u8; 32],
}

/// One frame of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its number in the frame table.
    pub index: usize,
    /// The piece of the ELF file that it holds.
    pub content: FileRange,
    /// Its stored bytes, within the pack.
    pub stored: FileRange,
    /// How it is stored.
    pub codec: Codec,
    /// BLAKE3 of its stored bytes.
    pub blake3: &'a [u8; 32],
}

impl Frame<'_> {
    /// Whether `stored` are the bytes that the manifest names. Nothing may decode them before this said so.
    pub fn verify(&self, stored: &[u8]) -> bool {
        blake3::hash(stored) == *self.blake3
    }

    /// What decoding `stored`, its stored bytes, counts towards [`super::MAX_HEAD_WORK`].
    pub fn work(&self, stored: &[u8]) -> u64 {
        let blocks = if self.codec == Codec::Zstd { zstd_blocks(stored).unwrap_or(MAX_BLOCKS) } else { 1 };
        self.content.len() + BLOCK_WORK * blocks as u64
    }
}

impl Member<'_> {
    /// Whether `stored`, the bytes of a command line or module, are those that the manifest names.
    pub fn verify(&self, stored: &[u8]) -> bool {
        blake3::hash(stored) == *self.blake3
    }
}

impl<'a> Manifest<'a> {
    /// Reads the manifest at the start of `pack`, which may be longer than the pack, or hold the manifest alone.
    /// `available` is how many bytes of the pack there are in all.
    pub fn parse(pack: &'a [u8], available: u64) -> Result<Self, FormatError> {
        let header = header(pack, available)?;
        let manifest_len = header.manifest_len.get();
        let manifest = usize::try_from(manifest_len)
            .ok()
            .and_then(|len| pack.get(..len))
            .ok_or(FormatError::Truncated { part: Part::Manifest, expected: manifest_len, found: pack.len() as u64 })?;
        check_digest(header, manifest)?;
        let decisions = decisions(header)?;
        check_signature_slot(&header.signature)?;

        let tables = &manifest[HEADER_LEN..];
        let (members, tables) = table::<MemberEntry>(tables, header.member_count.get())?;
        let (frames, tables) = table::<FrameEntry>(tables, header.frame_count.get())?;
        let (allowed, strings) = table::<StringEntry>(tables, header.allowed_count.get())?;
        let parsed = Self { header, members, frames, allowed, strings, decisions };
        parsed.check_members()?;
        parsed.check_frames()?;
        for (n, entry) in (0..).zip(allowed) {
            string(strings, *entry, Part::Allowed(n))?;
        }
        Ok(parsed)
    }

    /// Bytes of the whole pack.
    pub fn pack_len(&self) -> u64 {
        self.header.pack_len.get()
    }

    /// Bytes of the manifest.
    pub fn manifest_len(&self) -> u64 {
        self.header.manifest_len.get()
    }

    /// SHA-256 of the manifest but for its digest and signature fields: what names the pack.
    pub fn digest(&self) -> &'a [u8; 32] {
        &self.header.digest
    }

    /// Who signed the digest.
    pub fn signature(&self) -> (SignatureAlgorithm, &'a SignatureSlot) {
        let slot = &self.header.signature;
        (SignatureAlgorithm::from_number(slot.algorithm.get()).unwrap_or(SignatureAlgorithm::None), slot)
    }

    /// What a person decided when packing.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// Whether only allowed words of the builder's command line reach the kernel.
    pub fn is_locked(&self) -> bool {
        self.header.decisions.flags.get() & DECISION_LOCKED != 0
    }

    /// The patterns of the words that a locked pack lets through.
    pub fn allowed(&self) -> impl ExactSizeIterator<Item = &'a str> + Clone + use<'a> {
        let strings = self.strings;
        self.allowed.iter().map(move |entry| string(strings, *entry, Part::Pack).unwrap_or_default())
    }

    /// All members, the kernel first.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'a>> + Clone + use<'a> {
        let strings = self.strings;
        self.members.iter().map(move |entry| member(strings, entry))
    }

    /// The kernel.
    pub fn kernel(&self) -> Member<'a> {
        member(self.strings, &self.members[0])
    }

    /// The pack's own command line.
    pub fn cmdline(&self) -> Option<Member<'a>> {
        self.members().find(|member| member.kind == MemberKind::Cmdline)
    }

    /// The modules, in the order in which they are handed over.
    pub fn modules(&self) -> impl Iterator<Item = Member<'a>> + Clone + use<'a> {
        self.members().filter(|member| member.kind == MemberKind::Module)
    }

    /// The room for measurements, if the pack wants any.
    pub fn room(&self) -> Option<Member<'a>> {
        self.members().find(|member| member.kind == MemberKind::Measurements)
    }

    /// What of the pack a kernel is handed as modules, in order: to a Linux, the archive of the measurements and its
    /// initrd as one.
    pub fn handed(&self, linux: bool) -> impl Iterator<Item = FileRange> + Clone + use<'a> {
        let mut modules = self.modules().map(|module| module.stored);
        let room = self.room().filter(|_| linux).map(|room| room.stored);
        let first = modules.next();
        // The module lies directly behind the room, whose second half is the archive.
        let both = room.and_then(|room| {
            let (start, end) = (room.offset() + ARCHIVE_AT as u64, first.map_or(room.end(), |first| first.end()));
            FileRange::new(start, end.checked_sub(start)?).ok()
        });
        both.or(first).into_iter().chain(modules)
    }

    /// Whether a kernel is handed anything of the pack.
    pub fn hands(&self) -> bool {
        self.handed(true).next().is_some()
    }

    /// The kernel's frames, in the order of the ELF file, which they cover without a gap.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = Frame<'a>> + Clone + use<'a> {
        self.frames.iter().enumerate().map(|(index, entry)| frame(index, entry))
    }

    /// The frames that hold a byte of `range` of the ELF file.
    pub fn frames_of(&self, range: FileRange) -> impl Iterator<Item = Frame<'a>> + Clone + use<'a> {
        let first = self
            .frames
            .partition_point(|entry| entry.content_offset.get() + u64::from(entry.content_len.get()) <= range.offset());
        self.frames.iter().enumerate().skip(first).map_while(move |(index, entry)| {
            let inside = !range.is_empty() && entry.content_offset.get() < range.end();
            inside.then(|| frame(index, entry))
        })
    }

    fn check_members(&self) -> Result<(), FormatError> {
        let mut free = self.manifest_len();
        for (n, entry) in (0..).zip(self.members) {
            let part = Part::Member(n);
            let kind = self.check_member(n, entry)?;
            let stored = stored_range(entry.stored_offset.get(), entry.stored_len.get(), part)?;
            bound(part, "stored offset", free, self.pack_len(), stored.offset())?;
            let mut taken = stored.end();
            if matches!(kind, MemberKind::Module | MemberKind::Measurements) {
                equal(part, "stored offset", free.next_multiple_of(PAGE_SIZE), stored.offset())?;
                taken = taken.next_multiple_of(PAGE_SIZE);
            }
            bound(part, "stored end", stored.offset(), self.pack_len(), taken)?;
            free = taken;
        }
        Ok(())
    }

    /// Checks all of member `n` but where its stored bytes lie.
    fn check_member(&self, n: u32, entry: &MemberEntry) -> Result<MemberKind, FormatError> {
        let part = Part::Member(n);
        let kind = MemberKind::from_number(entry.kind.get()).ok_or(FormatError::Unknown {
            part,
            field: "kind",
            found: entry.kind.get(),
        })?;
        no_flags(part, entry.flags.get(), 0)?;
        reserved(part, &entry.reserved)?;
        name(self.strings, entry.name, part)?;
        let ordered = match kind {
            MemberKind::Kernel => n == 0,
            MemberKind::Cmdline => n == 1,
            MemberKind::Measurements => n > 0 && !self.members[1..n as usize].iter().any(is_handed),
            MemberKind::Module => n > 0,
        };
        if !ordered {
            return Err(FormatError::Order { part });
        }
        let (stored, content) = (entry.stored_len.get(), entry.content_len.get());
        match kind {
            MemberKind::Kernel => {
                bound(part, "content length", 1, MAX_KERNEL_LEN, content)?;
                reserved(part, &entry.blake3)?;
            }
            MemberKind::Cmdline => bound(part, "content length", 0, MAX_CMDLINE_LEN, content)?,
            MemberKind::Measurements => equal(part, "content length", ROOM_LEN as u64, content)?,
            MemberKind::Module => {}
        }
        if kind != MemberKind::Kernel && stored != content {
            return Err(FormatError::Mismatch { part, field: "stored length", expected: content, found: stored });
        }
        Ok(kind)
    }

    fn check_frames(&self) -> Result<(), FormatError> {
        let kernel = self.kernel();
        let mut content = 0;
        let mut stored = kernel.stored.offset();
        for (n, entry) in (0..).zip(self.frames) {
            let part = Part::Frame(n);
            let (content_len, stored_len) = (entry.content_len.get(), entry.stored_len.get());
            let codec = Codec::from_number(entry.codec.get()).ok_or(FormatError::Unknown {
                part,
                field: "codec",
                found: entry.codec.get(),
            })?;
            reserved(part, &entry.reserved.to_bytes())?;
            bound(part, "content length", 1, MAX_FRAME_LEN.into(), content_len.into())?;
            bound(part, "stored length", 1, max_stored_len(content_len), stored_len.into())?;
            equal(part, "content offset", content, entry.content_offset.get())?;
            equal(part, "stored offset", stored, entry.stored_offset.get())?;
            if codec == Codec::None {
                equal(part, "stored length", content_len.into(), stored_len.into())?;
            }
            // At most 2^12 frames of at most 2^22 bytes, behind an offset of at most 2^36: no overflow.
            content += u64::from(content_len);
            stored += u64::from(stored_len);
        }
        equal(Part::Member(0), "content length", content, kernel.content_len)?;
        equal(Part::Member(0), "stored length", stored - kernel.stored.offset(), kernel.stored.len())
    }
}

/// Whether an entry is of what a kernel is handed as it is.
pub(super) fn is_handed(entry: &MemberEntry) -> bool {
    entry.kind.get() >= MemberKind::Module.number()
}

/// The first `count` entries of `bytes`, whose length the header's sum has been checked against, and what follows.
fn table<T>(bytes: &[u8], count: u32) -> Result<(&[T], &[u8]), FormatError>
where
    T: FromBytes + zerocopy::Immutable + zerocopy::KnownLayout + zerocopy::Unaligned,
{
    <[T]>::ref_from_prefix_with_elems(bytes, count as usize).map_err(|_| FormatError::Truncated {
        part: Part::Manifest,
        expected: u64::from(count) * size_of::<T>() as u64,
        found: bytes.len() as u64,
    })
}

/// The member that a checked entry describes.
fn member<'a>(strings: &'a [u8], entry: &'a MemberEntry) -> Member<'a> {
    Member {
        kind: MemberKind::from_number(entry.kind.get()).unwrap_or(MemberKind::Module),
        name: string(strings, entry.name, Part::Pack).unwrap_or_default(),
        stored: FileRange::new(entry.stored_offset.get(), entry.stored_len.get()).unwrap_or_default(),
        content_len: entry.content_len.get(),
        sha256: &entry.sha256,
        blake3: &entry.blake3,
    }
}

/// The frame that a checked entry describes.
fn frame(index: usize, entry: &FrameEntry) -> Frame<'_> {
    Frame {
        index,
        content: FileRange::new(entry.content_offset.get(), entry.content_len.get().into()).unwrap_or_default(),
        stored: FileRange::new(entry.stored_offset.get(), entry.stored_len.get().into()).unwrap_or_default(),
        codec: Codec::from_number(entry.codec.get()).unwrap_or(Codec::None),
        blake3: &entry.blake3,
    }
}
