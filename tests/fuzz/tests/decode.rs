//! Frames of a hostile packer, in the heap that the decoders have in the guest.
#![allow(clippy::expect_used, reason = "a step that fails is a test that fails")]

#[path = "../guest_heap.rs"]
mod guest_heap;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fuzz::changes::Change;

/// Changed frames that are tried.
const CASES: usize = 1500;

/// Why the decoder refuses a frame, if it does.
fn said_of(input: &[u8]) -> BTreeSet<String> {
    fuzz::said::listen(|| guest_heap::run(input))
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions/decode");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let said = said_of(&fs::read(entry.path()).expect("a file"));
        assert!(said.len() == 1, "{}: {said:?}", entry.path().display());
    }
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
        guest_heap::run(&input);
    }
    println!("{CASES} changed frames decoded or refused");
}
