//! ELF notes, and what those of name "Xen" say (`public/elfnote.h`; libelf's `elf_xen_parse_note`).
//!
//! An entry is a header of three 32-bit words (length of the name, length of the description, type), the name and the
//! description, each padded to 4 bytes, in ELF64 too.

use super::bytes::{before_nul, u16_at, u32_at, u64_at};
use super::metadata::{Metadata, Pae, name_of, set, set_virt};
use crate::memory::FileRange;

/// Bytes of a note's header.
const HEADER: usize = 12;
/// The name of Xen's notes.
const NAME: &[u8] = b"Xen\0";
/// Bytes of a note that show whether it is Xen's.
pub(super) const START: usize = HEADER + NAME.len();
/// The most notes that are looked at in a file (libelf's `ELF_MAX_TOTAL_NOTE_COUNT`).
pub(super) const MAX_NOTES: u32 = 65536;

/// Note types of name "Xen" (`public/elfnote.h`).
pub mod kind {
    /// PV entry, virtual.
    pub const ENTRY: u32 = 1;
    /// Page for the hypervisor to fill, virtual.
    pub const HYPERCALL_PAGE: u32 = 2;
    /// Virtual address of pseudo-physical 0.
    pub const VIRT_BASE: u32 = 3;
    /// What to take off every `p_paddr`.
    pub const PADDR_OFFSET: u32 = 4;
    /// Version of the interface, "xen-3.0".
    pub const XEN_VERSION: u32 = 5;
    /// Name of the system.
    pub const GUEST_OS: u32 = 6;
    /// Version of the system.
    pub const GUEST_VERSION: u32 = 7;
    /// Kind of loader, "generic".
    pub const LOADER: u32 = 8;
    /// Kinds of page tables of a 32-bit kernel.
    pub const PAE_MODE: u32 = 9;
    /// Names of features.
    pub const FEATURES: u32 = 10;
    /// Whether to load the symbol table.
    pub const BSD_SYMTAB: u32 = 11;
    /// Lowest address for a 32-bit hypervisor.
    pub const HV_START_LOW: u32 = 12;
    /// Which page-table entries are valid.
    pub const L1_MFN_VALID: u32 = 13;
    /// Whether a suspend can be cancelled.
    pub const SUSPEND_CANCEL: u32 = 14;
    /// Where to map the list of frames.
    pub const INIT_P2M: u32 = 15;
    /// Whether the initrd may be left unmapped.
    pub const MOD_START_PFN: u32 = 16;
    /// Bits of supported features.
    pub const SUPPORTED_FEATURES: u32 = 17;
    /// PVH entry, physical.
    pub const PHYS32_ENTRY: u32 = 18;
    /// Where a PVH kernel may be moved.
    pub const PHYS32_RELOC: u32 = 19;
}

/// PHYS32_RELOC as a kernel says it: up to three 32-bit words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reloc {
    /// Alignment, bytes.
    pub align: Option<u32>,
    /// Lowest start, physical.
    pub min: Option<u32>,
    /// Highest last byte, physical.
    pub max: Option<u32>,
}

/// More than [`MAX_NOTES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooMany;

/// What was found in notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Found {
    /// How many were Xen's.
    pub(super) xen: u32,
    /// Where the last begins, if it runs past the end, and is Xen's as far as can be seen.
    pub(super) cut: Option<usize>,
}

/// Takes all that `notes` hold into `metadata`, `count` being the notes seen so far.
///
/// A note that runs past the end is the last, and not taken.
pub(super) fn parse(notes: &[u8], count: &mut u32, metadata: &mut Metadata) -> Result<Found, TooMany> {
    let mut found = Found::default();
    let mut at = 0;
    while let Some(note) = notes.get(at..).filter(|note| !note.is_empty()) {
        if *count == MAX_NOTES {
            return Err(TooMany);
        }
        *count += 1;
        if note.len() < START {
            found.cut = Some(at);
            break;
        }
        metadata.linux_content |= note[HEADER..].starts_with(b"Linux\0");
        let xen = is_xen(note);
        let Some((desc, next)) = description(note) else {
            found.cut = xen.then_some(at);
            break;
        };
        if xen {
            take(u32_at(note, 8), desc, metadata);
            found.xen += 1;
        }
        at = at.saturating_add(next);
    }
    Ok(found)
}

/// Whether a note is Xen's. As in libelf, its name is what stands before a NUL behind the header, whatever length the
/// header gives.
pub(super) fn is_xen(note: &[u8]) -> bool {
    note.get(HEADER..START) == Some(NAME)
}

/// Where in a file of `file_len` bytes the first [`START`] bytes of the note at `offset` are, as far as there are any.
pub(super) fn start_of(offset: u64, file_len: u64) -> FileRange {
    let len = (START as u64).min(file_len.saturating_sub(offset));
    FileRange::new(offset, len).unwrap_or_default()
}

/// Where the whole of the note at `offset` is, whose first bytes are `start`; `None` past 64 bits.
pub(super) fn whole(offset: u64, start: &[u8]) -> Option<FileRange> {
    let name = u64::from(u32_at(start, 0)).next_multiple_of(4);
    FileRange::new(offset, HEADER as u64 + name + u64::from(u32_at(start, 4))).ok()
}

/// Whether what a note says, which begins with `start`, is a text.
pub(super) fn is_text(start: &[u8]) -> bool {
    const TEXTS: [u32; 7] = [
        kind::XEN_VERSION,
        kind::GUEST_OS,
        kind::GUEST_VERSION,
        kind::LOADER,
        kind::PAE_MODE,
        kind::FEATURES,
        kind::BSD_SYMTAB,
    ];
    TEXTS.contains(&u32_at(start, 8))
}

/// Takes the text of a note that runs past the end of the file, if its NUL is there.
pub(super) fn take_text(note: &[u8], metadata: &mut Metadata) {
    let start = usize::try_from(u32_at(note, 0)).ok().and_then(|len| len.checked_next_multiple_of(4));
    let text = start.and_then(|len| note.get(HEADER.checked_add(len)?..)).unwrap_or_default();
    if text.contains(&0) {
        take(u32_at(note, 8), text, metadata);
    }
}

/// A note's description, and the bytes to the next note.
fn description(note: &[u8]) -> Option<(&[u8], usize)> {
    let padded = |at| usize::try_from(u32_at(note, at)).ok().and_then(|len| len.checked_next_multiple_of(4));
    let start = padded(0)?.checked_add(HEADER)?;
    let len = usize::try_from(u32_at(note, 4)).ok()?;
    let desc = note.get(start..start.checked_add(len)?)?;
    Some((desc, start.checked_add(padded(4)?)?))
}

/// A numeric description: 1, 2, 4 or 8 bytes, zero-extended; any other length is 0.
fn number(desc: &[u8]) -> u64 {
    match desc.len() {
        1 => u64::from(desc[0]),
        2 => u64::from(u16_at(desc, 0)),
        4 => u64::from(u32_at(desc, 0)),
        8 => u64_at(desc, 0),
        _ => 0,
    }
}

/// Takes one "Xen" note. A later one of the same type overwrites an earlier; unknown types are ignored.
fn take(kind: u32, desc: &[u8], metadata: &mut Metadata) {
    let text = before_nul(desc);
    match kind {
        kind::LOADER => metadata.loader = name_of(text),
        kind::GUEST_OS => metadata.guest_os = name_of(text),
        kind::GUEST_VERSION => metadata.guest_version = name_of(text),
        kind::XEN_VERSION => metadata.xen_version = name_of(text),
        kind::PAE_MODE => pae(text, &mut metadata.pae),
        kind::BSD_SYMTAB => metadata.bsd_symtab |= text == b"yes",
        kind::FEATURES => {
            metadata.features.add(text);
        }
        kind::SUPPORTED_FEATURES => {
            metadata.features.says_supported = true;
            metadata.features.supported |= words(desc).first().copied().unwrap_or(0);
        }
        kind::PHYS32_RELOC => {
            let mut words = words(desc).into_iter();
            metadata.phys32_reloc = Some(Reloc { align: words.next(), min: words.next(), max: words.next() });
        }
        _ => take_number(kind, number(desc), metadata),
    }
}

fn take_number(kind: u32, value: u64, metadata: &mut Metadata) {
    match kind {
        kind::VIRT_BASE => metadata.virt_base = set_virt(value),
        kind::ENTRY => metadata.virt_entry = set_virt(value),
        kind::INIT_P2M => metadata.init_p2m = set_virt(value),
        kind::PADDR_OFFSET => metadata.paddr_offset = set(value),
        kind::HYPERCALL_PAGE => metadata.hypercall_page = set_virt(value),
        kind::HV_START_LOW => metadata.hv_start_low = set_virt(value),
        kind::MOD_START_PFN => metadata.mod_start_pfn = value != 0,
        kind::SUSPEND_CANCEL => metadata.suspend_cancel = value != 0,
        // libelf keeps this one in 32 bits, so its mark for "unset" is that wide.
        kind::PHYS32_ENTRY => metadata.phys32_entry = Some(value).filter(|value| *value != u64::from(u32::MAX)),
        _ => {}
    }
}

/// The first three words of a description that is an array of 32-bit numbers; none if its length is no multiple of 4.
fn words(desc: &[u8]) -> heapless::Vec<u32, 3> {
    if !desc.len().is_multiple_of(4) {
        return heapless::Vec::new();
    }
    desc.chunks_exact(4).take(3).map(|word| u32_at(word, 0)).collect()
}

/// PAE_MODE's words, as libelf tests them: the later test wins.
fn pae(text: &[u8], pae: &mut Pae) {
    if text == b"yes" {
        *pae = Pae::ExtendedCr3;
    }
    if text.windows(7).any(|word| word == b"bimodal") {
        *pae = Pae::Bimodal;
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::memory::Virt;

    fn note(name: &[u8], kind: u32, desc: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [name.len() as u32, desc.len() as u32, kind] {
            bytes.extend(word.to_le_bytes());
        }
        for part in [name, desc] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn read(notes: &[Vec<u8>]) -> (Result<Found, TooMany>, Metadata) {
        let mut metadata = Metadata::default();
        let found = parse(&notes.concat(), &mut 0, &mut metadata);
        (found, metadata)
    }

    #[test]
    fn numbers_are_zero_extended() {
        for (desc, expected) in [
            (&[0x12][..], 0x12),
            (&[0x12, 0x34], 0x3412),
            (&[0, 0, 0, 0xc0], 0xc000_0000),
            (&[0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff], 0xffff_ffff_8000_0000),
            (&[1, 2, 3], 0),
            (&[], 0),
        ] {
            let (found, metadata) = read(&[note(b"Xen\0", kind::VIRT_BASE, desc)]);
            assert_eq!((found.unwrap().xen, metadata.virt_base), (1, Some(Virt(expected))));
        }
    }

    #[test]
    fn a_string_may_lack_its_nul_and_other_names_are_skipped() {
        let (found, metadata) = read(&[
            note(b"GNU\0", 3, &[7; 20]),
            note(b"Linux\0", 257, &[0; 4]),
            note(b"Xen\0", kind::FEATURES, b"!writable_page_tables|pae_pgdir_above_4gb"),
            note(b"Xen\0", kind::GUEST_OS, b"a name of more than fifteen"),
        ]);
        assert_eq!(found, Ok(Found { xen: 2, cut: None }));
        assert_eq!(metadata.features.supported, 0x11);
        assert_eq!(metadata.guest_os, "a name of more ");
        assert!(metadata.linux_content);
    }

    #[test]
    fn later_duplicates_overwrite() {
        let entry = |value: u32| note(b"Xen\0", kind::PHYS32_ENTRY, &value.to_le_bytes());
        assert_eq!(read(&[entry(1), entry(2)]).1.phys32_entry, Some(2));
        assert_eq!(read(&[entry(1), entry(u32::MAX)]).1.phys32_entry, None);
    }

    #[test]
    fn what_runs_past_the_end() {
        let mut cut = note(b"Xen\0", kind::ENTRY, &[0; 8]);
        cut.truncate(cut.len() - 1);
        assert_eq!(read(&[note(b"Xen\0", 99, &[]), cut]).0, Ok(Found { xen: 1, cut: Some(16) }));
        let mut cut = note(b"GNU\0", 3, &[0; 8]);
        cut.truncate(cut.len() - 1);
        assert_eq!(read(&[cut]).0, Ok(Found::default()));
        assert_eq!(read(&[std::vec![0; 11]]).0, Ok(Found { xen: 0, cut: Some(0) }));
        assert_eq!(read(&[std::vec![0xff; 16]]).0, Ok(Found::default()));
    }
}
