//! What a PVH builder hands over: start_info, module list, memory map, command lines, at any addresses and overlapping at will.

use shared::cmdline;
use shared::memory::{MAX_MODULES, MAX_REGIONS, PAGE_SIZE, Phys, PhysRange, Ram};
use shared::xen::{HvmMemmapEntry, HvmModlistEntry, HvmStartInfo, START_INFO_MAGIC};
use stage0::handover::{Module, PvhHandover, write_start_info};
use stage0::load::Memory;
use stage0::platform::handed::{Handed, Memmap};
use zerocopy::IntoBytes;

use crate::said;

/// Memory of the input's bytes, from 0 on, then a block for what is written.
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    fn place(&self, range: PhysRange) -> Option<std::ops::Range<usize>> {
        let place = usize::try_from(range.start().0).ok()?..usize::try_from(range.end().0).ok()?;
        (place.end <= self.0.len()).then_some(place)
    }
}

impl Memory for Bytes {
    fn bytes(&self, range: PhysRange) -> Option<&[u8]> {
        self.0.get(self.place(range)?)
    }

    fn bytes_mut(&mut self, range: PhysRange) -> Option<&mut [u8]> {
        let place = self.place(range)?;
        self.0.get_mut(place)
    }

    fn pair(&mut self, _from: PhysRange, _to: PhysRange) -> Option<(&[u8], &mut [u8])> {
        None
    }

    fn relocate(&mut self, _from: PhysRange, _to: Phys) -> Option<()> {
        None
    }
}

/// Where start_info is (a byte, in steps of 16), then memory.
pub fn run(data: &[u8]) {
    let Some((at, memory)) = data.split_first() else { return };
    let mut memory = Bytes(memory.to_vec());
    memory.0.resize(memory.0.len().max(PAGE_SIZE as usize), 0);
    let mut handed = Handed::EMPTY;
    let some = [HvmMemmapEntry { size: (1 << 30).into(), kind: 1.into(), ..Default::default() }];
    let ask = |memmap: &mut Memmap| memmap.extend_from_slice(&some).is_ok();
    if let Err(error) = handed.read(&memory, Phys(u64::from(*at) * 16), ask) {
        return said::note(&error);
    }
    assert!(handed.modules.len() <= MAX_MODULES + 1 && handed.memmap.len() <= MAX_REGIONS);
    match handed.ram() {
        Ok(ram) => check(&ram, &handed.memmap),
        Err(error) => said::note(&error),
    }
    if let Err(error) = cmdline::options(&handed.cmdline) {
        said::note(&error);
    }
    let merged = cmdline::merge("own", &handed.cmdline, false, ["a*"].into_iter(), cmdline::MAX_LEN);
    let Ok(merged) = merged else { return };
    assert!(cmdline::words(&merged).all(|word| !word.starts_with(cmdline::PREFIX)), "{merged}");

    // What stage0 writes for a kernel reads back.
    let start = Phys((memory.0.len() as u64).next_multiple_of(PAGE_SIZE));
    let block = PhysRange::sized(start, shared::memory::START_INFO_LEN).expect("a range");
    memory.0.resize(block.end().0 as usize, 0xa5);
    let given = handed.modules.iter().filter(|module| module.range.end() <= start);
    let given: Vec<Module<'_>> =
        given.map(|module| Module { range: module.range, cmdline: module.cmdline.as_deref() }).collect();
    let handover = PvhHandover {
        handed: &handed,
        modules: given.iter().copied(),
        cmdline: &merged,
        rsdp: handed.rsdp,
        reserved: PhysRange::EMPTY,
    };
    if write_start_info(&mut memory, block, &handover).is_err() || merged.len() > cmdline::MAX_BUILDER_LEN {
        return;
    }
    let mut again = Handed::EMPTY;
    again.read(&memory, block.start(), ask).expect("what was written");
    assert_eq!((again.flags, again.rsdp), (handed.flags, handed.rsdp));
    assert_eq!(again.cmdline.as_str(), merged.as_str());
    if again.memmap_handed {
        assert_eq!(again.memmap.as_bytes(), handed.memmap.as_bytes());
    }
    let of = |module: &stage0::platform::handed::HandedModule| (module.range, module.cmdline.clone());
    let expected = given.iter().map(|module| (module.range, module.cmdline.map(|text| text.to_vec())));
    assert!(again.modules.iter().map(of).map(|(range, text)| (range, text.map(|text| text.to_vec()))).eq(expected));
}

/// Whole pages, sorted, apart; RAM by the map's own word, and nothing that a region of another kind holds.
fn check(ram: &Ram, memmap: &Memmap) {
    let mut end = None;
    for range in ram.ranges() {
        assert!(range.start().is_aligned(PAGE_SIZE) && range.end().is_aligned(PAGE_SIZE) && !range.is_empty());
        assert!(end.is_none_or(|end| range.start() > end), "{ram:?}");
        end = Some(range.end());
        for entry in memmap.iter().filter(|entry| entry.kind.get() != 1) {
            let start = entry.addr.get();
            let Ok(other) = PhysRange::new(Phys(start), Phys(start.saturating_add(entry.size.get()))) else { continue };
            assert!(!range.overlaps(&other), "{range} and {other}");
        }
    }
    assert!(ram.total() <= u64::MAX - PAGE_SIZE + 1);
}

/// What QEMU and libxl hand over.
pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |version: u32, modules: u32, regions: u32, text: &[u8]| {
        let mut memory = vec![0u8; 0x800];
        let mut put = |at: usize, bytes: &[u8]| memory[at..][..bytes.len()].copy_from_slice(bytes);
        let info = HvmStartInfo {
            magic: START_INFO_MAGIC.into(),
            version: version.into(),
            nr_modules: modules.into(),
            modlist_paddr: 0x100.into(),
            cmdline_paddr: 0x600.into(),
            rsdp_paddr: 0xf_5000.into(),
            memmap_paddr: 0x200.into(),
            memmap_entries: regions.into(),
            ..Default::default()
        };
        put(0, info.as_bytes());
        for n in 0..modules.min(8) {
            let entry = HvmModlistEntry {
                paddr: (0x700 + u64::from(n)).into(),
                size: 5.into(),
                cmdline_paddr: if n % 2 == 0 { 0.into() } else { 0x604.into() },
                ..Default::default()
            };
            put(0x100 + n as usize * 32, entry.as_bytes());
        }
        for n in 0..regions.min(16) {
            let entry = HvmMemmapEntry {
                addr: (u64::from(n) << 20).into(),
                size: 0x9_fc00.into(),
                kind: (1 + n % 2).into(),
                ..Default::default()
            };
            put(0x200 + n as usize * 24, entry.as_bytes());
        }
        put(0x600, text);
        [&[0], &memory[..]].concat()
    };
    vec![
        seed(1, 1, 4, b"console=ttyS0 quiet\0"),
        seed(0, 2, 0, b"stage0.quiet a=\"b c\"\0"),
        seed(1, 8, 16, b"\0"),
        seed(2, 9, 3, b"stage0.timing\0"),
        seed(1, 0, 128, b"x\0"),
    ]
}
