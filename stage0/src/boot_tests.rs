//! The whole way of a kernel but for its last jump, with builders that do what no builder should have to.

use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use shared::cmdline::Options;
use shared::format::{Codec, EncodedModule, MAX_MANIFEST_LEN};
use shared::measure::{self, Hex};
use shared::memory::{Arrangement, Builder, MIB, PAGE_SIZE, Phys, PhysRange, START_INFO_LEN};
use shared::trust::TrustSlot;
use shared::xen::{HvmMemmapEntry, HvmModlistEntry, HvmStartInfo, START_INFO_MAGIC};
use zerocopy::{FromBytes, IntoBytes};

use crate::boot::{Domain, load};
use crate::error::Error;
use crate::handover::{Module, PvhHandover, write_start_info};
use crate::load::Memory;
use crate::load::tests::{Array, Load, NoClock, elf, indices, measured, meter, pack_with};
use crate::platform::Machine;
use crate::platform::handed::Handed;

pub(crate) const START_INFO: u64 = 0x6000;
const MODLIST: u64 = 0x6100;
const MEMMAP: u64 = 0x7000;
pub(crate) const IMAGE: (u64, u64) = (MIB, 0x6_0000);

/// Bytes of the kernel's file that are loaded: Miri is slow at hashing.
const FILESZ: u32 = if cfg!(miri) { 0x2000 } else { 0x3_0000 };

/// What stands for stage0's file.
const FILE: &[u8] = b"stage0";

/// A domain whose memory is an array, and whose stage0 does not lie in it.
pub(crate) struct Emulated(pub(crate) Array);

impl Machine for Emulated {
    type Memory = Array;
    type Clock = NoClock;

    fn memory(&mut self) -> &mut Array {
        &mut self.0
    }

    fn clock(&self) -> NoClock {
        NoClock
    }

    fn relocate(&mut self, _arrangement: &Arrangement) {}
}

pub(crate) fn range(start: u64, len: u64) -> PhysRange {
    PhysRange::sized(Phys(start), len).unwrap()
}

fn region(start: u64, len: u64, kind: u32) -> HvmMemmapEntry {
    HvmMemmapEntry { addr: start.into(), size: len.into(), kind: kind.into(), reserved: 0.into() }
}

/// What a builder does.
pub(crate) struct Built {
    memory_len: u64,
    version: u32,
    memmap: Vec<HvmMemmapEntry>,
    /// The pack first.
    modules: Vec<(u64, Vec<u8>)>,
}

impl Built {
    pub(crate) fn with(memory_len: u64, modules: Vec<(u64, Vec<u8>)>) -> Self {
        let memmap = vec![region(0, 0x9f000, 1), region(MIB, memory_len - MIB, 1)];
        Self { memory_len, version: 1, memmap, modules }
    }

    /// A memory full of bytes that are not zero, with all that was handed over.
    pub(crate) fn machine(&self) -> Emulated {
        let mut memory = vec![0xa5; usize::try_from(self.memory_len).unwrap()];
        let mut put =
            |at: u64, bytes: &[u8]| memory[usize::try_from(at).unwrap()..][..bytes.len()].copy_from_slice(bytes);
        for (n, (at, content)) in (0..).zip(&self.modules) {
            put(*at, content);
            let size = (content.len() as u64).into();
            put(MODLIST + n * 32, HvmModlistEntry { paddr: (*at).into(), size, ..Default::default() }.as_bytes());
        }
        put(MEMMAP, self.memmap.as_bytes());
        let info = HvmStartInfo {
            magic: START_INFO_MAGIC.into(),
            version: self.version.into(),
            nr_modules: (self.modules.len() as u32).into(),
            modlist_paddr: MODLIST.into(),
            memmap_paddr: MEMMAP.into(),
            memmap_entries: (self.memmap.len() as u32).into(),
            ..Default::default()
        };
        put(START_INFO, info.as_bytes());
        Emulated(Array(memory))
    }

    /// All that stage0 does: the memory as the kernel finds it, what it is told, and where its modules are.
    fn start(&self) -> Result<(Array, HvmStartInfo, Vec<PhysRange>), Error> {
        let mut machine = self.machine();
        let mut handed = Handed::EMPTY;
        handed.read(machine.memory(), Phys(START_INFO), |_| false)?;
        let (ram, mut log) = (handed.ram()?, String::new());
        let (image, options, trust) = (range(IMAGE.0, IMAGE.1), Options::default(), &TrustSlot::EMPTY);
        let mut domain = Domain {
            handed: &handed,
            options,
            trust,
            file: FILE,
            ram,
            image,
            builder: Builder::Qemu,
            pv: None,
            gib_pages: false,
            log: &mut log,
        };
        let mut copy = [0; MAX_MANIFEST_LEN as usize];
        let loaded = load(&mut machine, &mut domain, &mut copy, &mut meter())?;
        let modules: Vec<Module<'_>> = loaded.modules(&handed).collect();
        let places = modules.iter().map(|module| module.range).collect();
        let handover = PvhHandover {
            handed: &handed,
            modules: modules.into_iter(),
            cmdline: &loaded.cmdline,
            rsdp: loaded.rsdp,
            reserved: PhysRange::EMPTY,
        };
        let block = loaded.arrangement.start_info;
        write_start_info(machine.memory(), block, &handover)?;
        let info = HvmStartInfo::read_from_prefix(machine.memory().bytes(block).unwrap()).unwrap().0;
        Ok((machine.0, info, places))
    }
}

/// A pack of a kernel of `len` bytes in memory that lies where stage0 does.
fn pack(len: u32, modules: &[Vec<u8>]) -> Vec<u8> {
    let loads = [Load { paddr: 0x10_0000, filesz: FILESZ, memsz: len }];
    let modules = modules.iter().map(|content| EncodedModule { name: "m".into(), content: content.clone() });
    pack_with(&elf(&loads), Codec::None, modules.collect())
}

/// Bytes of which none is zero.
pub(crate) fn noise(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(167).wrapping_add(seed) | 1).collect()
}

#[test]
fn modules_that_share_pages_where_the_kernel_goes_arrive_whole() {
    let own = [noise(0x1900, 1), noise(0x1234, 2)];
    let theirs = [noise(0x1805, 3), noise(0x77, 4), noise(0x2fff, 5)];
    let pack = pack(0x20_0000, &own);
    // All of them back to back, the pack at the start of a page.
    let pack_at = 0x2f_0000;
    let places = [pack_at - 0x1805 - 0x77, pack_at - 0x77, pack_at + pack.len() as u64];
    let beside = places.into_iter().zip(theirs.clone());
    let modules = core::iter::once((pack_at, pack)).chain(beside).collect();
    let (memory, info, places) = Built::with(8 * MIB, modules).start().unwrap();
    assert_eq!(info.nr_modules.get(), 5);
    for (place, content) in places.iter().zip(own.iter().chain(&theirs)) {
        assert!(memory.0[indices(*place)] == content[..], "{place}");
        let rest = PhysRange::new(place.end(), place.end().align_up(PAGE_SIZE).unwrap()).unwrap();
        assert!(memory.0[indices(rest)].iter().all(|byte| *byte == 0), "{place}");
    }
}

/// FreeBSD takes its memory from behind the highest of them: nothing is left between them, not even where the kernel's frames were.
#[test]
fn modules_of_no_linux_follow_page_by_page_behind_the_kernel() {
    let sizes = [0x1000, 0x1900, 0x1234, 1, 0xfff, 0x3001];
    for count in 1..=sizes.len() {
        for pack_at in [0x18_0000, 0x2f_0000, 0x50_0000] {
            let own: Vec<_> = sizes.iter().zip(1..).take(count).map(|(size, seed)| noise(*size, seed)).collect();
            let built = Built::with(8 * MIB, vec![(pack_at, pack(0x10_0000, &own))]);
            let (memory, info, places) = built.start().unwrap();
            assert_eq!(info.nr_modules.get() as usize, count);
            // The kernel ends at 2 MiB, and what it is handed is there.
            let mut at = Phys(0x20_0000 + START_INFO_LEN);
            assert_eq!(info.memmap_paddr.get() / 0x1_0000, 0x20);
            for (place, content) in places.iter().zip(&own) {
                assert_eq!(place.start(), at, "{count} from {pack_at:#x}");
                assert!(memory.0[indices(*place)] == content[..], "{place}");
                at = place.end().align_up(PAGE_SIZE).unwrap();
                let rest = PhysRange::new(place.end(), at).unwrap();
                assert!(memory.0[indices(rest)].iter().all(|byte| *byte == 0), "{place}");
            }
        }
    }
}

#[test]
fn a_pack_that_does_not_begin_with_a_page_is_refused() {
    let pack = pack(0x10_0000, &[noise(0x900, 1), noise(0x1234, 2)]);
    let error = Built::with(8 * MIB, vec![(0x40_0800, pack)]).start().err();
    assert_eq!(error, Some(Error::PackUnaligned { start: Phys(0x40_0800) }));
}

#[test]
fn a_version_that_is_not_known_is_not_claimed() {
    for (handed, written) in [(1, 1), (2, 1), (u32::MAX, 1)] {
        let built = Built::with(8 * MIB, vec![(0x40_0000, pack(0x10_0000, &[]))]);
        let info = Built { version: handed, ..built }.start().unwrap().1;
        assert_eq!(info.version.get(), written);
    }
}

#[test]
fn a_reserved_region_without_an_end_takes_ram_away() {
    let mut built = Built::with(8 * MIB, vec![]);
    built.memmap.push(region(4 * MIB, u64::MAX, 2));
    let mut handed = Handed::EMPTY;
    handed.read(built.machine().memory(), Phys(START_INFO), |_| false).unwrap();
    assert_eq!(handed.ram().unwrap().ranges().last(), Some(&range(MIB, 3 * MIB)));
}

/// QEMU's domains have less RAM than they are said to have, and a module of the builder's is in nobody's count.
#[test]
fn enough_memory_is_not_said_to_be_too_little() {
    let pack = pack(0x10_0000, &[]);
    let too_small = Built::with(2 * MIB, vec![(0x18_0000, pack.clone())]).start().err();
    let Some(Error::TooSmall { needed, .. }) = too_small else { panic!("{too_small:?}") };
    let top = needed - 0x2_1000;
    let filler = vec![1; usize::try_from(top - 0x20_0000).unwrap()];
    let mut built = Built::with(needed, vec![(0x18_0000, pack), (0x20_0000, filler)]);
    built.memmap[1] = region(MIB, top - MIB, 1);
    let error = built.start().err();
    assert!(matches!(error, Some(Error::Arrange(_))), "{error:?}");
}

/// A Linux would take a module of the builder's for its initrd if the pack has none.
#[test]
fn what_nobody_vouches_for_does_not_go_beside_a_measured_pack() {
    let loads = [Load { paddr: 0x10_0000, filesz: FILESZ, memsz: 0x10_0000 }];
    let pack = measured(&elf(&loads), Codec::None, vec![]);
    let beside = (0x60_0000, noise(0x1000, 1));
    let error = Built::with(8 * MIB, vec![(0x40_0000, pack), beside]).start().err();
    assert_eq!(error, Some(Error::ModulesBeside { found: 1 }));
}

/// The kernel goes where the pack is: the log is written where the room has moved to.
#[test]
fn the_log_of_measurements_is_the_last_module_and_a_page_of_its_own() {
    let loads = [Load { paddr: 0x10_0000, filesz: FILESZ, memsz: 0x20_0000 }];
    let own = EncodedModule { name: "m".into(), content: noise(0x1234, 2) };
    let pack = measured(&elf(&loads), Codec::None, vec![own]);
    let (memory, info, places) = Built::with(8 * MIB, vec![(0x2f_0000, pack)]).start().unwrap();
    assert_eq!(info.nr_modules.get(), 2);
    assert!(memory.0[indices(places[0])] == noise(0x1234, 2)[..]);
    let text = str::from_utf8(&memory.0[indices(places[1])]).unwrap();
    let digest = Hex(&measure::stage0(FILE)).to_string();
    assert!(text.starts_with(&format!("mstrap measurements 1\nstage0 {digest}\nmanifest ")), "{text}");
    assert!(text.lines().last().unwrap().starts_with("chain "), "{text}");
    assert!(places[1].start().is_aligned(PAGE_SIZE));
}
