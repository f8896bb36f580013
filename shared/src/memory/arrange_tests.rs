use std::vec::Vec;

use proptest::prelude::*;

use super::need::*;
use super::*;
use crate::kernel::Relocation;

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::new(Phys(start), Phys(end)).unwrap()
}

fn ram(ranges: &[PhysRange]) -> Ram {
    Ram::from_regions(ranges.iter().map(|range| Region { range: *range, kind: RegionKind::Ram })).unwrap()
}

const STAGE0: (u64, u64) = (MIB, MIB + 0x60000);

fn domain(ram: &Ram) -> Found<'_> {
    let stage0 = range(STAGE0.0, STAGE0.1);
    Found { ram, stage0, pack: range(0xe00_0000, 0xf00_0000), modules: &[], structures: PhysRange::EMPTY, rsdp: None }
}

#[test]
fn nothing_moves_that_is_in_nobodys_way() {
    let ram = ram(&[range(0, 0x9f000), range(MIB, 0x1000_0000)]);
    let kernel = [range(0x100_0000, 0x400_0000)];
    let wanted = Wanted {
        kernel: &kernel,
        relocation: None,
        scratch: 0x40_0000,
        room: Room::PVH,
        direct: None,
        low: Low::default(),
    };
    let found = domain(&ram);
    let arrangement = arrange(&found, &wanted).unwrap();
    assert_eq!(arrangement.stage0, found.stage0);
    assert_eq!(arrangement.pack, found.pack);
    assert_eq!(arrangement.shift, 0);
}

#[test]
fn whatever_lies_where_the_kernel_goes_moves() {
    let ram = ram(&[range(0, 0x9f000), range(MIB, 0x2000_0000)]);
    let kernel = [range(MIB, 0xe80_0000)];
    let wanted = Wanted {
        kernel: &kernel,
        relocation: None,
        scratch: 0x40_0000,
        room: Room::PVH,
        direct: None,
        low: Low::default(),
    };
    let found = domain(&ram);
    let arrangement = arrange(&found, &wanted).unwrap();
    assert!(!arrangement.stage0.overlaps(&kernel[0]) && !arrangement.stage0.overlaps(&found.pack));
    assert!(!arrangement.pack.overlaps(&kernel[0]));
    assert_eq!(arrangement.pack.len(), found.pack.len());
    // The pack leaves only when stage0 and its tables already stand.
    assert!(!arrangement.tables.overlaps(&found.pack));
}

#[test]
fn a_kernel_whose_place_is_no_ram_is_relocated_only_if_it_says_so() {
    let ram = ram(&[range(0, 0x9f000), range(MIB, 0x2000_0000)]);
    let kernel = [range(0x4000_0000, 0x4100_0000)];
    let refused =
        Wanted { kernel: &kernel, relocation: None, scratch: 0, room: Room::PVH, direct: None, low: Low::default() };
    let error = arrange(&domain(&ram), &refused).unwrap_err();
    assert!(matches!(error, ArrangeError::Claim(ClaimError::NotRam { .. })), "{error}");

    let relocation = Relocation { align: 0x20_0000, min: Phys(0x100_0000), max: Phys(0x3fff_ffff) };
    let allowed = Wanted { relocation: Some(relocation), ..refused };
    let arrangement = arrange(&domain(&ram), &allowed).unwrap();
    assert_eq!(shifted(&kernel[0], arrangement.shift), Some(range(0x100_0000, 0x200_0000)));
}

#[test]
fn the_builders_root_pointer_is_in_the_way_for_good() {
    let ram = ram(&[range(0, 0x1000_0000)]);
    let kernel = [range(0x8_0000, 0x20_0000)];
    let wanted =
        Wanted { kernel: &kernel, relocation: None, scratch: 0, room: Room::PVH, direct: None, low: Low::default() };
    let found = Found { rsdp: Some(range(0xf_ffc0, 0xf_ffe4)), ..domain(&ram) };
    let error = arrange(&found, &wanted).unwrap_err();
    assert!(std::format!("{error}").contains("ACPI's root pointer at 0xfffc0"), "{error}");
}

#[test]
#[cfg_attr(miri, ignore = "thousands of domains take Miri half an hour")]
fn the_need_is_the_least_that_works() {
    let kernel = [range(0x100_0000, 0x500_0000)];
    let wanted = Wanted {
        kernel: &kernel,
        relocation: None,
        scratch: 0x40_0000,
        room: Room::PVH,
        direct: None,
        low: Low::default(),
    };
    let started = Started { stage0: range(STAGE0.0, STAGE0.1), pack_len: 16 * MIB };
    for builder in [Builder::Xen, Builder::Qemu] {
        let need = memory_need(builder, &started, &wanted).unwrap();
        assert!(need > 80 * MIB && need < 110 * MIB, "{need:#x}");
    }
    let nowhere = [range(0xf000_0000, 0xf100_0000)];
    assert!(memory_need(Builder::Xen, &started, &Wanted { kernel: &nowhere, ..wanted }).is_err());
}

/// A pack that lies at the top and sinks, past the place that stage0 leaves: there is never a second one.
#[test]
#[cfg_attr(miri, ignore = "thousands of domains take Miri half an hour")]
fn a_pack_that_sinks_takes_no_more_memory_than_itself() {
    for n in 1..=12 {
        let (end, pack_len) = (MIB + n * 0x3_1000, n * 11 * MIB - n * 0x123);
        let kernel = [range(MIB, end)];
        let low = Low { pack: true, modules: true };
        let wanted =
            Wanted { kernel: &kernel, relocation: None, scratch: 0x44_0000, room: Room::PVH, direct: None, low };
        let started = Started { stage0: range(STAGE0.0, STAGE0.1), pack_len };
        for builder in [Builder::Xen, Builder::Qemu] {
            let need = memory_need(builder, &started, &wanted).unwrap();
            assert!(need <= end + pack_len + 7 * MIB, "{builder:?}: {need:#x} for {end:#x} and {pack_len:#x}");
            for more in 0..100 {
                let (ram, pack) = simulated_domain(builder, need + more * MIB, &started).unwrap();
                let done = arrange(&Found { pack, ..domain(&ram) }, &wanted).unwrap();
                assert!(done.pack.start() < Phys(end + 2 * MIB), "{}", done.pack);
            }
        }
    }
}

prop_compose! {
    fn page_range(limit: u64)(start in 0..limit, len in 1..limit) -> PhysRange {
        range(start * PAGE_SIZE, (start + len).min(limit) * PAGE_SIZE)
    }
}

/// The lowest place of `len` bytes from `from` on, and below `end`, in which `is_free` holds for each page; found page by page.
fn lowest(from: Phys, len: u64, end: u64, is_free: impl Fn(&PhysRange) -> bool) -> Option<PhysRange> {
    let pages = len.div_ceil(PAGE_SIZE);
    let (mut start, mut free) = (from.0.next_multiple_of(PAGE_SIZE), 0);
    let mut page = start;
    while page < end {
        free = if is_free(&range(page, page + PAGE_SIZE)) { free + 1 } else { 0 };
        page += PAGE_SIZE;
        start = page - free * PAGE_SIZE;
        if free == pages {
            return Some(range(start, page));
        }
    }
    None
}

/// A domain of 64 MiB with up to two holes, in which things may lie anywhere.
#[derive(Debug)]
struct Layout {
    ram: Ram,
    kernel: PhysRange,
    pack: PhysRange,
    module: PhysRange,
    rsdp: Option<PhysRange>,
}

const TOP: u64 = 64 * MIB;

prop_compose! {
    /// Often something lies right behind the kernel: a hole, the pack, the module, ACPI's root pointer, or the end of RAM.
    fn layout()(
        start in 0x100u64..0x3000,
        len in 1u64..0x1000,
        holes in prop::collection::vec((0u64..0x4000, 1u64..0x800), 0..3),
        places in [0u64..0x3f00, 0u64..0x3f00, 0u64..0x4000],
        lens in [1u64..0x800, 1u64..0x80],
        behind in 0u64..6,
        gap in 0u64..8,
    ) -> Layout {
        let kernel = PhysRange::sized(Phys(start * PAGE_SIZE), len * PAGE_SIZE - 0x123).unwrap();
        let next = kernel.end().0.div_ceil(PAGE_SIZE) + gap;
        let at = |which, place| PAGE_SIZE * if behind == which { next } else { place };
        let hole = |(n, (place, len)): (usize, (u64, u64))| {
            let start = at(n as u64, place);
            Region { range: range(start, start + len * PAGE_SIZE), kind: RegionKind::Other(2) }
        };
        let end = if behind == 2 { next * PAGE_SIZE } else { TOP };
        let whole = Region { range: range(0, end), kind: RegionKind::Ram };
        let regions: Vec<Region> = holes.into_iter().enumerate().map(hole).chain([whole]).collect();
        Layout {
            ram: Ram::from_regions(regions.into_iter()).unwrap(),
            kernel,
            pack: PhysRange::sized(Phys(at(3, places[0])), lens[0] * PAGE_SIZE).unwrap(),
            module: PhysRange::sized(Phys(at(4, places[1])), lens[1] * PAGE_SIZE).unwrap(),
            rsdp: (places[2] % 2 == 0).then(|| PhysRange::sized(Phys(at(5, places[2]) + 0xfc0), 36).unwrap()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 5 } else { 1000 },
        max_global_rejects: 100_000,
        ..ProptestConfig::default()
    })]

    /// start_info lies on the first pages behind the kernel that nothing holds which cannot move, then the pack and the module of
    /// a kernel that is no Linux. A Linux' stay where they are, unless they have to leave.
    #[test]
    fn what_a_kernel_is_handed_lies_as_low_behind_it_as_it_can(layout in layout(), linux in any::<bool>()) {
        let Layout { ram, kernel, pack, module, rsdp } = &layout;
        let stage0 = range(STAGE0.0, STAGE0.1);
        let there = [stage0, *pack, *module];
        prop_assume!(there.iter().chain([kernel]).all(|range| ram.covers(&range.page_hull().unwrap())));
        prop_assume!(!pack.overlaps(module) && !pack.overlaps(&stage0) && !module.overlaps(&stage0));
        let modules = [*module];
        let found = Found { ram, stage0, pack: *pack, modules: &modules, structures: PhysRange::EMPTY, rsdp: *rsdp };
        let low = Low { pack: !linux, modules: !linux };
        let areas = [kernel.page_hull().unwrap()];
        let wanted =
            Wanted { kernel: &areas, relocation: None, scratch: 0x10_0000, room: Room::PVH, direct: None, low };
        let done = arrange(&found, &wanted);
        prop_assume!(done.is_ok());
        let done = done.unwrap();

        let held = |page: &PhysRange, list: &[PhysRange]| list.iter().any(|range| range.overlaps(page));
        let fixed: Vec<PhysRange> = rsdp.iter().copied().chain([areas[0]]).collect();
        let start_info = lowest(areas[0].end(), START_INFO_LEN, TOP, |page| ram.covers(page) && !held(page, &fixed));
        prop_assert_eq!(done.start_info.len(), START_INFO_LEN);
        match start_info {
            Some(place) => prop_assert_eq!(done.start_info, place),
            None => prop_assert!(done.start_info.end() <= areas[0].start()),
        }

        let handed: Vec<PhysRange> = fixed.iter().copied().chain([done.start_info]).collect();
        let stays = |range: &PhysRange| !held(range, &handed);
        if linux {
            prop_assert!(!stays(pack) || done.pack == *pack);
            prop_assert!(!stays(module) || done.modules[0] == *module || done.pack.overlaps(module));
            return Ok(());
        }
        let behind = areas[0].end().max(done.start_info.end());
        // stage0 moves before the pack, and the pack before the module.
        let mut taken = handed.clone();
        taken.extend(stays(&stage0).then_some(stage0));
        // Where there is no other place for them, stage0 and its tables lie lower.
        if arrange::arranged(&found, &wanted, false).is_err() {
            taken.extend([done.stage0, done.tables]);
        }
        taken.push(*module);
        let place = lowest(behind, pack.len(), TOP, |page| ram.covers(page) && !held(page, &taken));
        prop_assert!(place.is_none_or(|place| done.pack == place), "{} {place:?}", done.pack);
        taken.pop();
        taken.push(done.pack);
        let place = lowest(behind, module.len(), TOP, |page| ram.covers(page) && !held(page, &taken));
        prop_assert!(place.is_none_or(|place| done.modules[0] == place), "{} {place:?}", done.modules[0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 10 } else { 2000 }))]

    /// Carries an arrangement out, page by page, and looks whether anything was lost on the way.
    #[test]
    fn nothing_is_overwritten_before_it_has_moved(
        kernel in page_range(3000),
        pack_start in 400u64..2500,
        pack_len in 1u64..900,
        module_start in 400u64..2500,
        module_len in 1u64..300,
        scratch in 0u64..300,
        low in any::<(bool, bool)>(),
    ) {
        let low = Low { pack: low.0, modules: low.1 };
        let ram = ram(&[range(0, 0x9f000), range(MIB, 3000 * PAGE_SIZE)]);
        let stage0 = range(STAGE0.0, STAGE0.1);
        let pack = PhysRange::sized(Phys(pack_start * PAGE_SIZE), pack_len * PAGE_SIZE).unwrap();
        let module = [PhysRange::sized(Phys(module_start * PAGE_SIZE), module_len * PAGE_SIZE).unwrap()];
        prop_assume!(!pack.overlaps(&module[0]) && ram.covers(&pack) && ram.covers(&module[0]));
        let found = Found { ram: &ram, stage0, pack, modules: &module, structures: PhysRange::EMPTY, rsdp: None };
        let kernel = [kernel];
        let scratch = scratch * PAGE_SIZE;
        let wanted = Wanted { kernel: &kernel, relocation: None, scratch, room: Room::PVH, direct: None, low };
        let Ok(done) = arrange(&found, &wanted) else { return Ok(()) };

        for (n, claim) in done.claims.list().iter().enumerate() {
            for other in &done.claims.list()[..n] {
                prop_assert!(!claim.range.overlaps(&other.range), "{claim:?} {other:?}");
            }
            prop_assert!(ram.covers(&claim.range));
        }

        let mut memory: Vec<(char, u64)> = (0..3000).map(|_| ('-', 0)).collect();
        let pages = |range: &PhysRange| (range.start().0 / PAGE_SIZE)..(range.end().0 / PAGE_SIZE);
        for (mark, place) in [('s', &stage0), ('p', &pack), ('m', &module[0])] {
            for (n, page) in pages(place).enumerate() {
                memory[page as usize] = (mark, n as u64);
            }
        }
        let step = |memory: &mut Vec<(char, u64)>, from: &PhysRange, to: &PhysRange| {
            let from = pages(from);
            memory.copy_within(from.start as usize..from.end as usize, pages(to).start as usize);
        };
        for page in pages(&done.tables) {
            memory[page as usize] = ('t', 0);
        }
        if done.stage0 != stage0 {
            prop_assert!(!done.stage0.overlaps(&stage0));
        }
        step(&mut memory, &stage0, &done.stage0);
        step(&mut memory, &pack, &done.pack);
        step(&mut memory, &module[0], &done.modules[0]);
        for range in [&done.scratch, &kernel[0], &done.start_info, &done.trampoline] {
            for page in pages(range) {
                memory[page as usize] = ('x', 0);
            }
        }
        for (mark, place) in [('s', &done.stage0), ('p', &done.pack), ('m', &done.modules[0])] {
            for (n, page) in pages(place).enumerate() {
                prop_assert_eq!(memory[page as usize], (mark, n as u64));
            }
        }
        prop_assert!(pages(&done.tables).all(|page| memory[page as usize].0 == 't'));
    }
}
