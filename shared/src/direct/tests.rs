//! The tables, walked as the processor walks them, against what each address is promised to be.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::kernel::Protocol;
use crate::memory::{FileRange, GIB, MIB, Region, RegionKind, Virt};

const TOP: u64 = 0xffff_ffff_8000_0000;
const TABLES: u64 = 0x700_0000;

fn range(start: u64, len: u64) -> PhysRange {
    PhysRange::sized(Phys(start), len).unwrap()
}

fn ram(ranges: &[(u64, u64)]) -> Ram {
    let regions = ranges.iter().map(|(start, len)| Region { range: range(*start, *len), kind: RegionKind::Ram });
    Ram::from_regions(regions).unwrap()
}

fn access(text: &str) -> Access {
    let has = |letter| text.contains(letter);
    Access { read: has('R'), write: has('W'), execute: has('X') }
}

/// A plan of segments: address, place, bytes, access.
fn plan(class: Class, entry: Entry, segments: &[(u64, u64, u64, Access)]) -> Plan {
    let placements = segments.iter().enumerate().map(|(index, (virt, phys, len, access))| Placement {
        index: index as u16,
        file: FileRange::default(),
        memory: range(*phys, *len),
        virt: Virt(*virt),
        access: *access,
    });
    Plan {
        protocol: Protocol::Direct,
        class,
        extent: PhysRange::EMPTY,
        areas: heapless::Vec::new(),
        placements: placements.collect(),
        symbols: None,
        entry,
        relocation: None,
        pv: None,
        linux: false,
        pie: None,
    }
}

/// The entries that were written, by their place.
type Memory = BTreeMap<u64, u64>;

fn tables(map: &Map<'_>) -> (Memory, u64) {
    let mut memory = Memory::new();
    let count = map.tables(Phys(TABLES), &mut |at, entry| {
        assert!(memory.insert(at.0, entry).is_none(), "an entry is written twice, at {at}");
    });
    (memory, count)
}

/// Where an address leads, by which access, and by how large a page.
fn walk(memory: &Memory, levels: u32, at: u64) -> Option<(u64, Access, u64)> {
    let mut table = TABLES;
    for level in (1..=levels).rev() {
        let shift = 12 + 9 * (level - 1);
        let entry = *memory.get(&(table + (at >> shift) % 512 * 8))?;
        assert_eq!(entry & 1, 1);
        let place = entry & 0x000f_ffff_ffff_f000;
        if level == 1 || entry & 0x80 != 0 {
            let page = 1 << shift;
            assert_eq!(place % page, 0);
            let access = Access { read: true, write: entry & 2 != 0, execute: entry >> 63 == 0 };
            return Some((place + at % page, access, page));
        }
        // No level above takes away what the last one gives.
        assert_eq!(entry & !0x000f_ffff_ffff_f000, if levels == 3 && level == 3 { 1 } else { 3 });
        table = place;
    }
    None
}

/// What is promised of the page at `at`.
fn promised(map: &Map<'_>, at: u64) -> Option<(u64, Access)> {
    let end = |start: u64, len: u64| (start + (len - 1)) | 0xfff;
    for placement in map.placements() {
        let (virt, phys, len) = (placement.virt.0, placement.memory.start().0, placement.memory.len());
        if virt & !0xfff <= at && at <= end(virt, len) {
            return Some((phys.wrapping_add(at.wrapping_sub(virt)), Access { read: true, ..placement.access }));
        }
    }
    let block = map.block;
    if !map.ram.covers(&PhysRange::sized(Phys(at), 1).ok()?) || block.guard().contains(Phys(at)) {
        return None;
    }
    if block.trampoline().contains(Phys(at)) {
        return Some((at, CODE));
    }
    let physical = matches!(map.plan.entry, Entry::Physical(_));
    for placement in map.placements() {
        let (start, len) = (placement.memory.start().0, placement.memory.len());
        if start & !0xfff <= at && at <= end(start, len) {
            let access = placement.access;
            return Some((at, Access { read: true, execute: access.execute && physical, ..access }));
        }
    }
    Some((at, DATA))
}

/// Looks at each page beside which anything begins or ends.
fn check(map: &Map<'_>) {
    let (memory, count) = tables(map);
    let runs: Vec<Run> = map.runs().collect();
    let levels = if map.plan.class == Class::Elf32 { 3 } else { 4 };
    let mut edges: BTreeSet<u64> = [0, map.last_address()].into();
    let mut add = |start: u64, len: u64| edges.extend([start, start.wrapping_add(len)]);
    for placement in map.placements() {
        add(placement.virt.0, placement.memory.len());
        add(placement.memory.start().0, placement.memory.len());
    }
    map.ram.ranges().iter().for_each(|ram| add(ram.start().0, ram.len()));
    add(map.block.trampoline().start().0, 2 * PAGE_SIZE);
    let pages = edges.iter().flat_map(|edge| [-8192_i64, -4096, 0, 4096, 8192].map(|by| edge.wrapping_add_signed(by)));
    for at in pages.map(|at| at & !0xfff & map.last_address()) {
        let canonical = levels == 3 || at < CANONICAL.0 || at >= CANONICAL.1;
        let found = walk(&memory, levels, at).map(|(place, access, _)| (place, access));
        if !canonical {
            continue;
        }
        assert_eq!(found, promised(map, at), "{at:#x}");
        let Some((place, _, page)) = walk(&memory, levels, at) else { continue };
        let run = runs.iter().find(|run| run.first <= at && at <= run.last).unwrap();
        let larger = if page == PAGE_SIZE { 2 * MIB } else { GIB };
        let first = at & !(larger - 1);
        let fits = (at ^ place) & (larger - 1) == 0 && run.first <= first && run.last - first >= larger - 1;
        assert!(!fits || page == GIB || (larger == GIB && !(map.gib_pages && levels == 4)), "{at:#x}: {page:#x}");
    }
    let without = Map { block: Block::NONE, ..*map };
    let most =
        (Block::len(map.plan, map.ram, map.gib_pages) - Block::at(range(0, 1 << 40)).tables().start().0) / PAGE_SIZE;
    assert!(count <= most && most <= tables(&without).1 + 4, "{count} tables, {most} expected at most");
}

#[test]
fn a_kernel_of_the_upper_half() {
    let segments = [
        (TOP, MIB, 0x3000, access("RX")),
        (TOP + 0x3000, MIB + 0x3000, 0x1800, access("R")),
        (TOP + 0x5000, MIB + 0x5000, 0x40_0000, access("RW")),
    ];
    let plan = plan(Class::Elf64, Entry::Virtual(Virt(TOP)), &segments);
    let ram = ram(&[(0, 0x9f000), (MIB, 255 * MIB)]);
    let block = Block::at(range(0xf00_0000, 0x40000));
    let map = Map { plan: &plan, ram: &ram, block, gib_pages: false };
    check(&map);
    let runs: Vec<Run> = map.runs().filter(|run| run.to.is_some()).collect();
    let found: Vec<(u64, u64, Access)> = runs.iter().map(|run| (run.first, run.last + 1, run.to.unwrap().1)).collect();
    let (rx, r, rw) = (access("RX"), access("R"), access("RW"));
    let expected = [
        (0, 0x9f000, rw),
        (MIB, MIB + 0x5000, r),
        (MIB + 0x5000, 0xf00_0000, rw),
        (0xf00_0000, 0xf00_1000, rx),
        (0xf00_2000, 256 * MIB, rw),
        (TOP, TOP + 0x3000, rx),
        (TOP + 0x3000, TOP + 0x5000, r),
        (TOP + 0x5000, TOP + 0x40_5000, rw),
    ];
    assert_eq!(found, expected);
}

#[test]
#[cfg_attr(miri, ignore = "tables for gigabytes take Miri an hour")]
fn the_largest_pages_that_fit() {
    let segments = [(TOP, GIB, GIB, access("RX"))];
    let plan = plan(Class::Elf64, Entry::Virtual(Virt(TOP)), &segments);
    let ram = ram(&[(0, 3 * GIB)]);
    for (gib_pages, page) in [(true, GIB), (false, 2 * MIB)] {
        let map = Map { plan: &plan, ram: &ram, block: Block::NONE, gib_pages };
        check(&map);
        for at in [TOP, 0, GIB, 2 * GIB] {
            assert_eq!(walk(&tables(&map).0, 4, at).unwrap().2, page);
        }
    }
}

#[test]
fn a_page_at_either_end_of_all_addresses() {
    let segments = [(u64::MAX - 0xfff, MIB, 0x1000, access("R")), (0, 2 * MIB, 0x1000, access("RX"))];
    let plan = plan(Class::Elf64, Entry::Physical(Phys(2 * MIB)), &segments);
    let ram = ram(&[(0, 4 * MIB), (1 << 60, MIB)]);
    check(&Map { plan: &plan, ram: &ram, block: Block::NONE, gib_pages: true });
}

/// Segments that do not share pages, each somewhere in the half that `base` begins.
fn segments(base: u64, pages: u64) -> impl Strategy<Value = Vec<(u64, u64, u64, Access)>> {
    let one = (0..pages, 0..0x4_0000_u64, 1..0x1_0000_u64, 0..0x1000_u64, 0..8_u8);
    proptest::collection::vec(one, 1..6).prop_map(move |list| {
        let mut kept: Vec<(u64, u64, u64, Access)> = Vec::new();
        for (virt, phys, len, within, bits) in list {
            let (virt, phys) = (base + virt * PAGE_SIZE + within, phys * PAGE_SIZE + within);
            let len = len * 97;
            let apart =
                |one: u64, one_len: u64, other: u64| one + one_len + PAGE_SIZE < other || other + len + PAGE_SIZE < one;
            let access = Access { read: bits & 1 != 0, write: bits & 2 != 0, execute: bits & 4 != 0 };
            if kept.iter().all(|(v, p, l, _)| apart(*v, *l, virt) && apart(*p, *l, phys)) {
                kept.push((virt, phys, len, access));
            }
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    #[cfg_attr(miri, ignore = "tables for gigabytes take Miri an hour")]
    fn each_page_is_what_is_promised(
        upper in segments(0xffff_ff00_0000_0000, 1 << 27),
        lower in segments(0, 1 << 19),
        wide: bool,
        high: bool,
        gib_pages: bool,
        physical: bool,
        block in 0x1_0000_u64..0x1_8000,
    ) {
        let class = if wide { Class::Elf64 } else { Class::Elf32 };
        let entry = if physical { Entry::Physical(Phys(0)) } else { Entry::Virtual(Virt(0)) };
        let plan = plan(class, entry, if wide && high { &upper } else { &lower });
        let ram = ram(&[(0, 0x9f000), (MIB, 3 * GIB - 3 * MIB), (4 * GIB, 5 * GIB)]);
        let block = Block::at(range(block * PAGE_SIZE, 0x10_0000));
        // A block is never where a segment is, neither in memory nor by its address.
        let taken = plan.placements.iter().map(|placement| placement.memory).chain(shadows(&plan));
        prop_assume!(taken.into_iter().all(|taken| !taken.overlaps(&block.range())));
        check(&Map { plan: &plan, ram: &ram, block, gib_pages });
    }
}
