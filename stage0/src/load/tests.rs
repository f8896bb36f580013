//! Loading, against a memory that is an array.

use std::vec;
use std::vec::Vec;

use ::decode::zstd::{Checksum, FrameError};
use proptest::prelude::*;
use shared::format::{Codec, EncodedFrame, EncodedKernel, EncodedModule, Manifest, PackContent};
use shared::kernel::{Decisions, Kernel, Protocol, SliceFile};
use shared::memory::{FileRange, Phys, PhysRange, VIEW_LEN};

use super::*;

/// Memory from 0 on.
pub(crate) struct Array(pub(crate) Vec<u8>);

pub(crate) fn indices(range: PhysRange) -> core::ops::Range<usize> {
    usize::try_from(range.start().0).unwrap()..usize::try_from(range.end().0).unwrap()
}

impl Memory for Array {
    fn bytes(&self, range: PhysRange) -> Option<&[u8]> {
        self.0.get(indices(range))
    }

    fn bytes_mut(&mut self, range: PhysRange) -> Option<&mut [u8]> {
        self.0.get_mut(indices(range))
    }

    fn pair(&mut self, from: PhysRange, to: PhysRange) -> Option<(&[u8], &mut [u8])> {
        let [from, to] = self.0.get_disjoint_mut([indices(from), indices(to)]).ok()?;
        Some((from, to))
    }

    fn relocate(&mut self, from: PhysRange, to: Phys) -> Option<()> {
        let to = PhysRange::sized(to, from.len()).ok()?;
        self.0.get(indices(to))?;
        self.0.get(indices(from))?;
        self.0.copy_within(indices(from), indices(to).start);
        Some(())
    }
}

#[derive(Clone, Copy)]
pub(crate) struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> u64 {
        0
    }
}

pub(crate) fn meter() -> Meter<NoClock> {
    Meter::new(NoClock, |_| ())
}

/// A program header: where in memory, bytes of file, bytes of memory.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) paddr: u32,
    pub(crate) filesz: u32,
    pub(crate) memsz: u32,
}

const ENTRY: u32 = 0x10_0000;

/// An ELF file with a PHYS32_ENTRY note and these segments, their bytes one behind the other.
pub(crate) fn elf(loads: &[Load]) -> Vec<u8> {
    let note_at = 64 + 56 * (loads.len() + 1);
    let note: Vec<u8> =
        [4u32, 4, 18, u32::from_le_bytes(*b"Xen\0"), ENTRY].iter().flat_map(|n| n.to_le_bytes()).collect();
    let mut offset = (note_at + note.len()) as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    file.extend([2u16, 62].iter().flat_map(|n| n.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    file.extend([0u64, 64, 0].iter().flat_map(|n| n.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, loads.len() as u16 + 1, 64, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
    let mut header = |kind: u32, offset: u64, paddr: u64, filesz: u64, memsz: u64| {
        file.extend([kind, 7].iter().flat_map(|n| n.to_le_bytes()));
        file.extend([offset, paddr, paddr, filesz, memsz, 4].iter().flat_map(|n| n.to_le_bytes()));
    };
    header(4, note_at as u64, 0, note.len() as u64, note.len() as u64);
    for load in loads {
        header(1, offset, load.paddr.into(), load.filesz.into(), load.memsz.into());
        offset += u64::from(load.filesz);
    }
    file.extend(note);
    let content = loads.iter().enumerate().flat_map(|(n, load)| {
        (0..load.filesz).map(move |at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8 ^ (n as u8 + 1))
    });
    file.extend(content);
    file
}

fn encode(codec: Codec, content: &[u8]) -> Vec<u8> {
    match codec {
        Codec::None => content.to_vec(),
        Codec::Lz4 => lz4_flex::block::compress(content),
        Codec::Zstd => zstd_frame(content, true),
    }
}

#[cfg(not(miri))]
fn zstd_frame(content: &[u8], checksum: bool) -> Vec<u8> {
    let mut encoder = zstd::bulk::Compressor::new(3).unwrap();
    encoder.include_checksum(checksum).unwrap();
    encoder.include_contentsize(true).unwrap();
    encoder.compress(content).unwrap()
}

/// Miri runs no C. A single segment, for which there is a flag, has the content's length in place of the window's (RFC 8878, 3.1.1.1).
#[cfg(miri)]
fn zstd_frame(content: &[u8], checksum: bool) -> Vec<u8> {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    let mut frame = compress_to_vec(content, CompressionLevel::Fastest);
    frame[4] |= 0xa0;
    frame.splice(5..6, (content.len() as u32).to_le_bytes());
    if !checksum {
        frame[4] &= !4;
        frame.truncate(frame.len() - 4);
    }
    frame
}

/// Packs an ELF file, cut where its kernel is read.
fn pack(file: &[u8], codec: Codec) -> Vec<u8> {
    pack_with(file, codec, vec![])
}

/// The same, with modules.
pub(crate) fn pack_with(file: &[u8], codec: Codec, modules: Vec<EncodedModule>) -> Vec<u8> {
    pack_for(file, codec, modules, Decisions::default())
}

/// The same, with room for measurements.
pub(crate) fn measured(file: &[u8], codec: Codec, modules: Vec<EncodedModule>) -> Vec<u8> {
    PackContent { measured: true, ..content(file, codec, modules, Decisions::default()) }.encode().unwrap()
}

/// The same, as somebody decided.
pub(crate) fn pack_for(file: &[u8], codec: Codec, modules: Vec<EncodedModule>, decisions: Decisions) -> Vec<u8> {
    content(file, codec, modules, decisions).encode().unwrap()
}

fn content(file: &[u8], codec: Codec, modules: Vec<EncodedModule>, decisions: Decisions) -> PackContent {
    let cuts = Kernel::cuts(&mut SliceFile(file)).unwrap();
    let mut ends: Vec<u64> = cuts.iter().flat_map(|range| [range.offset(), range.end()]).collect();
    ends.extend([0, file.len() as u64]);
    ends.sort_unstable();
    ends.dedup();
    let frames = ends.windows(2).map(|pair| {
        let content = &file[usize::try_from(pair[0]).unwrap()..usize::try_from(pair[1]).unwrap()];
        EncodedFrame { content_len: content.len() as u32, codec, stored: encode(codec, content) }
    });
    let kernel = EncodedKernel { name: "kernel".into(), sha256: [0; 32], frames: frames.collect() };
    let (measured, locked, allowed) = (false, false, vec![]);
    PackContent { kernel, cmdline: None, modules, measured, decisions, locked, allowed }
}

const MEMORY: usize = 4 << 20;
const PACK_AT: u64 = 2 << 20;
const VIEW_AT: u64 = 3 << 20;

/// Memory, filled with a byte that is not zero, and a pack in it.
fn domain(pack: &[u8]) -> Array {
    let mut memory = vec![0xa5; MEMORY];
    memory[PACK_AT as usize..][..pack.len()].copy_from_slice(pack);
    Array(memory)
}

fn load(memory: &mut Array, pack: &[u8]) -> Result<shared::kernel::Plan, LoadError> {
    let manifest = Manifest::parse(pack, pack.len() as u64).unwrap();
    let mut ramdisk = Ramdisk { base: Phys(PACK_AT) };
    let mut meter = meter();
    let scratch = Phys(VIEW_AT);
    let mut file = PackedFile::new(memory, &mut ramdisk, manifest, scratch, &mut meter);
    let kernel = Kernel::read(&mut file).map_err(|error| match error {
        shared::kernel::ReadError::File(error) => error,
        other => panic!("{other}"),
    })?;
    let plan = kernel.plan(Protocol::Pvh, &Decisions::default()).unwrap();
    place(memory, &mut ramdisk, &manifest, &plan, 0, &mut meter)?;
    Ok(plan)
}

/// What memory should hold: all of the area zero, then each segment in its order.
fn expected(file: &[u8], loads: &[Load], before: &[u8], area: PhysRange) -> Vec<u8> {
    let mut memory = before.to_vec();
    memory[indices(area)].fill(0);
    let mut offset = file.len() - loads.iter().map(|load| load.filesz as usize).sum::<usize>();
    for load in loads {
        let place = &mut memory[load.paddr as usize..][..load.memsz as usize];
        place.fill(0);
        place[..load.filesz as usize].copy_from_slice(&file[offset..][..load.filesz as usize]);
        offset += load.filesz as usize;
    }
    memory
}

fn check(loads: &[Load], codec: Codec) {
    let file = elf(loads);
    let pack = pack(&file, codec);
    let mut memory = domain(&pack);
    let before = memory.0.clone();
    let plan = load(&mut memory, &pack).unwrap();
    let mut wanted = expected(&file, loads, &before, plan.areas[0]);
    // The view's scratch is nobody's.
    let view = VIEW_AT as usize..VIEW_AT as usize + VIEW_LEN as usize;
    wanted[view.clone()].copy_from_slice(&memory.0[view]);
    assert!(memory.0 == wanted, "{loads:?}");
}

#[test]
fn each_codec_puts_every_byte_in_its_place() {
    let loads =
        [Load { paddr: ENTRY, filesz: 50_000, memsz: 90_001 }, Load { paddr: ENTRY + 0x2_0000, filesz: 3, memsz: 9 }];
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        check(&loads, codec);
    }
}

#[test]
fn a_flipped_bit_in_any_frame_that_is_needed_is_found_before_it_is_decoded() {
    let file = elf(&[Load { paddr: ENTRY, filesz: 5000, memsz: 5000 }]);
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let pack = pack(&file, codec);
        let manifest = Manifest::parse(&pack, pack.len() as u64).unwrap();
        for frame in manifest.frames() {
            let mut memory = domain(&pack);
            memory.0[(PACK_AT + frame.stored.offset()) as usize] ^= 0x10;
            assert_eq!(load(&mut memory, &pack).err(), Some(LoadError::FrameHash { index: frame.index }));
        }
    }
}

#[test]
fn a_frame_that_straddles_two_places_is_refused() {
    let file = elf(&[Load { paddr: ENTRY, filesz: 5000, memsz: 5000 }]);
    let stored = encode(Codec::None, &file);
    let frame = EncodedFrame { content_len: file.len() as u32, codec: Codec::None, stored };
    let kernel = EncodedKernel { name: "kernel".into(), sha256: [0; 32], frames: vec![frame] };
    let (decisions, modules, allowed) = (Decisions::default(), vec![], vec![]);
    let content = PackContent { kernel, cmdline: None, modules, measured: false, decisions, locked: false, allowed };
    let pack = content.encode().unwrap();
    let error = load(&mut domain(&pack), &pack).unwrap_err();
    assert!(matches!(error, LoadError::Straddles { index: 0, .. }), "{error}");
}

#[test]
fn decoding_agrees_with_the_entry_or_fails() {
    let content = vec![7u8; 1000];
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let stored = encode(codec, &content);
        let mut out = vec![0; 1000];
        decode(codec, &stored, &mut out).unwrap();
        assert_eq!(out, content);
        assert!(decode(codec, &stored, &mut out[..999]).is_err(), "{codec:?}");
        assert!(decode(codec, &stored, &mut vec![0; 1001]).is_err(), "{codec:?}");
        let longer = [&stored[..], &[0]].concat();
        assert!(decode(codec, &longer, &mut out).is_err(), "{codec:?}");
    }
}

#[test]
fn zstds_own_checksum_is_there_and_handed_on() {
    let content: Vec<u8> = (0..60_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    let stored = encode(Codec::Zstd, &content);
    let mut out = vec![0; content.len()];
    let last = stored.len() - 1;
    for at in last - 3..=last {
        let mut wrong = stored.clone();
        wrong[at] ^= 1;
        let says = u32::from_le_bytes(*wrong.last_chunk().unwrap());
        assert_eq!(decode(Codec::Zstd, &wrong, &mut out), Ok(Some(Checksum(says))));
        assert!(out == content);
    }
    let stored = zstd_frame(&content, false);
    assert_eq!(decode(Codec::Zstd, &stored, &mut out), Err(DecodeError::Zstd(FrameError::Properties)));
}

fn loads() -> impl Strategy<Value = Vec<Load>> {
    let load = (0u32..0x8_0000, 0u32..9000, 0u32..9000).prop_map(|(at, filesz, bss)| Load {
        paddr: ENTRY + at,
        filesz,
        memsz: filesz + bss,
    });
    proptest::collection::vec(load, 1..6).prop_map(|mut loads| {
        // A page that holds the entry, so that there is a plan.
        loads.push(Load { paddr: ENTRY, filesz: 16, memsz: 16 });
        loads
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 300 }))]

    #[test]
    fn segments_in_any_order_and_overlap_land_where_they_belong(loads in loads()) {
        let total: u32 = loads.iter().map(|load| load.memsz).sum();
        let start = loads.iter().map(|load| load.paddr).min().unwrap();
        let end = loads.iter().map(|load| load.paddr + load.memsz).max().unwrap();
        prop_assume!(total < end - start);
        check(&loads, Codec::Lz4);
    }

    #[test]
    fn no_stored_bytes_make_a_decoder_panic(stored: Vec<u8>, len in 0usize..5000, codec in 0u32..3) {
        let _ = decode(Codec::from_number(codec).unwrap(), &stored, &mut vec![0; len]);
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes long to hash a kernel of this size")]
fn views_join_frames_and_refuse_what_is_cut_too_coarsely() {
    let file = elf(&[Load { paddr: ENTRY, filesz: 300_000, memsz: 300_000 }]);
    let pack = pack(&file, Codec::Lz4);
    let mut memory = domain(&pack);
    let manifest = Manifest::parse(&pack, pack.len() as u64).unwrap();
    let mut ramdisk = Ramdisk { base: Phys(PACK_AT) };
    let scratch = Phys(VIEW_AT);
    let mut meter = meter();
    let mut view = PackedFile::new(&mut memory, &mut ramdisk, manifest, scratch, &mut meter);
    use shared::kernel::KernelFile;
    assert_eq!(view.view(FileRange::new(10, 80).unwrap()), Ok(&file[10..90]));
    let tail = FileRange::new(file.len() as u64 - 5, 5).unwrap();
    assert_eq!(view.view(tail), Err(LoadError::View { wanted: tail }));
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes long to decode so much")]
fn a_view_is_decoded_once_and_all_views_are_bounded() {
    use shared::format::MAX_HEAD_WORK;
    use shared::kernel::KernelFile;

    let len = 200_000;
    let file = elf(&[Load { paddr: ENTRY, filesz: len, memsz: len }]);
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let pack = pack(&file, codec);
        let mut memory = domain(&pack);
        let manifest = Manifest::parse(&pack, pack.len() as u64).unwrap();
        let (mut ramdisk, mut meter) = (Ramdisk { base: Phys(PACK_AT) }, meter());
        let mut packed = PackedFile::new(&mut memory, &mut ramdisk, manifest, Phys(VIEW_AT), &mut meter);
        let start = file.len() - len as usize;
        for at in [start, start + 1, file.len() - 100].repeat(100) {
            let range = FileRange::new(at as u64, 100).unwrap();
            assert_eq!(packed.view(range), Ok(&file[at..at + 100]));
        }
        let mut views = 0;
        let error = loop {
            match packed.view(FileRange::new([0, start][views % 2] as u64, 50).unwrap()) {
                Ok(_) => views += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, LoadError::HeadWork);
        let decoded = meter.costs().find(|(phase, _)| *phase == Phase::Decode).unwrap().1.bytes;
        let once = u64::from(len);
        assert!((MAX_HEAD_WORK / 2..MAX_HEAD_WORK + once).contains(&decoded), "{codec:?}: {decoded} bytes decoded");
        assert!(views as u64 >= MAX_HEAD_WORK / once, "{codec:?}: {views} views");
    }
}
