//! Kernels made by hand, read and planned.

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::notes::kind;
use super::*;
use crate::memory::{Phys, PhysRange, Virt};

/// A PT_LOAD: `p_paddr`, `p_vaddr`, bytes in the file, bytes in memory, flags.
#[derive(Clone, Copy)]
struct Load(u64, u64, usize, u64, u32);

const RX: u32 = 5;
const RW: u32 = 6;

/// An ELF64 for x86-64 with these segments, and one PT_NOTE with these "Xen" notes.
fn elf64(entry: u64, loads: &[Load], notes: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut note_bytes = Vec::new();
    for (kind, desc) in notes {
        for word in [4, desc.len() as u32, *kind] {
            note_bytes.extend(word.to_le_bytes());
        }
        note_bytes.extend(b"Xen\0");
        note_bytes.extend(desc);
        note_bytes.resize(note_bytes.len().next_multiple_of(4), 0);
    }
    let count = loads.len() + usize::from(!notes.is_empty());
    let mut headers = Vec::new();
    let mut body = note_bytes.clone();
    let start = 64 + 56 * count as u64;
    let mut header = |kind: u32, flags: u32, words: [u64; 6]| {
        headers.extend(kind.to_le_bytes());
        headers.extend(flags.to_le_bytes());
        words.iter().for_each(|word| headers.extend(word.to_le_bytes()));
    };
    if !notes.is_empty() {
        header(4, 4, [start, 0, 0, note_bytes.len() as u64, 0, 4]);
    }
    for (number, load) in loads.iter().enumerate() {
        let offset = start + body.len() as u64;
        header(1, load.4, [offset, load.1, load.0, load.2 as u64, load.3, 4096]);
        body.extend(vec![number as u8 + 1; load.2]);
    }
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [entry, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0; 4]);
    for half in [64u16, 56, count as u16, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    [bytes, headers, body].concat()
}

fn read(bytes: &[u8]) -> Result<Kernel, ReadError<Outside>> {
    Kernel::read(&mut SliceFile(bytes))
}

fn number(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// A kernel linked like today's Linux: text, data, and a per-CPU segment at `p_vaddr` 0.
fn linux() -> Vec<u8> {
    let base = 0xffff_ffff_8000_0000;
    let loads = [
        Load(0x100_0000, base + 0x100_0000, 0x300, 0x1000, RX),
        Load(0x100_2000, base + 0x100_2000, 0x200, 0x1000, RW),
        Load(0x100_3000, 0, 0x100, 0x100, RW),
    ];
    let notes = [
        (kind::GUEST_OS, b"linux\0".to_vec()),
        (kind::XEN_VERSION, b"xen-3.0\0".to_vec()),
        (kind::VIRT_BASE, number(base)),
        (kind::ENTRY, number(base + 0x100_0010)),
        (kind::INIT_P2M, number(0x80_0000_0000)),
        (kind::MOD_START_PFN, number(1)),
        (kind::FEATURES, b"!writable_page_tables|pae_pgdir_above_4gb".to_vec()),
        (kind::PHYS32_ENTRY, number(0x100_0020)),
        (kind::PHYS32_RELOC, [0x20_0000u32, 0x100_0000, 0x3fff_ffff].iter().flat_map(|w| w.to_le_bytes()).collect()),
    ];
    elf64(0x100_0000, &loads, &notes)
}

/// A kernel without a word to Xen, linked high, with its stack between text and data.
fn plain() -> Vec<u8> {
    let loads =
        [Load(0x20_0000, 0xffff_ffff_8000_0000, 0x80, 0x80, RX), Load(0x30_1000, 0x4000_1000, 0x10, 0x9000, RW)];
    elf64(0xffff_ffff_8000_0010, &loads, &[])
}

fn auto() -> Decisions {
    Decisions::default()
}

fn phys(start: u64, end: u64) -> PhysRange {
    PhysRange::new(Phys(start), Phys(end)).unwrap()
}

#[test]
fn linux_by_pvh() {
    let kernel = read(&linux()).unwrap();
    let plan = kernel.plan(Protocol::Pvh, &auto()).unwrap();
    assert_eq!(plan.entry, Entry::Physical(Phys(0x100_0020)));
    assert_eq!(plan.extent, phys(0x100_0000, 0x100_3100));
    assert_eq!(plan.areas[..], [phys(0x100_0000, 0x100_4000)]);
    let places: Vec<_> = plan.placements.iter().map(|placement| placement.memory.start().0).collect();
    assert_eq!(places, [0x100_0000, 0x100_2000, 0x100_3000]);
    let (align, min, max) = (0x20_0000, Phys(0x100_0000), Phys(0x3fff_ffff));
    assert_eq!(plan.relocation, Some(Relocation { align, min, max }));
}

#[test]
fn linux_by_pv() {
    let kernel = read(&linux()).unwrap();
    let plan = kernel.plan(Protocol::Pv, &auto()).unwrap();
    let pv = plan.pv.unwrap();
    assert_eq!((pv.virt_kstart, pv.virt_kend), (Virt(0xffff_ffff_8100_0000), Virt(0xffff_ffff_8100_3100)));
    assert_eq!(plan.entry, Entry::Virtual(Virt(0xffff_ffff_8100_0010)));
    assert_eq!((pv.features.supported, pv.features.required), (0x11, 0x1));
    assert!(pv.mod_start_pfn);
    assert_eq!(kernel.recorded_protocol(&auto()), Ok(None));
}

#[test]
fn a_plain_elf_is_entered_directly() {
    let kernel = read(&plain()).unwrap();
    assert_eq!(kernel.recorded_protocol(&auto()), Ok(Some(Protocol::Direct)));
    let plan = kernel.plan(Protocol::Direct, &auto()).unwrap();
    assert_eq!(plan.entry, Entry::Virtual(Virt(0xffff_ffff_8000_0010)));
    assert_eq!(plan.areas[..], [phys(0x20_0000, 0x20_1000), phys(0x30_1000, 0x30_a000)]);
    assert_eq!(kernel.plan(Protocol::Pvh, &auto()), Err(PlanError::NotXen));
}

#[test]
fn a_physical_entry_is_found_by_p_paddr() {
    let loads = [Load(0x20_0000, 0xffff_ffff_8000_0000, 0x80, 0x80, RX)];
    let kernel = read(&elf64(0x20_0010, &loads, &[])).unwrap();
    assert_eq!(kernel.plan(Protocol::Direct, &auto()).unwrap().entry, Entry::Physical(Phys(0x20_0010)));
    let decisions = Decisions { entry: EntryRule::Virtual, ..auto() };
    assert_eq!(kernel.plan(Protocol::Direct, &decisions), Err(PlanError::EntryNowhere { entry: 0x20_0010 }));
}

#[test]
fn virtual_p_paddrs_need_a_base() {
    let base = 0xffff_ffff_8000_0000;
    let kernel = read(&elf64(base + 0x10_0010, &[Load(base + 0x10_0000, base + 0x10_0000, 64, 64, RX)], &[])).unwrap();
    let error = kernel.recorded_protocol(&auto()).unwrap_err();
    assert!(error.to_string().contains("--virt-base"), "{error}");
    let decisions = Decisions { virt_base: Some(Virt(base)), ..auto() };
    let plan = kernel.plan(Protocol::Direct, &decisions).unwrap();
    assert_eq!(plan.extent, phys(0x10_0000, 0x10_0040));
    let plan = kernel.plan(Protocol::Pv, &decisions).unwrap();
    assert_eq!((plan.extent, plan.pv.unwrap().virt_kstart), (phys(0x10_0000, 0x10_0040), Virt(base + 0x10_0000)));
}

#[test]
fn what_cannot_be_started_says_what_it_has() {
    let loads = [Load(0x100_0000, 0xffff_ffff_8100_0000, 64, 64, RX)];
    let words = [
        (kind::GUEST_OS, b"linux\0".to_vec()),
        (kind::XEN_VERSION, b"xen-3.0\0".to_vec()),
        (kind::VIRT_BASE, number(0xffff_ffff_8000_0000)),
        (kind::ENTRY, number(0xffff_ffff_8100_0000)),
    ];
    let pv_only = read(&elf64(0x100_0000, &loads, &words)).unwrap();
    assert_eq!(pv_only.plan(Protocol::Pvh, &auto()), Err(PlanError::PvOnly));
    assert_eq!(pv_only.recorded_protocol(&auto()), Ok(None));
    let neither = read(&elf64(0x100_0000, &loads, &words[..1])).unwrap();
    assert_eq!(neither.recorded_protocol(&auto()), Err(PlanError::LinuxWithoutPvh));
    let pvh_only = read(&elf64(0, &loads, &[(kind::PHYS32_ENTRY, number(0x100_0000))])).unwrap();
    assert_eq!(pvh_only.plan(Protocol::Pv, &auto()), Err(PlanError::PvhOnly));
    let decisions = Decisions { mapping: Mapping::Segments, ..auto() };
    assert!(matches!(pvh_only.plan(Protocol::Pvh, &decisions), Err(PlanError::Meaningless { .. })));
}

#[test]
fn direct_refuses_what_pages_cannot_say() {
    let refuse = |loads: &[Load]| read(&elf64(loads[0].1, loads, &[])).unwrap().plan(Protocol::Direct, &auto());
    let text = Load(0x20_0000, 0x40_0000, 64, 64, RX);
    assert!(matches!(refuse(&[text, Load(0x20_0800, 0x40_0800, 64, 64, RW)]), Err(PlanError::SharedAccess { .. })));
    assert!(matches!(refuse(&[text, Load(0x30_0800, 0x40_0800, 64, 64, RX)]), Err(PlanError::SharedPlace { .. })));
    assert!(matches!(refuse(&[Load(0x20_0000, 0x40_0001, 64, 64, RX)]), Err(PlanError::Incongruent { .. })));
    assert!(matches!(refuse(&[Load(0x20_0000, 1 << 47, 64, 64, RX)]), Err(PlanError::NotCanonical { .. })));
    assert!(matches!(refuse(&[Load(0x20_0000, 0, 64, 5 << 30, RX)]), Err(PlanError::AreaTooLarge { .. })));
    assert!(refuse(&[text, Load(0x20_0800, 0x40_0800, 64, 64, RX)]).is_ok());
    let again = |virt| Load(0x20_0000, virt, 64, 64 << 10, RX);
    assert!(refuse(&[again(0x40_0000), again(0x60_0000)]).is_ok());
    let thrice = refuse(&[again(0x40_0000), again(0x60_0000), again(0x80_0000)]);
    assert_eq!(thrice, Err(PlanError::PlacedTooOften { placed: 3 << 16, area: 1 << 16 }));
}

#[test]
fn heads_with_a_fault_say_which() {
    let good = linux();
    let with = |at: usize, bytes: &[u8]| {
        let mut broken = good.clone();
        broken[at..at + bytes.len()].copy_from_slice(bytes);
        read(&broken).unwrap_err()
    };
    let file_len = good.len() as u64;
    assert_eq!(read(&[]), Err(ReadError::Magic));
    assert_eq!(read(&good[..60]), Err(ReadError::Short { found: 60 }));
    assert_eq!(with(0, b"PK"), ReadError::Magic);
    assert_eq!(with(4, &[3]), ReadError::Class { found: 3 });
    assert_eq!(with(5, &[2]), ReadError::Data { found: 2 });
    assert_eq!(with(18, &[183]), ReadError::Machine { found: 183 });
    assert_eq!(with(54, &[57]), ReadError::ProgramHeaderSize { found: 57, expected: 56 });
    assert_eq!(with(56, &[65]), ReadError::TooManyProgramHeaders { found: 65 });
    assert_eq!(with(56, &[0]), ReadError::NothingToLoad);
    assert_eq!(with(32, &[0xff; 8]), ReadError::ProgramHeadersOutside { offset: u64::MAX, len: 224, file_len });
    assert_eq!(with(60, &[0xff; 2]), ReadError::SectionHeadersOutside { offset: 0, len: 64 * 65535, file_len });
    assert!(matches!(with(64 + 32, &[0xff, 0xff]), ReadError::NotesOutside { len: 0xffff, .. }));
    assert!(matches!(with(120 + 32, &[0xff, 0x0f]), ReadError::SegmentOutside { index: 1, .. }));
    assert!(matches!(with(120 + 32, &[0xff, 0x1f]), ReadError::SegmentShrinks { index: 1, .. }));
    assert!(matches!(with(120 + 24, &[0xff; 8]), ReadError::SegmentWraps { index: 1, .. }));
}

#[test]
fn program_headers_may_lie_anywhere() {
    let good = linux();
    let mut moved = good.clone();
    while moved.len() % 8 != 3 {
        moved.push(0);
    }
    let at = moved.len() as u64;
    moved.extend_from_slice(&good[64..64 + 4 * 56]);
    moved[32..40].copy_from_slice(&at.to_le_bytes());
    assert_eq!(read(&moved), read(&good));
}

#[test]
fn cuts_are_sorted_and_inside() {
    let bytes = linux();
    let cuts = Kernel::cuts(&mut SliceFile(&bytes)).unwrap();
    assert_eq!(cuts.len(), 6);
    assert!(cuts.is_sorted_by_key(|range| range.offset()));
    assert!(cuts.iter().all(|range| range.end() <= bytes.len() as u64));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 20 } else { 4096 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever the bytes of the head are: no panic, and a plan keeps every placed byte in its areas.
    #[test]
    fn mutated_heads(
        plain_one in any::<bool>(),
        changes in prop::collection::vec((0usize..600, any::<u8>()), 0..12),
        cut in 0usize..4096,
    ) {
        let mut bytes = if plain_one { plain() } else { linux() };
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(cut.max(40));
        let _ = Kernel::cuts(&mut SliceFile(&bytes));
        if let Ok(kernel) = read(&bytes) {
            for protocol in [Protocol::Pvh, Protocol::Pv, Protocol::Direct] {
                if let Ok(plan) = kernel.plan(protocol, &auto()) {
                    check(&plan, bytes.len() as u64);
                }
            }
        }
    }

    /// Any bytes behind an ELF's first six: no panic.
    #[test]
    fn arbitrary_heads(class in 1u8..=2, tail in prop::collection::vec(any::<u8>(), 0..2048)) {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
        bytes[4] = class;
        bytes.extend(tail);
        let _ = read(&bytes);
        let _ = Kernel::cuts(&mut SliceFile(&bytes));
    }
}

/// What holds for every plan.
fn check(plan: &Plan, file_len: u64) {
    for area in &plan.areas {
        assert!(area.start().is_aligned(4096) && area.end().is_aligned(4096) && area.len() <= MAX_KERNEL_AREA);
    }
    assert!(plan.areas.windows(2).all(|pair| pair[0].end() <= pair[1].start()));
    for placement in &plan.placements {
        assert!(placement.memory.is_empty() || plan.areas.iter().any(|area| area.covers(&placement.memory)));
        assert!(placement.file.len() <= placement.memory.len());
        assert!(placement.file.end() <= file_len);
    }
}
