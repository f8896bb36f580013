//! All that stage0 does between its entry and the kernel's, in a domain that watches every write.
//!
//! The kernel is any file, the pack anything that a packer could make of it, the builder whoever likes. Either stage0 refuses,
//! or the kernel lies where its plan says, byte for byte, its modules are whole, and it is handed what it was promised,
//! the log of measurements, too, if the pack wants one. Where a key is trusted, all of that is what its owner signed.

use harness::agreement;
use pack::key::PrivateKey;
use sha2::{Digest, Sha256};
use shared::cmdline::{self, Options};
use shared::direct::Map;
use shared::format::{
    Codec, EncodedFrame, EncodedKernel, EncodedModule, Frame, MAX_FRAME_LEN, MAX_MANIFEST_LEN, Manifest, Member,
    PackContent,
};
use shared::kernel::{Class, Kernel, Placement, Plan, Protocol, SliceFile};
use shared::measure;
use shared::memory::{Builder, MIB, PAGE_SIZE, Phys, PhysRange, Ram, Virt, shifted};
use shared::pv::{PvBuilder, PvDomain};
use shared::trust::{PublicKey, TrustSlot};
use shared::xen::{HvmMemmapEntry, HvmModlistEntry, HvmStartInfo, START_INFO_MAGIC};
use stage0::boot::{Domain, Loaded, Pv, load};
use stage0::error::Error;
use stage0::handover::{Module, PvhHandover, write_block, write_start_info};
use stage0::load::Meter;
use stage0::platform::VIRT_BASE;
use stage0::platform::handed::Handed;
use zerocopy::IntoBytes;

use crate::domain::{IMAGE, LEN, Still, Watched};
use crate::input::Input;
use crate::{kernel, said, seal, seeds};

/// Bytes of decisions and the like that stand before the kernel file.
pub const HEAD: usize = 128;

const START_INFO: u64 = 0x6000;
const MODLIST: u64 = 0x6100;
const MEMMAP: u64 = 0x7000;
const CMDLINE: u64 = 0x8000;

/// What of stage0's file is loaded.
const FILE: &[u8] = b"stage0";
/// Bytes of a header of a cpio archive, and where a file's and a name's length are in it (cpio(5), "New ASCII Format").
const CPIO_HEADER: usize = 110;
const CPIO_FILESIZE: usize = 54;
const CPIO_NAMESIZE: usize = 94;

/// [`HEAD`] bytes that say what is done with it, then a kernel file.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut head = Input::new(input.bytes(HEAD));
    let elf = input.rest();
    let Some(pack) = pack(&mut head, elf) else { return };
    let Some(built) = Built::of(&mut head, pack) else { return };
    built.start();
}

/// A pack, and what its domain thinks of it.
struct Packed {
    bytes: Vec<u8>,
    /// Whether the domain's stage0 has a key in it.
    trust: bool,
    /// The pack as it was when that key's owner signed it.
    signed: Option<Vec<u8>>,
}

/// A pack of `elf`, cut, signed and damaged as the input says.
fn pack(head: &mut Input<'_>, elf: &[u8]) -> Option<Packed> {
    let (codec, cut, flags) = (head.u8(), head.u8(), head.u8());
    let codec = Codec::from_number(u32::from(codec % 3))?;
    let decisions = kernel::decisions(head);
    let mut ends: Vec<usize> = vec![0, elf.len()];
    match cut % 4 {
        1 => ends.extend((1..elf.len()).step_by(usize::from(cut) * 64 + 1)),
        2 => {}
        _ => {
            let cuts = Kernel::cuts(&mut SliceFile(elf)).ok()?;
            ends.extend(cuts.iter().flat_map(|range| [range.offset() as usize, range.end() as usize]));
        }
    }
    ends.sort_unstable();
    ends.dedup();
    let pieces = ends.windows(2).flat_map(|pair| elf[pair[0]..pair[1]].chunks(MAX_FRAME_LEN as usize));
    let frames = pieces.take(2000).map(|piece| frame(codec, piece)).collect::<Option<Vec<_>>>()?;
    let module = |n: u8| EncodedModule { name: "m".into(), content: vec![n; usize::from(flags) * 61 + 1] };
    let (count, seal) = (head.u8() % 4, head.u8());
    let content = PackContent {
        kernel: EncodedKernel { name: "kernel".into(), sha256: Sha256::digest(elf).into(), frames },
        cmdline: (flags & 1 != 0).then(|| if flags & 32 == 0 { "of the \"pack\" quiet" } else { "no\0text" }.into()),
        modules: (0..(flags >> 1) % 4).map(module).collect(),
        decisions,
        // As a signed one must be.
        locked: flags & 8 != 0 || seal & 8 != 0,
        measured: flags & 64 != 0,
        allowed: if flags & 16 == 0 { vec![] } else { vec!["a=*".into(), "b".into()] },
    };
    let mut pack = content.encode().ok()?;
    // Of a pack that cannot be read nothing is signed.
    let sign = |pack: &mut Vec<u8>| key().sign(pack).ok().map(|()| pack.clone());
    let mut signed = if seal & 8 != 0 { sign(&mut pack) } else { None };
    for _ in 0..4 {
        let (at, value) = (head.u32() as usize % pack.len(), head.u8());
        // Of the tables and the first frames, mostly.
        let at = if value & 1 == 0 { at % pack.len().min(2048) } else { at };
        if count != 0 {
            pack[at] ^= value;
        }
    }
    match seal % 4 {
        1 | 2 => seal::all(&mut pack),
        3 => seal::manifest(&mut pack),
        _ => {}
    }
    if seal & 16 != 0 {
        signed = sign(&mut pack).or(signed);
    }
    Some(Packed { bytes: pack, trust: seal & 4 != 0, signed })
}

/// The key that is trusted, if one is.
fn key() -> PrivateKey {
    PrivateKey::from_seed(&[1; 32])
}

fn frame(codec: Codec, piece: &[u8]) -> Option<EncodedFrame> {
    let stored = match codec {
        Codec::None => piece.to_vec(),
        Codec::Lz4 => lz4_flex::block::compress(piece),
        Codec::Zstd => seeds::zstd_frame(piece, 1),
    };
    Some(EncodedFrame { content_len: u32::try_from(piece.len()).ok()?, codec, stored })
}

/// What a builder did.
struct Built {
    pv: Option<PvDomain>,
    memmap: Vec<HvmMemmapEntry>,
    /// Address and bytes; the pack first.
    modules: Vec<(u64, Vec<u8>)>,
    cmdline: Vec<u8>,
    rsdp: u64,
    version: u32,
    /// Where the builder says that the pack is, if that is a lie.
    far: Option<u64>,
    trust: TrustSlot,
    /// The pack as it was signed.
    signed: Option<Vec<u8>>,
}

fn region(start: u64, len: u64, kind: u32) -> HvmMemmapEntry {
    HvmMemmapEntry { addr: start.into(), size: len.into(), kind: kind.into(), reserved: 0.into() }
}

impl Built {
    fn of(head: &mut Input<'_>, packed: Packed) -> Option<Self> {
        let Packed { bytes: pack, trust, signed } = packed;
        let first = if trust { key().public() } else { PublicKey::NONE };
        let trust = TrustSlot { keys: [PublicKey::NONE, first, PublicKey::NONE, PublicKey::NONE], ..TrustSlot::EMPTY };
        let flags = head.u8();
        let place = |head: &mut Input<'_>| (u64::from(head.u16()) * PAGE_SIZE) % LEN;
        let mut pack_at = place(head);
        if pack_at < 2 * MIB {
            pack_at = (LEN - pack.len() as u64 - (pack_at + 1)) & !(PAGE_SIZE - 1);
        }
        let ram = if flags & 1 == 0 { LEN } else { place(head).max(2 * MIB) };
        let mut memmap = vec![region(0, 0x9f000, 1), region(MIB, ram - MIB, 1)];
        for _ in 0..(flags >> 1) % 4 {
            let kind = u32::from(head.u8() % 3);
            memmap.push(region(head.address(), head.address(), kind));
        }
        let mut modules = vec![(pack_at, pack)];
        for n in 0..(flags >> 3) % 4 {
            let (at, len) = (place(head) + u64::from(head.u16() % 4096), head.u16());
            // One that is not put there is whatever lies there.
            let content = if head.one_in(4) { vec![] } else { vec![n | 0x80; usize::from(len)] };
            modules.push((at, content));
        }
        let texts: [&[u8]; 4] = [b"", b"a=1 c b", b"stage0.quiet d \"e f\" stage0.timing", b"stage0.other \xff"];
        let cmdline = texts[usize::from(head.u8() % 8).min(3)].to_vec();
        let rsdp = if flags & 0x80 == 0 { 0 } else { head.address() };
        let pv = (flags & 0x40 != 0).then_some(PvDomain { nr_pages: ram / PAGE_SIZE, builder: PvBuilder::Toolstack });
        let version = u32::from(head.u8() % 3);
        let far = head.one_in(16).then(|| head.address());
        Some(Self { pv, memmap, modules, cmdline, rsdp, version, far, trust, signed })
    }

    /// Puts everything into memory.
    fn build(&self, machine: &mut Watched) -> bool {
        let guest = &mut machine.guest;
        let mut done = self.modules.iter().rev().all(|(at, content)| guest.put(*at, content));
        for (n, (at, content)) in (0..).zip(&self.modules) {
            let size = if content.is_empty() { 0x1234 } else { content.len() as u64 };
            let at = self.far.filter(|_| n == 0).unwrap_or(*at);
            let entry = HvmModlistEntry { paddr: at.into(), size: size.into(), ..Default::default() };
            done &= guest.put(MODLIST + n * 32, entry.as_bytes());
        }
        done &= guest.put(MEMMAP, self.memmap.as_bytes());
        done &= guest.put(CMDLINE, &[&self.cmdline[..], &[0]].concat());
        let info = HvmStartInfo {
            magic: START_INFO_MAGIC.into(),
            version: self.version.into(),
            nr_modules: (self.modules.len() as u32).into(),
            modlist_paddr: MODLIST.into(),
            cmdline_paddr: CMDLINE.into(),
            rsdp_paddr: self.rsdp.into(),
            memmap_paddr: MEMMAP.into(),
            memmap_entries: (self.memmap.len() as u32).into(),
            ..Default::default()
        };
        done && guest.put(START_INFO, info.as_bytes())
    }

    /// Starts stage0 there, and looks at what it leaves.
    fn start(&self) {
        let mut machine = Watched { guest: Default::default(), ram: Default::default(), arranged: false };
        if !self.build(&mut machine) {
            return;
        }
        let mut handed = Handed::EMPTY;
        let known = self.memmap.clone();
        let ask = |memmap: &mut stage0::platform::handed::Memmap| memmap.extend_from_slice(&known).is_ok();
        if let Err(error) = handed.read(&machine.guest, Phys(START_INFO), ask) {
            return said::note(&error);
        }
        let options = match cmdline::options(&handed.cmdline) {
            Ok(options) => options,
            Err(error) => return said::note(&error),
        };
        let Ok(ram) = handed.ram() else { return };
        machine.ram = ram.clone();
        let modules: Vec<Option<Vec<u8>>> =
            handed.modules.iter().map(|module| machine.guest.read(module.range).map(<[u8]>::to_vec)).collect();
        let image = PhysRange::sized(Phys(IMAGE.0), IMAGE.1).expect("a range");
        let base = Virt(VIRT_BASE);
        let pv = self.pv.map(|domain| Pv { domain, base, structures: PhysRange::EMPTY });
        let mut log = String::new();
        let mut domain = Domain {
            handed: &handed,
            options,
            trust: &self.trust,
            file: FILE,
            ram,
            image,
            builder: Builder::Qemu,
            pv,
            gib_pages: self.version == 1,
            log: &mut log,
        };
        let mut copy = [0; MAX_MANIFEST_LEN as usize];
        let mut meter = Meter::new(Still, |_| ());
        match load(&mut machine, &mut domain, &mut copy, &mut meter) {
            Ok(loaded) => self.check(&mut machine, &handed, options, &loaded, &modules),
            Err(error) => {
                let whole = self.signed.is_some() && modules[0] == self.signed;
                assert!(!(whole && matches!(error, Error::Trust(_))), "a signed pack, and yet {error}");
                said::note(&error);
            }
        }
    }

    /// The kernel is the one that was packed, where it belongs; nothing that it gets has changed.
    fn check(
        &self,
        machine: &mut Watched,
        handed: &Handed,
        options: Options,
        loaded: &Loaded<'_>,
        modules: &[Option<Vec<u8>>],
    ) {
        assert_eq!(Ok(options), cmdline::options(&handed.cmdline));
        let pack = modules[0].as_ref().expect("a pack that was read");
        let manifest = Manifest::parse(pack, pack.len() as u64).expect("a manifest that was taken");
        assert_eq!(manifest.digest(), loaded.manifest.digest());
        let (mut pack, trusts) = (pack, self.trust != TrustSlot::EMPTY);
        if trusts {
            // Whatever became of it since.
            pack = self.signed.as_ref().expect("only a signed pack to be started");
        }
        let manifest = Manifest::parse(pack, pack.len() as u64).expect("a manifest that was signed");
        assert_eq!(manifest.digest(), loaded.manifest.digest(), "not what was signed");
        assert_eq!(loaded.log.is_some(), manifest.room().is_some());
        if trusts || loaded.log.is_some() {
            assert_eq!(modules.len(), 1, "modules beside a pack that is signed or measured");
        }
        if let Some(elf) = decoded(&manifest, pack) {
            let kernel = Kernel::read(&mut SliceFile(&elf)).expect("a kernel that was read");
            let mut plan = kernel.plan(loaded.plan.protocol, manifest.decisions()).expect("a plan that was made");
            if let (Some(area), Some(moved)) = (plan.areas.first(), loaded.plan.areas.first()) {
                let shift = moved.start().0.wrapping_sub(area.start().0);
                plan.move_pie(shift).expect("a plan that was moved");
            }
            assert_eq!(plan, loaded.plan);
            let mut memory: Vec<_> = plan.areas.iter().map(|area| agreement::memory_of(area, &plan, &elf)).collect();
            relocate(&plan, &elf, &mut memory);
            for (area, expected) in plan.areas.iter().zip(memory) {
                let place = shifted(area, loaded.arrangement.shift).expect("a place that was claimed");
                let found = machine.guest.read(place).expect("memory that was written");
                let wrong = found.iter().zip(&expected).position(|(found, expected)| found != expected);
                assert!(found.len() == expected.len() && wrong.is_none(), "{place} differs at {wrong:x?}");
            }
        }
        let mut pack = pack.clone();
        if let Some(log) = loaded.log {
            measured(machine, loaded, &manifest, log, &mut pack);
        }
        if loaded.start_of_day.is_none() {
            self.hand_over(machine, handed, loaded, &own(&manifest, &pack, loaded), &modules[1..]);
        }
    }

    /// What is handed over reads back as what it was made from: the pack's `own` modules, and those `beside` it.
    fn hand_over(
        &self,
        machine: &mut Watched,
        handed: &Handed,
        loaded: &Loaded<'_>,
        own: &[Handing],
        beside: &[Option<Vec<u8>>],
    ) {
        let given: Vec<Module<'_>> = loaded.modules(handed).collect();
        let kept = loaded.arrangement.block;
        if loaded.plan.protocol == Protocol::Direct {
            let ram: &Ram = &machine.ram;
            let map = Map { plan: &loaded.plan, ram, block: kept, gib_pages: self.version == 1 };
            write_block(&mut machine.guest, &map).expect("room for tables and stack");
        }
        let (modules_given, reserved) = (given.iter().copied(), kept.range());
        let (cmdline, rsdp) = (loaded.cmdline.as_str(), loaded.rsdp);
        let handover = PvhHandover { handed, modules: modules_given, cmdline, rsdp, reserved };
        let block = loaded.arrangement.start_info;
        if let Err(error) = write_start_info(&mut machine.guest, block, &handover) {
            return said::note(&error);
        }
        let mut again = Handed::EMPTY;
        let known = handed.memmap.clone();
        let ask = |memmap: &mut stage0::platform::handed::Memmap| memmap.extend_from_slice(&known).is_ok();
        if own.len() + beside.len() > shared::memory::MAX_MODULES + 1 || loaded.cmdline.len() > cmdline::MAX_BUILDER_LEN
        {
            // More than a stage0 would take, which a kernel may.
            return;
        }
        let read = again.read(&machine.guest, block.start(), ask);
        if !reserved.is_empty() && read.is_err() {
            // The map may have more regions than a stage0 takes, now that there is one more.
            return;
        }
        read.expect("a start_info that was written");
        assert_eq!((again.flags, again.rsdp), (handed.flags, loaded.rsdp));
        if reserved.is_empty() {
            assert_eq!(again.memmap.as_bytes(), handed.memmap.as_bytes());
        } else {
            let ram = again.ram().expect("a map that was written");
            assert!(!ram.overlaps(&reserved), "{reserved} is given away in {ram:?}");
        }
        assert_eq!(again.cmdline.as_str(), loaded.cmdline.as_str());
        let own = own.iter().map(|(content, cmdline)| (Some(content), *cmdline));
        let expected: Vec<_> = own.chain(beside.iter().map(|content| (content.as_ref(), None))).collect();
        assert_eq!(again.modules.len(), expected.len());
        for (module, (content, cmdline)) in again.modules.iter().zip(expected) {
            let found = machine.guest.read(module.range);
            assert!(content.is_none_or(|content| found == Some(content)), "the module at {} has changed", module.range);
            assert_eq!(module.cmdline.as_deref(), cmdline.map(str::as_bytes), "the module at {}", module.range);
        }
    }
}

/// Relocates the memory of a static PIE's areas.
fn relocate(plan: &Plan, elf: &[u8], memory: &mut [Vec<u8>]) {
    let Some(pie) = plan.pie else { return };
    let dynamic = pie.dynamic.offset as usize..(pie.dynamic.offset + pie.dynamic.len) as usize;
    let segments: Vec<_> = plan
        .placements
        .iter()
        .map(|placement| {
            let file = placement.file.offset() as usize..placement.file.end() as usize;
            (placement.virt.0.wrapping_sub(pie.bias), file)
        })
        .collect();
    let word = if plan.class == Class::Elf64 { 8 } else { 4 };
    for (at, addend) in harness::pie::relocations(elf, dynamic, &segments) {
        let at = at.wrapping_add(pie.bias);
        let holds = |placement: &&Placement| {
            at >= placement.virt.0 && at - placement.virt.0 + word as u64 <= placement.memory.len()
        };
        let placement = plan.placements.iter().find(holds).expect("a segment");
        let place = placement.memory.start().0 + (at - placement.virt.0);
        let area = plan.areas.iter().position(|area| area.contains(Phys(place))).expect("an area");
        let bytes = &mut memory[area][(place - plan.areas[area].start().0) as usize..][..word];
        let there = bytes.iter().rev().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        bytes.copy_from_slice(&addend.unwrap_or(there).wrapping_add(pie.bias).to_le_bytes()[..word]);
    }
}

/// A module's bytes and command line.
type Handing = (Vec<u8>, Option<&'static str>);

/// What of `pack`, as stage0 left it, the kernel gets as modules.
fn own(manifest: &Manifest<'_>, pack: &[u8], loaded: &Loaded<'_>) -> Vec<Handing> {
    let bytes = |member: Member<'_>| pack[member.stored.offset() as usize..member.stored.end() as usize].to_vec();
    let mut own: Vec<Handing> = manifest.modules().map(|member| (bytes(member), None)).collect();
    if let Some((room, log)) = manifest.room().map(bytes).zip(loaded.log) {
        if loaded.plan.linux {
            // The archive and the initrd as one.
            let archive = &room[measure::ARCHIVE_AT..];
            match own.first_mut() {
                Some((initrd, _)) => *initrd = [archive, initrd].concat(),
                None => own.push((archive.to_vec(), None)),
            }
        }
        own.push((room[..log.len() as usize].to_vec(), Some(measure::NAME)));
    }
    own
}

/// The log is in its room, and in the room's archive, and nothing else there has changed. Puts it into `pack`, too.
fn measured(machine: &Watched, loaded: &Loaded<'_>, manifest: &Manifest<'_>, log: PhysRange, pack: &mut [u8]) {
    let stored = manifest.room().expect("room for a log").stored;
    // What a kernel is handed that is no Linux begins where the pack did.
    assert_eq!(loaded.sunk, if loaded.plan.linux || loaded.start_of_day.is_some() { 0 } else { stored.offset() });
    assert_eq!(log.start().0, loaded.arrangement.pack.start().0 + stored.offset() - loaded.sunk);
    let text = expected_log(manifest, loaded.cmdline.as_str());
    let room = &mut pack[stored.offset() as usize..stored.end() as usize];
    let file = measure::ARCHIVE_AT + (CPIO_HEADER + measure::NAME.len() + 1).next_multiple_of(4);
    for at in [0, file] {
        room[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let place = PhysRange::sized(log.start(), stored.len()).expect("a range");
    let found = machine.guest.read(place).expect("memory that was written");
    assert_eq!(found[..log.len() as usize].escape_ascii().to_string(), text.as_bytes().escape_ascii().to_string());
    assert!(found == room, "the room at {place} differs at {:x?}", found.iter().zip(&*room).position(|(a, b)| a != b));
    // Whoever packed it may have made another archive.
    if room[measure::ARCHIVE_AT..file] == measure::room(manifest.modules().count())[measure::ARCHIVE_AT..file] {
        let field = |at: usize| {
            let digits = &found[measure::ARCHIVE_AT..][at..at + 8];
            usize::from_str_radix(str::from_utf8(digits).expect("digits"), 16).expect("a number")
        };
        assert_eq!((field(CPIO_NAMESIZE), field(CPIO_FILESIZE)), (measure::NAME.len() + 1, text.len()));
    }
}

/// The log of a pack, as its definition has it.
fn expected_log(manifest: &Manifest<'_>, cmdline: &str) -> String {
    let sha256 = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
    let modules = manifest.modules().map(|module| ("module", *module.sha256));
    let digests = [("stage0", sha256(FILE)), ("manifest", *manifest.digest()), ("kernel", *manifest.kernel().sha256)];
    let digests = digests.into_iter().chain(modules).chain([("cmdline", sha256(cmdline.as_bytes()))]);
    let mut text = "mstrap measurements 1\n".to_owned();
    let mut chain = [0; 32];
    for (name, digest) in digests {
        text += &format!("{name} {}\n", pack::info::hex(&digest));
        chain = sha256(&[chain, digest].concat());
    }
    text + &format!("chain {}\n", pack::info::hex(&chain))
}

/// The kernel file of a pack, by other decoders than stage0's; `None` if these do not take a frame.
fn decoded(manifest: &Manifest<'_>, pack: &[u8]) -> Option<Vec<u8>> {
    let decode = |frame: Frame<'_>| {
        let stored = &pack[frame.stored.offset() as usize..frame.stored.end() as usize];
        let len = frame.content.len() as usize;
        let content = match frame.codec {
            Codec::None => stored.to_vec(),
            Codec::Lz4 => lz4_flex::block::decompress(stored, len).ok()?,
            Codec::Zstd => zstd::bulk::decompress(stored, len).ok()?,
        };
        (content.len() == len).then_some(content)
    };
    Some(manifest.frames().map(decode).collect::<Option<Vec<_>>>()?.concat())
}

/// The corpus, with each codec, in domains as they are; measured, signed and both, for domains that trust the signer; and what
/// is refused there, as long as anything is.
pub fn seeds() -> Vec<Vec<u8>> {
    /// What is packed, damaged and signed, and what is built.
    const VERIFIED: [(u8, u8, u8, u8); 9] = [
        (0b0100_0101, 0, 0, 0),
        (0b0000_0011, 0, 0b1100, 0),
        (0b0101_0001, 0, 0b1_0100, 0),
        (0b0100_0011, 0, 0b1100, 0x40),
        // Not signed; changed since, and sealed; damaged since (most of both are modules); with a module beside it, measured or
        // signed.
        (0b0000_0011, 0, 0b0100, 0),
        (0b1000_0111, 1, 0b1101, 0),
        (0b1000_0111, 1, 0b1100, 0),
        (0b0100_0000, 0, 0, 0x08),
        (0b0000_0000, 0, 0b1100, 0x08),
    ];
    let mut seeds = Vec::new();
    let plain = [0, 0b1111, 0b0001_0011, 0b0010_0001].map(|flags| (flags, 0, 0, flags << 3));
    for (n, elf) in (0u8..).zip(seeds::kernels()) {
        for (flags, count, seal, built) in plain.into_iter().chain(VERIFIED) {
            // The codec, the way to cut, members; 12 bytes of decisions; damage, if any.
            let mut head = vec![n % 3, 0, flags];
            head.resize(3 + 12, 0);
            head.extend([count, seal]);
            // One bit, somewhere.
            head.extend([0xff, 0xff, 0xff, n, count]);
            head.resize(3 + 12 + 2 + 20, 0);
            head.push(built);
            head.resize(HEAD, n);
            seeds.push([head, elf.clone()].concat());
        }
    }
    seeds.extend(elsewhere());
    for (n, elf) in (0u8..).zip(seeds::pies()) {
        // The codec, the way to cut, members; that it is entered by the direct protocol.
        let mut head = vec![n % 3, 0, 0, 4];
        head.resize(HEAD, 0);
        seeds.push([head, elf].concat());
    }
    seeds
}

/// A pack of which the builder says that it is where there is no memory.
fn elsewhere() -> Option<Vec<u8>> {
    let mut head = vec![0; 3 + 12 + 2 + 20 + 1];
    // Its place, no command line, the version; that it is a lie, and the page that it names.
    head.extend([2, 2, 0, 0, 1, 0, 0xff, 0xff]);
    head.resize(HEAD, 0);
    seeds::kernels().first().map(|elf| [head, elf.clone()].concat())
}
