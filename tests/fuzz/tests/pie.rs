//! Static PIEs, from the file to the kernel's memory: packed, looked at, and loaded in a domain that watches every write.
#![allow(clippy::expect_used, clippy::panic, reason = "a step that fails is a test that fails")]

use fastrand::Rng;
use fuzz::domain::{IMAGE, LEN, Still, Watched};
use harness::pie::{Form, Pie};
use pack::build::Request;
use pack::reading::{Reading, Refusal};
use shared::cmdline;
use shared::format::{Codec, EncodedFrame, EncodedKernel, MAX_MANIFEST_LEN, PackContent};
use shared::kernel::{Decisions, Entry, Kernel, PIECE_LEN, Protocol, SliceFile, Source};
use shared::memory::{Builder, MIB, Phys, PhysRange, Virt};
use shared::trust::TrustSlot;
use shared::xen::{HvmMemmapEntry, HvmModlistEntry, HvmStartInfo, START_INFO_MAGIC};
use stage0::boot::{Domain, load};
use stage0::error::Error;
use stage0::load::Meter;
use stage0::platform::handed::Handed;
use zerocopy::IntoBytes;

/// The two classes, in all forms.
const KINDS: [(bool, Form); 6] = [
    (true, Form::Rela),
    (true, Form::Rel),
    (true, Form::Relr),
    (false, Form::Rela),
    (false, Form::Rel),
    (false, Form::Relr),
];

const INFO: u64 = 0x6000;
const MODULES: u64 = 0x6100;
const MEMMAP: u64 = 0x7000;
const PACK: u64 = 30 * MIB;

fn pack(elf: &[u8], decisions: Decisions) -> Vec<u8> {
    let mut request = Request::new("kernel", elf.to_vec());
    request.decisions = decisions;
    request.settings.level = 1;
    request.build(&|_| ()).map_err(|error| error.to_string()).expect("a pack").pack
}

/// Starts stage0 with a pack in a domain whose RAM is what `ram` says. Gives what `look` makes of the machine.
fn boot<T>(pack: &[u8], ram: &[(u64, u64)], look: impl FnOnce(&Watched, Entry) -> T) -> Result<T, Error> {
    let mut machine = Watched { guest: Default::default(), ram: Default::default(), arranged: false };
    let region = |(start, end): &(u64, u64)| HvmMemmapEntry {
        addr: (*start).into(),
        size: (end - start).into(),
        kind: 1.into(),
        reserved: 0.into(),
    };
    let memmap: Vec<HvmMemmapEntry> = ram.iter().map(region).collect();
    let module = HvmModlistEntry { paddr: PACK.into(), size: (pack.len() as u64).into(), ..Default::default() };
    let info = HvmStartInfo {
        magic: START_INFO_MAGIC.into(),
        version: 1.into(),
        nr_modules: 1.into(),
        modlist_paddr: MODULES.into(),
        memmap_paddr: MEMMAP.into(),
        memmap_entries: (memmap.len() as u32).into(),
        ..Default::default()
    };
    for (at, bytes) in
        [(INFO, info.as_bytes()), (MODULES, module.as_bytes()), (MEMMAP, memmap.as_bytes()), (PACK, pack)]
    {
        assert!(machine.guest.put(at, bytes));
    }
    let mut handed = Handed::EMPTY;
    handed.read(&machine.guest, Phys(INFO), |_| false).expect("what was handed over");
    machine.ram = handed.ram().expect("a map");
    let (trust, mut log) = (TrustSlot::EMPTY, String::new());
    let mut domain = Domain {
        handed: &handed,
        options: cmdline::options("").expect("no options"),
        trust: &trust,
        file: b"stage0",
        ram: machine.ram.clone(),
        image: PhysRange::sized(Phys(IMAGE.0), IMAGE.1).expect("a range"),
        builder: Builder::Qemu,
        pv: None,
        gib_pages: false,
        log: &mut log,
    };
    let mut copy = [0; MAX_MANIFEST_LEN as usize];
    let loaded = load(&mut machine, &mut domain, &mut copy, &mut Meter::new(Still, |_| ()))?;
    Ok(look(&machine, loaded.plan.entry))
}

/// Packs it, starts it where `ram` is, and finds it at `place`, relocated to the addresses from `base` above it on.
fn lies(pie: &Pie, ram: &[(u64, u64)], place: u64, base: Option<u64>) {
    let decisions = Decisions { virt_base: base.map(Virt), ..Decisions::default() };
    let (offset, bias) = (place.wrapping_sub(pie.low), base.unwrap_or(0).wrapping_add(place).wrapping_sub(pie.low));
    let entry = pie.segments[0].0.wrapping_add(bias);
    let wrong = boot(&pack(&pie.elf, decisions), ram, |machine, found| {
        assert_eq!(found, Entry::Virtual(Virt(entry)));
        pie.memory(bias).into_iter().find(|(at, bytes)| {
            let range = PhysRange::sized(Phys(at.wrapping_add(offset)), bytes.len() as u64).expect("a range");
            machine.guest.read(range) != Some(bytes)
        })
    });
    let wrong = wrong.map_err(|error| error.to_string()).expect("a kernel that is started").map(|(at, _)| at);
    assert_eq!(wrong, None, "{:?} of {} bytes, {} relocations", pie.form, pie.word, pie.relocations.len());
}

#[test]
fn pies_are_relocated() {
    let mut rng = Rng::with_seed(13);
    for (is_64, form) in KINDS {
        for count in [0, 1, 2, 3, 7, 20, 64, 130, 500, 1000, 1500, 2000] {
            let pie = Pie::generate(&mut rng, is_64, form, count);
            lies(&pie, &[(0, 0x9f000), (MIB, LEN)], pie.align, None);
        }
    }
}

/// The first multiple of its alignment at which the pages of all segments are RAM.
fn first_place(pie: &Pie, ram: &[(u64, u64)]) -> u64 {
    let is_ram = |start: u64, end: u64| ram.iter().any(|(from, to)| *from <= start & !0xfff && end <= *to);
    let mut places = (1..).map(|n| n * pie.align);
    let fits = |place: &u64| {
        let offset = place.wrapping_sub(pie.low);
        pie.segments.iter().all(|(at, _, len)| is_ram(at.wrapping_add(offset), at.wrapping_add(offset) + len))
    };
    places.find(fits).expect("a place")
}

/// Where its lowest place is not RAM it goes up by what it is aligned to.
#[test]
fn a_pie_goes_to_the_lowest_place_that_is_free() {
    let mut rng = Rng::with_seed(14);
    let mut moved = 0;
    for (is_64, form) in KINDS {
        for _ in 0..10 {
            let pie = Pie::generate(&mut rng, is_64, form, 50);
            let hole = (2 * MIB - 0x1000, 3 * MIB + rng.u64(0..0x500) * 0x1000);
            let ram = [(0, 0x9f000), (MIB, hole.0), (hole.1, LEN)];
            let place = first_place(&pie, &ram);
            moved += u32::from(place > pie.align);
            lies(&pie, &ram, place, None);
        }
    }
    assert!(moved >= 10, "{moved}");
}

#[test]
fn a_pie_is_mapped_where_a_person_wants_it() {
    let mut rng = Rng::with_seed(15);
    for (is_64, form) in KINDS {
        for n in 0..10 {
            let pie = Pie::generate(&mut rng, is_64, form, 30);
            let high = if is_64 { 0xffff_ffff_8000_0000 } else { 0xc000_0000 };
            let base = [high, high + 0x400_0000, 0x4000_0000, 0x800_0000, 0][n % 5];
            lies(&pie, &[(0, 0x9f000), (MIB, LEN)], pie.align, Some(base));
        }
    }
    let pie = Pie::generate(&mut rng, true, Form::Rela, 3);
    for base in [1, 0x1000, 0x10_0000, pie.align / 2] {
        let decisions = Decisions { virt_base: Some(Virt(base)), ..Decisions::default() };
        let refusal = Reading::of(&pie.elf, &decisions).expect_err("a base that is not aligned").to_string();
        let expected = format!("kernel: virtual base {} of a static PIE, expected a multiple of ", Virt(base));
        assert!(refusal.starts_with(&expected), "{refusal}");
    }
}

/// Tables longer than what is decoded at once, whose frames are cut there.
#[test]
fn long_tables_are_read_piece_by_piece() {
    let mut rng = Rng::with_seed(16);
    for (is_64, form) in [(true, Form::Rela), (false, Form::Rela), (true, Form::Rel)] {
        let pie = Pie::generate(&mut rng, is_64, form, 60_000);
        assert!(pie.table.len() as u64 > PIECE_LEN, "{}", pie.table.len());
        lies(&pie, &[(0, 0x9f000), (MIB, LEN)], pie.align, None);
    }
}

/// Says no, on the host and in the guest, in the same words.
fn refused(pie: &Pie, expected: &str) {
    let direct = Decisions { protocol: Some(Protocol::Direct), ..Decisions::default() };
    let refusal = match Reading::of(&pie.elf, &direct) {
        Err(Refusal::Relocation { why }) => why,
        other => panic!("{expected}: {:?}", other.map(|_| "taken").map_err(|refusal| refusal.to_string())),
    };
    assert!(refusal.to_string().starts_with(expected), "{refusal}, expected {expected}");
    // A pack that another program made: of a whole kernel, with what is wrong put in afterwards.
    let made = packed_elsewhere(&pie.elf, direct);
    let error = boot(&made, &[(0, 0x9f000), (MIB, LEN)], |_, _| ()).expect_err("a kernel that is refused");
    assert_eq!(error.to_string(), refusal.to_string());
}

/// A pack of a kernel that `pack` refuses.
fn packed_elsewhere(elf: &[u8], decisions: Decisions) -> Vec<u8> {
    let cuts = Kernel::cuts(&mut SliceFile(elf)).expect("a kernel");
    let mut ends: Vec<usize> = cuts.iter().flat_map(|range| [range.offset() as usize, range.end() as usize]).collect();
    ends.extend([0, elf.len()]);
    ends.sort_unstable();
    ends.dedup();
    let pieces = ends.windows(2).map(|pair| &elf[pair[0]..pair[1]]);
    let frames = pieces.map(|piece| EncodedFrame {
        content_len: piece.len() as u32,
        codec: Codec::Lz4,
        stored: lz4_flex::block::compress(piece),
    });
    let kernel = EncodedKernel { name: "kernel".into(), sha256: [0; 32], frames: frames.collect() };
    let (modules, allowed) = (Vec::new(), Vec::new());
    let content = PackContent { kernel, cmdline: None, modules, decisions, locked: false, measured: false, allowed };
    content.encode().expect("a pack")
}

/// Changes ten PIEs of each kind, each of which is then refused.
fn each(seed: u64, forms: &[Form], change: impl Fn(&mut Rng, &mut Pie) -> String) {
    let mut rng = Rng::with_seed(seed);
    for (is_64, form) in KINDS.into_iter().filter(|(_, form)| forms.contains(form)) {
        for _ in 0..10 {
            let mut pie = Pie::generate(&mut rng, is_64, form, 40);
            let expected = change(&mut rng, &mut pie);
            refused(&pie, &expected);
        }
    }
}

fn put(pie: &mut Pie, at: usize, number: u64) {
    let word = pie.word;
    pie.number_mut(at).copy_from_slice(&number.to_le_bytes()[..word]);
}

/// Where an entry of the table is in the file, any.
fn entry(rng: &mut Rng, pie: &Pie) -> usize {
    let len = pie.word * if pie.form == Form::Rela { 3 } else { 2 };
    pie.table.start + rng.usize(0..pie.table.len() / len) * len
}

#[test]
fn other_relocations_are_refused_by_name() {
    const X86_64: [(u64, &str); 10] = [
        (1, "R_X86_64_64"),
        (5, "R_X86_64_COPY"),
        (6, "R_X86_64_GLOB_DAT"),
        (7, "R_X86_64_JUMP_SLOT"),
        (10, "R_X86_64_32"),
        (16, "R_X86_64_DTPMOD64"),
        (18, "R_X86_64_TPOFF64"),
        (36, "R_X86_64_TLSDESC"),
        (37, "R_X86_64_IRELATIVE"),
        (200, "of type 200"),
    ];
    const I386: [(u64, &str); 8] = [
        (1, "R_386_32"),
        (2, "R_386_PC32"),
        (5, "R_386_COPY"),
        (6, "R_386_GLOB_DAT"),
        (7, "R_386_JMP_SLOT"),
        (14, "R_386_TLS_TPOFF"),
        (42, "R_386_IRELATIVE"),
        (99, "of type 99"),
    ];
    each(20, &[Form::Rela, Form::Rel], |rng, pie| {
        let names: &[_] = if pie.word == 8 { &X86_64 } else { &I386 };
        let (kind, name) = names[rng.usize(0..names.len())];
        let at = entry(rng, pie);
        let target = pie.segments[2].0 + 1;
        put(pie, at, target);
        // With the number of a symbol.
        let word = pie.word;
        let symbol = rng.u64(0..1000) << if word == 8 { 32 } else { 8 };
        put(pie, at + word, kind | symbol);
        format!("kernel: relocation {name} at {target:#x}, expected relative ones alone")
    });
}

#[test]
fn targets_outside_are_refused() {
    each(21, &[Form::Rela, Form::Rel, Form::Relr], |rng, pie| {
        let (start, _, len) = pie.segments[2].clone();
        let (first, word) = (pie.segments[0].0, pie.word as u64);
        let aligned = |number: u64| number & !(word - 1);
        let target = match rng.u8(..4) {
            0 => aligned(start + len - word) + word,
            1 => aligned(start + len + 0x10_0000),
            2 => aligned(first).wrapping_sub(word),
            _ => aligned((first - first % 0x1000).wrapping_add(0xf_f000_0000)),
        };
        let target = if word == 4 { target & 0xffff_ffff } else { target };
        if pie.form == Form::Relr {
            let at = pie.table.start;
            put(pie, at, target);
            // Behind it there is no bitmap.
            (1..pie.table.len() / pie.word).for_each(|n| put(pie, at + n * word as usize, target));
        } else {
            let at = entry(rng, pie);
            put(pie, at, target);
            put(pie, at + word as usize, 8);
        }
        format!("kernel: relocation at {target:#x}, expected it in a segment")
    });
}

#[test]
fn chains_that_are_not_aligned_or_have_no_start_are_refused() {
    each(22, &[Form::Relr], |rng, pie| {
        let start = pie.segments[2].0;
        let entry = [start + 2, start + 4 - start % 4 + 2, 1, 3, 0x8000_0001][rng.usize(..5)];
        let at = pie.table.start;
        put(pie, at, entry);
        format!("kernel: DT_RELR: entry {entry:#x}, expected an aligned address")
    });
}

/// Bitmaps say more than their own length of memory.
#[test]
fn as_many_as_there_are_numbers_of_4_bytes_and_no_more() {
    let mut rng = Rng::with_seed(23);
    for is_64 in [true, false] {
        for n in 0..10 {
            let mut pie = Pie::generate(&mut rng, is_64, Form::Relr, 3000 + n * 10);
            let bytes: u64 = pie.segments.iter().map(|segment| segment.2).sum();
            let (word, first) = (pie.word as u64, pie.relocations[0].0);
            let whole = if word == 8 { u64::MAX } else { 0xffff_ffff };
            // Once more with each pair: an address, and all bits.
            let (each, most) = (8 * word, bytes / 4);
            let pairs = (most / each) as usize;
            let rest = most % each;
            let mut entries: Vec<u64> = (0..pairs).flat_map(|_| [first, whole]).collect();
            entries.extend((0..rest).map(|_| first));
            // In the data, which they change themselves.
            let table = pie.dynamic.end;
            assert!(table + entries.len() * pie.word < pie.segments[2].1.end);
            for (n, entry) in entries.iter().enumerate() {
                let at = table + n * pie.word;
                put(&mut pie, at, *entry);
            }
            let address = pie.segments[2].0 + pie.dynamic.len() as u64;
            pie.set(0, address);
            pie.set(1, (entries.len() * pie.word) as u64);
            let direct = Decisions { protocol: Some(Protocol::Direct), ..Decisions::default() };
            Reading::of(&pie.elf, &direct).map_err(|refusal| refusal.to_string()).expect("as many as there may be");
            let at = table + entries.len() * pie.word;
            put(&mut pie, at, first);
            pie.set(1, ((entries.len() + 1) * pie.word) as u64);
            refused(&pie, &format!("kernel: more than {most} relocations, expected one for 4 bytes at most"));
        }
    }
}

#[test]
fn tables_that_lie_are_refused() {
    const NAMES: [(Form, &str); 3] = [(Form::Rela, "DT_RELA"), (Form::Rel, "DT_REL"), (Form::Relr, "DT_RELR")];
    each(24, &[Form::Rela, Form::Rel, Form::Relr], |rng, pie| {
        let name = NAMES.iter().find(|name| name.0 == pie.form).expect("a name").1;
        let (at, len) = (pie.segments[1].0, pie.table.len() as u64);
        let (end, step) = (pie.segments[2].0 + pie.segments[2].2, pie.word as u64 * 6);
        let (address, len) = match rng.u8(..6) {
            0 => (at, len + 1),
            1 => (at, len + step),
            2 => (at + step, len),
            3 => (end + 0x10_0000, step),
            4 => (at, if pie.word == 8 { u64::MAX / step * step } else { 0xffff_ffff / step * step }),
            // Zeros behind what is in the file.
            _ => (pie.segments[2].0 + pie.segments[2].1.len() as u64 - 1, step),
        };
        pie.set(0, address);
        pie.set(1, len);
        format!("kernel: {name}: {len:#x} bytes at {address:#x}, expected whole entries in one segment of the file")
    });
    each(25, &[Form::Rela, Form::Rel, Form::Relr], |rng, pie| {
        let name = NAMES.iter().find(|name| name.0 == pie.form).expect("a name").1;
        let found = [0, 1, 5, 32, 0x7fff_ffff][rng.usize(..5)];
        pie.set(2, found);
        format!("kernel: {name}: entries of {found} bytes, expected ")
    });
    each(26, &[Form::Rela, Form::Relr], |rng, pie| {
        pie.elf.resize(0x3_0000.max(pie.elf.len()), 0);
        let (whole, word, at) = (pie.elf.len() as u64, pie.word, pie.dynamic_header);
        let far = if word == 8 { u64::MAX - 3 } else { 0xffff_fff0 };
        let (offset, len) = [(whole - 8, 16), (whole + 1, 16), (0, 0x1_0010), (far, 0x100)][rng.usize(..4)];
        let (offset_at, len_at) = if word == 8 { (8, 32) } else { (4, 16) };
        put(pie, at + offset_at, offset);
        put(pie, at + len_at, len);
        format!("kernel: dynamic table of {len:#x} bytes at {offset:#x}: not in the file, or longer than 0x10000")
    });
}

/// A file of type DYN that has an entry for PVH is loaded as Xen loads it: nothing is relocated, and that is said.
#[test]
fn by_other_protocols_nothing_is_relocated() {
    let mut rng = Rng::with_seed(27);
    let mut taken = 0;
    for (is_64, form) in KINDS.into_iter().cycle().take(60) {
        let pie = Pie::generate(&mut rng, is_64, form, 40);
        let mut kernel = Kernel::read(&mut SliceFile(&pie.elf)).expect("a kernel");
        kernel.xen.source = Source::Segments;
        kernel.xen.phys32_entry = Some(pie.segments[0].0);
        // What lies beyond 32 bits has no such entry.
        let Ok(plan) = kernel.plan(Protocol::Pvh, &Decisions::default()) else { continue };
        let places = plan.placements.iter().map(|placement| placement.memory.start().0);
        assert!(places.eq(pie.segments.iter().map(|segment| segment.0)) && plan.pie.is_none());
        let warnings = pack::explain::explain(&kernel, &Decisions::default(), &plan).warnings;
        let warning = "it is a static PIE (type DYN), and PVH applies no relocation: it must do that itself";
        assert!(warnings.iter().any(|found| found == warning), "{warnings:?}");
        taken += 1;
    }
    assert!(taken >= 10, "{taken}");
}
