//! What is said of a kernel made by hand.

use shared::kernel::{Decisions, Kernel, Mapping, Protocol, SliceFile};

use super::*;

/// An ELF64 with segments of (p_paddr, p_vaddr, bytes in memory, flags) and no bytes in the file.
fn elf64(entry: u64, segments: &[(u64, u64, u64, u32)]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    [entry, 64, 0].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    bytes.extend([0; 4]);
    [64, 56, segments.len() as u16, 64, 0, 0].iter().for_each(|half| bytes.extend(half.to_le_bytes()));
    for (paddr, vaddr, len, flags) in segments {
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        [0, *vaddr, *paddr, 0, *len, 0x1000].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    }
    bytes
}

fn explained(entry: u64, segments: &[(u64, u64, u64, u32)], protocol: Protocol, decisions: &Decisions) -> Explanation {
    let kernel = Kernel::read(&mut SliceFile(&elf64(entry, segments))).unwrap();
    explain(&kernel, decisions, &kernel.plan(protocol, decisions).unwrap())
}

#[test]
fn a_plain_kernel_is_explained_by_its_own_addresses() {
    let segments = [(0x20_0000, 0xffff_ffff_8000_0000, 0x1000, 5)];
    let found = explained(0x20_0010, &segments, Protocol::Direct, &Decisions::default());
    assert_eq!(found.rules[0], "segments lie at their p_paddr: the kernel says nothing else");
    assert_eq!(
        found.rules[2],
        "entered at 0x200010, physical: e_entry is in the p_paddr range of segment 0, and in no p_vaddr range"
    );
    assert_eq!(found.warnings, [""; 0]);
}

#[test]
fn what_is_odd_is_said() {
    let segments = [(0x1000, 0x1000, 0x2000, 7), (0x2000, 0x2000, 0x1000, 7), (0x900_0000, 0x900_0000, 0x1000, 6)];
    let found = explained(0x1000, &segments, Protocol::Direct, &Decisions::default());
    assert_eq!(
        found.warnings,
        [
            "segment 0 is writable and executable",
            "segment 1 is writable and executable",
            "segments 0 and 1 overlap at 0x2000..0x3000: 1 wins",
            "143 MiB of nothing lie before segment 2",
        ]
    );
}

#[test]
fn a_decision_is_named_where_it_decided() {
    let base = 0xffff_ffff_8000_0000;
    let segments = [(base + 0x1000, base + 0x1000, 0x1000, 5)];
    let decisions = Decisions { virt_base: Some(shared::memory::Virt(base)), ..Decisions::default() };
    let found = explained(base + 0x1000, &segments, Protocol::Pv, &decisions);
    assert_eq!(
        found.rules,
        [
            "segments lie at their p_paddr less 0xffffffff80000000: --virt-base, for every p_paddr is virtual",
            "they are mapped from 0xffffffff80000000 on (--virt-base), wherever p_vaddr says",
            "entered at 0xffffffff80001000, virtual: e_entry, for no ENTRY is said",
        ]
    );
    let decisions = Decisions { mapping: Mapping::Segments, ..decisions };
    assert!(explained(base + 0x1000, &segments, Protocol::Pv, &decisions).rules[1].ends_with("p_vaddr too"));
}
