//! Each message of the catalogue can be provoked: by the targets here and inputs that are changed as a fuzzer changes them, or
//! by a test elsewhere that expects it.
#![allow(clippy::expect_used, clippy::panic, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use ::stage0::handover::{PvhHandover, write_start_info};
use ::stage0::platform::handed::Handed;
use fuzz::changes::Change;
use fuzz::{TARGETS, builder, kernel, said, seal};
use harness::corpus::{Description, Load, Notes, Place, add_note, exceptional, generate};
use harness::errors::expected::Expected;
use harness::errors::{self, Message};
use harness::pie::{Form, Pie};
use pack::build::{Module, Request};
use pack::check::check;
use pack::domain::{Domain, Kind};
use pack::image::Image;
use pack::key::PrivateKey;
use pack::reading::{Reading, Refusal};
use pack::stage0;
use pack::xl::DomainFile;
use shared::cmdline;
use shared::format::{Codec, EncodedFrame, EncodedKernel, MAX_FRAME_LEN, Manifest, PackContent, put_signature};
use shared::kernel::notes::kind;
use shared::kernel::{Decisions, Mapping};
use shared::memory::{
    Builder, Claims, Found, Holder, Low, Phys, PhysRange, Ram, Region, RegionKind, Room, Started, Virt, Wanted,
    arrange, memory_need,
};
use shared::trust::TrustSlot;
use shared::xen::{HvmStartInfo, START_INFO_MAGIC};
use zerocopy::IntoBytes;

/// Changed inputs of each target.
const CASES: usize = 6000;

/// Messages that no test brings about, and why.
const NEVER: [(&str, &str); 4] = [
    ("in place::bug-stage-panic", "a panic would be a bug, and none is known"),
    ("ReadError::View", "files give what is asked of them: it keeps the reader from relying on that"),
    ("ReadError::Header", "what the guard lets through, xmas-elf takes: it keeps the reader from relying on that"),
    ("CompressError::Compressor", "the compressors fail only without memory"),
];

/// What targets cannot get at, or only once in very many inputs.
fn directly() {
    let says = |message: &dyn std::fmt::Display| said::note(message);
    let (zero, page) = (Phys(0), PhysRange::sized(Phys(0), 4096).expect("a range"));
    PhysRange::new(Phys(2), Phys(1)).err().iter().for_each(|error| says(error));
    PhysRange::sized(Phys(u64::MAX), 2).err().iter().for_each(|error| says(error));
    let long = "x".repeat(5000);
    cmdline::merge("", &long, false, [].into_iter(), 100).err().iter().for_each(|error| says(error));
    cmdline::merge(&long, "", false, [].into_iter(), 100).err().iter().for_each(|error| says(error));
    let (most, one) = (cmdline::MAX_BUILDER_LEN, [].into_iter());
    cmdline::merge("a b", &long[..most], false, one, 100).err().iter().for_each(|error| says(error));
    cmdline::check_pack(&long).err().iter().for_each(|error| says(error));

    // A builder that gives too much.
    let mut memory = builder::Bytes(vec![b'x'; 0x8000]);
    let info = HvmStartInfo { magic: START_INFO_MAGIC.into(), cmdline_paddr: 0x1000.into(), ..Default::default() };
    memory.0[..info.as_bytes().len()].copy_from_slice(info.as_bytes());
    let mut handed = Handed::EMPTY;
    handed.read(&memory, zero, |_| false).err().iter().for_each(|error| says(error));
    handed.read(&memory, zero, |_| true).err().iter().for_each(|error| says(error));
    let handover = PvhHandover {
        handed: &handed,
        modules: [].into_iter(),
        cmdline: &long,
        rsdp: zero,
        reserved: PhysRange::EMPTY,
    };
    for block in [page, PhysRange::sized(Phys(1 << 40), 4096).expect("a range")] {
        write_start_info(&mut memory, block, &handover).err().iter().for_each(|error| says(error));
    }
    let holes = (0..200u64).map(|n| {
        let range = PhysRange::sized(Phys(n * 0x4000), 0x1000).expect("a range");
        Region { range, kind: RegionKind::Ram }
    });
    Ram::from_regions(holes).err().iter().for_each(|error| says(error));

    // Memory that is taken.
    let all = PhysRange::sized(zero, 64 << 20).expect("a range");
    let ram = Ram::from_regions([Region { range: all, kind: RegionKind::Ram }].into_iter()).expect("one region");
    let mut claims = Claims::default();
    for n in 0..200 {
        let range = PhysRange::sized(Phys(n * 4096), 4096).expect("a range");
        claims.claim(range, Holder::Pack).err().iter().for_each(|error| says(error));
    }
    claims.claim(page, Holder::Kernel).err().iter().for_each(|error| says(error));
    let kernel = |start: u64| [PhysRange::sized(Phys(start), 4096).expect("a range")];
    let (crowd, too_high, taken, no_ram) = ([page; 9], kernel(5 << 30), kernel(0), kernel(0xf000_0000));
    let found =
        Found { ram: &ram, stage0: all, pack: page, modules: &[], structures: PhysRange::EMPTY, rsdp: Some(page) };
    let (room, low) = (Room::PVH, Low::default());
    let wanted = Wanted { kernel: &too_high, relocation: None, scratch: 0, room, direct: None, low };
    arrange(&Found { modules: &crowd, ..found }, &wanted).err().iter().for_each(|error| says(error));
    arrange(&found, &wanted).err().iter().for_each(|error| says(error));
    arrange(&found, &Wanted { kernel: &taken, ..wanted }).err().iter().for_each(|error| says(error));
    let started = Started { stage0: page, pack_len: 4096 };
    let never = Wanted { kernel: &no_ram, ..wanted };
    memory_need(Builder::Xen, &started, &never).err().iter().for_each(|error| says(error));
    kernels();
}

/// Kernels with more of something than is taken.
fn kernels() {
    let one = || Description { loads: vec![kernel::load(0x10_0000)], ..Description::default() };
    let notes = |len: usize| Notes { place: Place::Segment, bytes: [4, 0, 0, 0].repeat(3).repeat(len), cut: 0 };
    let read = |description: Description| kernel::read(&description.elf(), &Decisions::default());
    read(Description { sections: vec!["a".into(); 2000], ..one() });
    read(Description { sections: vec!["a".repeat(1000); 100], guest: Some(b"x".to_vec()), ..one() });
    read(Description { notes: vec![notes(6000)], ..one() });
    read(Description { notes: vec![empty_notes(); 14], ..one() });
    let mut bytes = Vec::new();
    add_note(&mut bytes, b"Xen\0", kind::PHYS32_ENTRY, &[0, 0, 0x10, 0]);
    let pvh = vec![Notes { place: Place::Segment, bytes, cut: 0 }];
    let loads = vec![kernel::load(0x10_0000), kernel::load(0x10_0000), kernel::load(0x10_0000)];
    read(Description { loads, notes: pvh, ..one() });
    let mut bytes = Vec::new();
    let base = 0xffff_ffff_8000_0000_u64.to_le_bytes();
    let pv: [(u32, &[u8]); 3] =
        [(kind::GUEST_OS, b"linux\0"), (kind::XEN_VERSION, b"xen-3.0\0"), (kind::VIRT_BASE, &base)];
    pv.iter().for_each(|(kind, desc)| add_note(&mut bytes, b"Xen\0", *kind, desc));
    let notes = vec![Notes { place: Place::Segment, bytes, cut: 0 }];
    // The second where the first is mapped already.
    let second = Load { vaddr: 0xffff_ffff_8010_1000, ..kernel::load(0x20_0000) };
    let entry = 0xffff_ffff_8010_0000;
    let meeting = Description { loads: vec![kernel::load(0x10_0000), second], notes: notes.clone(), entry, ..one() };
    // Each in a place of its own.
    let apart =
        (0..40).map(|n| Load { vaddr: 0xffff_ffff_9000_0000 + (n << 21), ..kernel::load(0x10_0000 + (n << 16)) });
    let apart = Description { loads: apart.collect(), notes, entry, ..one() };
    for description in [&meeting, &apart] {
        kernel::read(&description.elf(), &Decisions { mapping: Mapping::Segments, ..Decisions::default() });
    }
    exceptional::all().iter().for_each(|case| kernel::read(&case.elf, &Decisions::default()));
    packs(&meeting.elf());
    pies();
    let mut rng = fastrand::Rng::with_seed(6);
    for _ in 0..3000 {
        kernel::read(&generate::kernel(&mut rng), &Decisions::default());
    }
}

/// Static PIEs, each with something wrong.
fn pies() {
    let note = |pie: &Pie, virt_base: u64| match Reading::of(
        &pie.elf,
        &Decisions { virt_base: Some(Virt(virt_base)), ..Decisions::default() },
    ) {
        Err(Refusal::Relocation { why }) => said::note(&why),
        Err(Refusal::Plan { why }) => said::note(&why),
        other => panic!("{:?}", other.map(|_| "taken").map_err(|refusal| refusal.to_string())),
    };
    let mut rng = fastrand::Rng::with_seed(6);
    let mut generate = |form| Pie::generate(&mut rng, true, form, 400);
    let changed = |mut pie: Pie, at: usize, number: u64| {
        pie.number_mut(at).copy_from_slice(&number.to_le_bytes());
        note(&pie, 0);
    };
    note(&generate(Form::Rela), 1);
    // The first segment's p_align, and where PT_DYNAMIC is.
    changed(generate(Form::Rela), 64 + 48, 3);
    let pie = generate(Form::Rela);
    let at = pie.dynamic_header + 8;
    changed(pie, at, u64::MAX);
    for (which, value) in [(0, 1 << 40), (2, 5)] {
        let mut pie = generate(Form::Rela);
        pie.set(which, value);
        note(&pie, 0);
    }
    for kind in [1, 1000] {
        let pie = generate(Form::Rela);
        let at = pie.table.start + 8;
        changed(pie, at, kind);
    }
    for entry in [1, 1 << 40] {
        let pie = generate(Form::Relr);
        let at = pie.table.start;
        changed(pie, at, entry);
    }
    let mut pie = generate(Form::Relr);
    let (first, all) = (pie.relocations[0].0, pie.segments.iter().map(|segment| segment.2).sum::<u64>() / 4 / 64);
    for (n, entry) in (0..=all as usize).flat_map(|_| [first, u64::MAX]).enumerate() {
        let at = pie.dynamic.end + n * 8;
        pie.number_mut(at).copy_from_slice(&entry.to_le_bytes());
    }
    let address = pie.segments[2].0 + pie.dynamic.len() as u64;
    pie.set(0, address);
    pie.set(1, (all + 1) * 16);
    note(&pie, 0);
}

/// What `pack` says of packs and domains.
fn packs(pv: &[u8]) {
    for modules in [0, 2] {
        let mut request = Request::new("kernel", pv.to_vec());
        request.modules = (0..modules).map(|_| Module { name: "m".into(), content: vec![1] }).collect();
        let built = request.build(&|_| ()).map_err(|error| error.to_string()).expect("a pack");
        let mut open = built.pack.clone();
        let mut named = open.clone();
        let name = named.windows(6).position(|bytes| bytes == b"kernel").expect("a name");
        named[name] = 0x1b;
        seal::manifest(&mut named);
        Image::parse(&named).err().iter().for_each(|error| said::note(error));
        PrivateKey::from_seed(&[1; 32]).sign(&mut open).err().iter().for_each(|error| said::note(error));
        put_signature(&mut open, [1; 32], [1; 64]).expect("a pack");
        let manifest = Manifest::parse(&open, u64::MAX).expect("a pack");
        TrustSlot::EMPTY.check(&manifest).err().iter().for_each(|error| said::note(error));
        let image = Image::parse(&built.pack).expect("a pack");
        let trust = TrustSlot::EMPTY;
        let domain = Domain { kind: Kind::Pv, builder: Builder::Xen, memory: None, cmdline: "", trust };
        for stage0 in [stage0::EMBEDDED, pv, &[]] {
            check(&image, stage0, &domain).err().iter().for_each(|error| said::note(error));
        }
    }
    let frame = || EncodedFrame { content_len: MAX_FRAME_LEN, codec: Codec::Lz4, stored: vec![0] };
    let kernel = EncodedKernel { name: "k".into(), sha256: [0; 32], frames: (0..600).map(|_| frame()).collect() };
    let (decisions, modules, allowed) = (Decisions::default(), vec![], vec![]);
    let large = PackContent { kernel, cmdline: None, modules, decisions, locked: false, measured: false, allowed };
    let large = large.encode().expect("a pack");
    Image::parse(&large).expect("a pack").kernel().err().iter().for_each(|error| said::note(error));
    stage0::trust(&mut [0; 300], &TrustSlot::EMPTY).err().iter().for_each(|error| said::note(error));
    let path = OsStr::from_bytes(b"/\xff");
    DomainFile::new("a", Kind::Pvh, path, 64).text().err().iter().for_each(|error| said::note(error));
}

/// As many notes as one view has, of no name and no content.
fn empty_notes() -> Notes {
    Notes { place: Place::Segment, bytes: [0; 12].repeat(5400), cut: 0 }
}

fn provoked() -> BTreeSet<String> {
    let mut all = said::listen(directly);
    for target in TARGETS {
        let seeds = (target.seeds)();
        let mut rng = fastrand::Rng::with_seed(6);
        let cases = if target.name == "load" || target.name == "format" { CASES / 3 } else { CASES };
        all.extend(said::listen(|| {
            for n in 0..cases {
                let mut input = seeds[n % seeds.len()].clone();
                for _ in 0..rng.usize(1..4) {
                    let at = if rng.bool() { rng.u32(..) } else { rng.u32(..700) };
                    let change = match rng.u8(..6) {
                        0 => Change::Set(at, rng.u8(..)),
                        1 => Change::Flip(at, rng.u8(..)),
                        2 | 3 => Change::Number(at, rng.u8(..)),
                        4 => Change::Copy(rng.u32(..), at, rng.u8(..)),
                        _ => Change::Cut(rng.u32(..)),
                    };
                    change.make(&mut input);
                }
                (target.run)(&input);
            }
        }));
    }
    all
}

#[test]
fn each_message_can_be_provoked() {
    let said = provoked();
    let expected = Expected::read().expect("the source");
    let messages: Vec<Message> =
        errors::messages().expect("the source").into_iter().flat_map(|(_, messages)| messages).collect();
    let found = |message: &Message| said.iter().any(|text| message.template.matches(text)) || expected.has(message);
    let never = |name: &str| NEVER.iter().any(|(never, _)| *never == name);
    let missing: Vec<String> =
        messages.iter().filter(|message| !found(message)).map(Message::name).filter(|name| !never(name)).collect();
    assert!(missing.is_empty(), "{} of {} are provoked by nothing: {missing:?}", missing.len(), messages.len());
}
