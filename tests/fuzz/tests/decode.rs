//! Frames of a hostile packer.
#![allow(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use decode::zstd::FrameError;
use fuzz::changes::Change;
use pack::decode::NoContent;
use shared::format::Codec;
use stage0::load::DecodeError;

/// Changed frames that are tried.
const CASES: usize = 1500;

/// Why the decoder refuses a frame, if it does.
fn said_of(input: &[u8]) -> BTreeSet<String> {
    fuzz::said::listen(|| fuzz::decode::run(input))
}

/// What `regressions/disputed.txt` says of each of the files in the folder beside it, in a line `NAME: SENTENCE`.
fn disputed_frames_have_a_sentence_each_and_no_content() {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions/disputed.txt");
    let text = fs::read_to_string(text).expect("the sentences");
    let told: BTreeSet<&str> = text.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    let known = fuzz::decode::disputed().expect("the folder");
    assert!(told.iter().eq(known.keys()), "{told:?}: of each of {:?}", known.keys());
    for (name, input) in &known {
        fuzz::decode::run(input);
        let len = u32::from_le_bytes([input[1], input[2], input[3], 0]);
        let content = pack::decode::frame(Codec::Zstd, &input[4..], &mut vec![0; len as usize]);
        let refused = NoContent::Refused(DecodeError::Zstd(FrameError::LiteralsStream));
        assert_eq!(content, Err(refused), "{name}");
    }
    println!("{} frames of two contents are refused", known.len());
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions/decode");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let said = said_of(&fs::read(entry.path()).expect("a file"));
        assert!(said.len() == 1, "{}: {said:?}", entry.path().display());
    }
    disputed_frames_have_a_sentence_each_and_no_content();
    let seeds = fuzz::decode::seeds();
    for seed in &seeds {
        assert!(said_of(seed).is_empty(), "what is right is refused: {:?}", said_of(seed));
    }
    let mut rng = fastrand::Rng::with_seed(6);
    for n in 0..CASES {
        let mut input = seeds[n % seeds.len()].clone();
        for _ in 0..rng.usize(..4) {
            let (at, value) = (rng.u32(..), rng.u8(..));
            let change = match rng.u8(..4) {
                0 => Change::Set(at, value),
                1 => Change::Flip(at, value),
                2 => Change::Copy(at, rng.u32(..), value),
                _ => Change::Set(at % 40, value),
            };
            change.make(&mut input);
        }
        fuzz::decode::run(&input);
    }
    println!("{CASES} changed frames decoded or refused");
}
