//! Kernels for the direct protocol whose places, and whose addresses, are those of all that stage0 holds and was handed.

use std::collections::BTreeSet;
use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use shared::cmdline::Options;
use shared::direct::Map;
use shared::format::{Codec, EncodedModule, MAX_MANIFEST_LEN};
use shared::kernel::{Decisions, Protocol};
use shared::memory::{ArrangeError, Arrangement, Builder, MIB, PAGE_SIZE, Phys, PhysRange};
use shared::trust::TrustSlot;

use crate::boot::{Domain, load};
use crate::boot_tests::{Built, IMAGE, START_INFO, noise, range};
use crate::error::Error;
use crate::handover::{Module, PvhHandover, write_block, write_start_info};
use crate::load::Memory;
use crate::load::tests::{Array, NoClock, indices, meter, pack_for};
use crate::platform::Machine;
use crate::platform::handed::Handed;

/// Bytes of memory.
const MEMORY: u64 = 32 * MIB;
/// Where the pack and the builder's module are.
const PACK: u64 = 20 * MIB;
const MODULE: u64 = 12 * MIB;
const MODULE_LEN: usize = 0x4_3456;
/// Where segments are linked that are nobody's neighbours.
const HIGH: u64 = 0xffff_ffff_8000_0000;

/// A segment: address, place, bytes in the file and in memory, `p_flags`.
#[derive(Clone, Copy, Debug)]
struct Segment(u64, u64, u64, u64, u32);

impl Segment {
    fn place(&self) -> PhysRange {
        range(self.1, self.3).page_hull().unwrap()
    }

    fn shadow(&self) -> Option<PhysRange> {
        (self.0 < HIGH).then(|| range(self.0, self.3).page_hull().unwrap())
    }

    fn content(&self) -> Vec<u8> {
        noise(self.2 as usize, self.1.wrapping_mul(31) as u8)
    }
}

/// An ELF64 of these segments, without a note.
fn elf(segments: &[Segment]) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    file.extend([2u16, 62].iter().flat_map(|n| n.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    file.extend([segments[0].0, 64, 0].iter().flat_map(|n| n.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, segments.len() as u16, 64, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
    let mut offset = 64 + 56 * segments.len() as u64;
    for Segment(virt, phys, file_len, memory_len, flags) in segments {
        file.extend([1, *flags].iter().flat_map(|n| n.to_le_bytes()));
        file.extend([offset, *virt, *phys, *file_len, *memory_len, 4096].iter().flat_map(|n| n.to_le_bytes()));
        offset += file_len;
    }
    file.extend(segments.iter().flat_map(Segment::content));
    file
}

/// A machine whose stage0 lies in its memory, as bytes that must not change, with tables that must not either.
struct Standing {
    memory: Array,
    image: PhysRange,
    tables: PhysRange,
    first_scratch: Option<PhysRange>,
}

impl Standing {
    fn fill(&mut self, range: PhysRange, byte: u8) {
        self.memory.0[indices(range)].fill(byte);
    }

    fn is_whole(&self) -> bool {
        let all = |range: PhysRange, byte: u8| self.memory.0[indices(range)] == vec![byte; range.len() as usize][..];
        all(self.image, 0x51) && all(self.tables, 0x52)
    }
}

impl Machine for Standing {
    type Memory = Array;
    type Clock = NoClock;

    fn memory(&mut self) -> &mut Array {
        &mut self.memory
    }

    fn clock(&self) -> NoClock {
        NoClock
    }

    fn use_scratch(&mut self, range: PhysRange) {
        self.first_scratch.get_or_insert(range);
        self.fill(range, 0x53);
    }

    fn relocate(&mut self, arrangement: &Arrangement) {
        assert!(self.is_whole());
        self.tables = arrangement.tables;
        self.fill(self.tables, 0x52);
        self.memory.0.copy_within(indices(self.image), indices(arrangement.stage0).start);
        self.image = arrangement.stage0;
    }
}

/// What is in the way at first: what the builder handed over, stage0, the module, the pack.
fn things(pack_len: u64) -> [PhysRange; 4] {
    [range(START_INFO, 0x2000), range(IMAGE.0, IMAGE.1), range(MODULE, MODULE_LEN as u64), range(PACK, pack_len)]
}

/// Starts the kernel, and looks at all that it finds. Which of the things its place, or its addresses, collided with; `None`
/// where there is no room for everything.
fn start(segments: &[Segment]) -> Option<BTreeSet<(usize, bool)>> {
    let (own, theirs) = (noise(0x2345, 7), noise(MODULE_LEN, 9));
    let modules = vec![EncodedModule { name: "m".into(), content: own.clone() }];
    let decisions = Decisions { protocol: Some(Protocol::Direct), ..Decisions::default() };
    let pack = pack_for(&elf(segments), Codec::None, modules, decisions);
    let things = things(pack.len() as u64);
    let built = Built::with(MEMORY, vec![(PACK, pack), (MODULE, theirs.clone())]);
    let memory = built.machine().0;
    let image = range(IMAGE.0, IMAGE.1);
    let mut machine = Standing { memory, image, tables: PhysRange::EMPTY, first_scratch: None };
    machine.fill(image, 0x51);

    let mut handed = Handed::EMPTY;
    handed.read(machine.memory(), Phys(START_INFO), |_| false).unwrap();
    let (ram, mut log) = (handed.ram().unwrap(), String::new());
    let (handed, options, trust, pv) = (&handed, Options::default(), &TrustSlot::EMPTY, None);
    let (file, builder) = (&[][..], Builder::Qemu);
    let mut domain = Domain { handed, options, trust, file, ram, image, builder, pv, gib_pages: false, log: &mut log };
    let mut copy = [0; MAX_MANIFEST_LEN as usize];
    let loaded = match load(&mut machine, &mut domain, &mut copy, &mut meter()) {
        Ok(loaded) => loaded,
        Err(Error::Arrange(ArrangeError::Claim(_)) | Error::TooSmall { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let block = loaded.arrangement.block;
    let map = Map { plan: &loaded.plan, ram: &domain.ram, block, gib_pages: false };
    write_block(machine.memory(), &map).unwrap();
    let given: Vec<Module<'_>> = loaded.modules(handed).collect();
    let (modules, cmdline, rsdp, reserved) = (given.iter().copied(), &loaded.cmdline, loaded.rsdp, block.range());
    write_start_info(machine.memory(), block.start_info(), &PvhHandover { handed, modules, cmdline, rsdp, reserved })
        .unwrap();

    assert!(machine.is_whole(), "stage0 or its tables were overwritten");
    for segment in segments {
        let bytes = machine.memory.bytes(range(segment.1, segment.3)).unwrap();
        let (file, rest) = bytes.split_at(segment.2 as usize);
        assert!(file == segment.content() && rest == &vec![0; rest.len()][..], "{segment:x?} is not whole");
    }
    assert_eq!(given.len(), 2);
    for (module, content) in given.iter().zip([&own, &theirs]) {
        assert!(machine.memory.bytes(module.range).unwrap() == content, "{module:?} is not whole");
    }
    let seen = given.iter().map(|module| module.range).chain([block.range()]);
    for (range, segment) in seen.flat_map(|range| segments.iter().map(move |segment| (range, segment))) {
        let hidden = segment.shadow().is_some_and(|shadow| shadow.overlaps(&range));
        assert!(!hidden && !segment.place().overlaps(&range), "{range} is where {segment:x?} is");
    }
    let things = things.into_iter().chain(machine.first_scratch).enumerate();
    let hits = things.flat_map(|(number, thing)| {
        let place = segments.iter().any(|segment| segment.place().overlaps(&thing));
        let shadow = segments.iter().filter_map(Segment::shadow).any(|shadow| shadow.overlaps(&thing));
        [place.then_some((number, false)), shadow.then_some((number, true))].into_iter().flatten()
    });
    Some(hits.collect())
}

/// Somewhere about a thing: 0 is nothing, the last the top of memory, where stage0 puts what it needs.
fn about(thing: usize) -> impl Strategy<Value = u64> {
    let starts = [0x1000, 0xe_0000, 11 * MIB, 19 * MIB, 29 * MIB, 4 * MIB];
    (0..2 * MIB / PAGE_SIZE).prop_map(move |page| {
        let start = starts[thing] + page * PAGE_SIZE;
        if thing == 0 { 0x1000 + page % 7 * PAGE_SIZE } else { start }
    })
}

prop_compose! {
    fn segment()(
        thing in 0..6_usize,
        shadowed in 0..8_usize,
    )(
        phys in about(thing),
        virt in about(shadowed.min(5)),
        within in 0..PAGE_SIZE,
        high in 0..1000_u64,
        is_high in Just(shadowed > 5),
        file in 1..0x3000_u64,
        rest in if thing == 0 { 0..0x8_0000_u64 } else { 0..4 * MIB },
        flags in 1..8_u32,
    ) -> Segment {
        let virt = if is_high { HIGH + high * 16 * PAGE_SIZE } else { virt };
        Segment(virt + within, phys + within, file, file + rest, flags)
    }
}

/// Whether the segments can be loaded at all.
fn fit(segments: &[Segment]) -> bool {
    let ram = [range(0, 0x9f000), range(MIB, MEMORY - MIB)];
    let virt = |segment: &Segment| range(segment.0 - segment.0 % PAGE_SIZE, segment.3 + 2 * PAGE_SIZE);
    segments.iter().enumerate().all(|(n, segment)| {
        let apart = segments[..n]
            .iter()
            .all(|other| !segment.place().overlaps(&other.place()) && !virt(segment).overlaps(&virt(other)));
        apart && ram.iter().any(|ram| ram.covers(&segment.place()))
    })
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of domains take Miri a day")]
fn nothing_is_lost_wherever_a_kernel_goes() {
    let config = Config { cases: 250, failure_persistence: None, max_global_rejects: 100_000, ..Config::default() };
    let algorithm = config.rng_algorithm;
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(algorithm));
    let combinations = core::cell::RefCell::new(BTreeSet::new());
    let kernels = proptest::collection::vec(segment(), 1..5);
    let outcome = runner.run(&kernels, |mut segments| {
        prop_assume!(fit(&segments));
        segments[0].4 |= 1;
        combinations.borrow_mut().extend(start(&segments));
        Ok(())
    });
    outcome.unwrap();
    let combinations = combinations.into_inner();
    // Each thing alone by its place and by its address, and many together.
    for thing in (0..5).flat_map(|number| [(number, false), (number, true)]) {
        assert!(combinations.iter().any(|hits| hits.contains(&thing)), "{thing:?} was never hit");
    }
    assert!(combinations.len() > 60, "{} combinations", combinations.len());
}
