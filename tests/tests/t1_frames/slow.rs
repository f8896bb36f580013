//! Kernels whose headers and notes lie in frames that take long to decode, so that it matters how often each is decoded. stage0 starts
//! them or says that they take too long, both soon, and `pack check` says the same.

use std::io::Write;

use harness::Exit;
use harness::trial::{self, Trouble, check};
use libtest_mimic::Trial;
use sha2::{Digest, Sha256};
use shared::format::{Codec, EncodedFrame, EncodedKernel, MAX_BLOCKS, PackContent, zstd_blocks};
use shared::kernel::{Decisions, MAX_SEGMENTS};
use stage0::load::LoadError;
use zstd::zstd_safe::CParameter;

use crate::{checked, refused, start};

/// What the kernel writes to port 0xf4.
const STARTED: u8 = 0x21;
/// Where it lies.
const ENTRY: u32 = 16 << 20;
/// Bytes of a section header, a program header and the ELF header (ELF64).
const SECTION: usize = 64;
const PROGRAM: usize = 56;
const HEADER: usize = 64;

/// Where the notes of a slow kernel are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notes {
    /// In program headers.
    Programs,
    /// In sections.
    Sections,
}

/// A slow kernel: its notes lie at the start of each of a row of pools, in turn.
#[derive(Clone, Copy)]
struct Slow {
    name: &'static str,
    notes: Notes,
    /// Notes, besides the last, which has the entry.
    count: usize,
    /// Pools, each a frame of this many bytes, or two.
    pools: usize,
    len: usize,
    /// Whether each pool's notes straddle two frames.
    straddle: bool,
    /// How pools and section headers are stored.
    codec: Codec,
    /// Whether the last note runs past its end, so that it is looked at again.
    cut: bool,
}

/// Of the first, the others are variants.
const FIRST: Slow = Slow {
    name: "sections_in_one_frame",
    notes: Notes::Sections,
    count: 30,
    pools: 1,
    len: 200 << 10,
    straddle: false,
    codec: Codec::Zstd,
    cut: false,
};

const ALL: [Slow; 16] = [
    FIRST,
    Slow { name: "sections_in_two_frames_in_turn", pools: 2, len: 100 << 10, ..FIRST },
    Slow { name: "many_sections_in_one_frame", count: 900, ..FIRST },
    Slow { name: "many_sections_in_two_frames_in_turn", count: 900, pools: 2, ..FIRST },
    Slow { name: "sections_in_eight_frames_in_turn", count: 200, pools: 8, len: 30 << 10, ..FIRST },
    Slow { name: "sections_that_straddle_frames", count: 60, pools: 2, straddle: true, len: 120 << 10, ..FIRST },
    Slow { name: "program_headers_in_one_frame", notes: Notes::Programs, count: 60, ..FIRST },
    Slow { name: "program_headers_in_two_frames_in_turn", notes: Notes::Programs, count: 60, pools: 2, ..FIRST },
    Slow {
        name: "program_headers_in_frames_of_their_own",
        notes: Notes::Programs,
        count: 60,
        pools: 60,
        len: 20 << 10,
        ..FIRST
    },
    Slow { name: "a_note_that_is_cut", count: 60, cut: true, ..FIRST },
    Slow { name: "lz4_frames_in_turn", count: 300, pools: 2, codec: Codec::Lz4, ..FIRST },
    Slow { name: "plain_frames_in_turn", count: 900, pools: 2, codec: Codec::None, ..FIRST },
    Slow { name: "fewer_blocks_of_sections", len: 20 << 10, ..FIRST },
    Slow { name: "fewer_blocks_of_program_headers", notes: Notes::Programs, count: 60, len: 60 << 10, ..FIRST },
    Slow { name: "small_lz4_frames_in_turn", count: 200, pools: 2, len: 8 << 10, codec: Codec::Lz4, ..FIRST },
    Slow { name: "small_plain_frames_in_turn", count: 100, pools: 2, len: 16 << 10, codec: Codec::None, ..FIRST },
];

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests: Vec<Trial> = ALL.map(|slow| trial::test(slow.name, move || run(&slow))).into();
    tests.push(trial::test("some_of_these_start_and_some_do_not", both));
    tests
}

fn run(slow: &Slow) -> Result<(), Trouble> {
    let pack = slow.pack()?;
    let verdict = checked(&pack)?;
    let outcome = start(&format!("slow-{}", slow.name), &pack)?;
    println!("{}: {:?}, {}", slow.name, outcome.elapsed, if verdict.is_ok() { "started" } else { "refused" });
    match verdict {
        Ok(_) => Ok(outcome.ended(&Exit::Debug(STARTED))?),
        Err(pack::check::Obstacle::Cut(error)) => {
            check(error == LoadError::HeadWork, error)?;
            refused(
                &outcome,
                "kernel takes too long to read: its headers and notes, expected at most 4096 KiB to decode",
            )
        }
        Err(other) => Err(other.to_string().into()),
    }
}

fn both() -> Result<(), Trouble> {
    let verdicts = ALL.iter().map(|slow| Ok(checked(&slow.pack()?)?.is_ok()));
    let started = verdicts.collect::<Result<Vec<bool>, Trouble>>()?.into_iter().filter(|starts| *starts).count();
    check((1..ALL.len()).contains(&started), format!("{started} of {} would start", ALL.len()))
}

/// A note of nobody's, or the one that has the entry.
fn note(is_xen: bool) -> Vec<u8> {
    let name = if is_xen { *b"Xen\0" } else { *b"GNU\0" };
    [4, 4, 18, u32::from_le_bytes(name), ENTRY].iter().flat_map(|word| word.to_le_bytes()).collect()
}

impl Slow {
    /// The ELF file, and where it is cut.
    fn elf(&self) -> (Vec<u8>, Vec<usize>) {
        let by_program = self.notes == Notes::Programs;
        let programs = if by_program { self.count + 2 } else { 1 };
        assert!(programs <= MAX_SEGMENTS);
        let mut pools: Vec<Vec<u8>> = (0..self.pools).map(|n| filling(self.len, n as u64)).collect();
        let pools_at = HEADER + programs * PROGRAM;
        let mut cuts = vec![0, HEADER, pools_at];
        for n in 0..self.pools {
            if self.straddle {
                cuts.push(pools_at + n * self.len + self.len / 2);
            }
            cuts.push(pools_at + (n + 1) * self.len);
        }
        let mut ranges = Vec::new();
        for n in 0..=self.count {
            let bytes = note(n == self.count);
            let pool = n % self.pools;
            let row = if self.straddle { self.len / 2 - bytes.len() / 2 } else { bytes.len() * (n / self.pools) };
            // Where all lie in the middle, the last has a place of its own.
            let at = if self.straddle && n == self.count { 0 } else { row };
            pools[pool][at..at + bytes.len()].copy_from_slice(&bytes);
            let len = if self.cut && n == self.count { bytes.len() - 4 } else { bytes.len() };
            ranges.push((pools_at + pool * self.len + at, len));
        }
        let sections_at = *cuts.last().unwrap_or(&0);
        let sections = if by_program { 0 } else { self.count + 2 };
        let code_at = sections_at + sections * SECTION;
        // mov al, STARTED; out 0xf4, al; hlt
        let code = [0xb0, STARTED, 0xe6, 0xf4, 0xf4];

        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        let half = |number: usize| (number as u16).to_le_bytes();
        let long = |number: usize| (number as u64).to_le_bytes();
        file.extend([2, 62].into_iter().flat_map(half));
        file.extend(1_u32.to_le_bytes());
        file.extend([ENTRY as usize, HEADER, if by_program { 0 } else { sections_at }].into_iter().flat_map(long));
        file.extend(0_u32.to_le_bytes());
        file.extend([HEADER, PROGRAM, programs, SECTION, sections, 0].into_iter().flat_map(half));
        let mut program = |kind: u32, at: usize, place: usize, len: usize| {
            file.extend([kind, 7].into_iter().flat_map(u32::to_le_bytes));
            file.extend([at, place, place, len, len, 4].into_iter().flat_map(long));
        };
        program(1, code_at, ENTRY as usize, code.len());
        ranges.iter().filter(|_| by_program).for_each(|(at, len)| program(4, *at, 0, *len));
        file.extend(pools.concat());
        let mut section = |kind: u32, at: usize, len: usize| {
            file.extend([0, kind].into_iter().flat_map(u32::to_le_bytes));
            file.extend([0, 0, at, len].into_iter().flat_map(long));
            file.extend(0_u64.to_le_bytes());
            file.extend([4, 0].into_iter().flat_map(long));
        };
        if !by_program {
            section(0, 0, 0);
            ranges.iter().for_each(|(at, len)| section(7, *at, *len));
        }
        file.extend(code);
        cuts.extend([code_at, file.len()]);
        cuts.dedup();
        (file, cuts)
    }

    fn pack(&self) -> Result<Vec<u8>, Trouble> {
        let (elf, cuts) = self.elf();
        let frame = |pair: &[usize]| {
            let content = &elf[pair[0]..pair[1]];
            let codec = if content.len() > 1000 { self.codec } else { Codec::None };
            let stored = match codec {
                Codec::Zstd => of_many_blocks(content)?,
                _ => {
                    pack::compress::frames(
                        content,
                        &pack::cut::pieces(content.len() as u64, []),
                        settings(codec),
                        &|_| (),
                    )
                    .map_err(|error| error.to_string())?
                    .remove(0)
                    .stored
                }
            };
            let codec = if stored.len() == content.len() { Codec::None } else { codec };
            Ok(EncodedFrame { content_len: content.len() as u32, codec, stored })
        };
        let frames = cuts.windows(2).map(frame).collect::<Result<Vec<_>, Trouble>>()?;
        let kernel = EncodedKernel { name: self.name.into(), sha256: Sha256::digest(&elf).into(), frames };
        let (decisions, modules, allowed) = (Decisions::default(), vec![], vec![]);
        let content =
            PackContent { kernel, cmdline: None, modules, decisions, locked: false, measured: false, allowed };
        Ok(content.encode().map_err(|error| error.to_string())?)
    }
}

fn settings(codec: Codec) -> pack::compress::Settings {
    pack::compress::Settings::of(codec)
}

/// Bytes of which each few hundred have a code and tables of their own.
fn filling(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let letters: Vec<u8> = (0..24).map(|_| rng.u8(..)).collect();
        for _ in 0..40 {
            let few = 1 + rng.usize(..24);
            bytes.extend((0..rng.usize(1..6)).map(|_| letters[rng.usize(..few)]));
            let from = bytes.len().saturating_sub(1 + rng.usize(..200));
            let to = (from + rng.usize(3..8)).min(bytes.len());
            bytes.extend_from_within(from..to);
        }
    }
    bytes.truncate(len);
    bytes
}

/// A frame that a pack may have, of as many blocks as it may have, or of 200 bytes each.
fn of_many_blocks(content: &[u8]) -> Result<Vec<u8>, Trouble> {
    let wrong = |error: std::io::Error| Trouble::from(error.to_string());
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 19).map_err(wrong)?;
    let window = CParameter::WindowLog(content.len().next_power_of_two().ilog2().max(10));
    for parameter in [CParameter::ChecksumFlag(true), CParameter::ContentSizeFlag(true), window] {
        encoder.set_parameter(parameter).map_err(wrong)?;
    }
    encoder.set_pledged_src_size(Some(content.len() as u64)).map_err(wrong)?;
    for chunk in content.chunks((content.len() / (MAX_BLOCKS - 8)).max(200)) {
        encoder.write_all(chunk).and_then(|()| encoder.flush()).map_err(wrong)?;
    }
    let frame = encoder.finish().map_err(wrong)?;
    check(zstd_blocks(&frame).is_some(), "a frame that no pack may have")?;
    Ok(frame)
}
