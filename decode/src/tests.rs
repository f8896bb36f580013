//! Frames and blocks of the grammar, few enough for Miri, which looks at each access of the fast loops.

use std::vec;
use std::vec::Vec;

use grammar::{Choices, Size};

use crate::zstd::Tables;
use crate::{Path, lz4, zstd};

/// How many of each.
const COUNT: u64 = if cfg!(miri) { 60 } else { 3000 };

fn bytes(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..random.usize(0..120)).map(|_| random.u8(..)).collect()
}

#[test]
fn frames_decode_within_their_bounds() {
    let size = Size { blocks: 3, literals: 600, sequences: 40 };
    let mut tables = Tables::new();
    for seed in 0..COUNT {
        let bytes = bytes(seed);
        let mut choices = Choices::new(&bytes);
        let mut frame = grammar::frame(&mut choices, size);
        let changed = seed % 3 == 0;
        if changed {
            grammar::change(&mut choices, &mut frame.stored, &frame.parts, 4);
        }
        for path in [Path::PLAIN, Path::detect()] {
            // Exactly as much as there is to be.
            let stored = frame.stored.clone().into_boxed_slice();
            let mut content = vec![0x5a; frame.content.len()].into_boxed_slice();
            let result = zstd::decode(&stored, &mut content, &mut tables, path);
            assert!(changed || result.is_ok(), "seed {seed}, {path:?}: {result:?}");
            assert!(changed || *content == *frame.content, "seed {seed}, {path:?}");
        }
    }
}

#[test]
fn blocks_of_lz4_decode_within_their_bounds() {
    for seed in 0..COUNT {
        let bytes = bytes(seed);
        let mut choices = Choices::new(&bytes);
        let (mut stored, expected) = grammar::lz4::block(&mut choices, 30);
        let changed = seed % 3 == 0;
        if changed {
            grammar::change(&mut choices, &mut stored, &[], 0);
        }
        let mut content = vec![0x5a; expected.len()].into_boxed_slice();
        let result = lz4::decode(&stored.into_boxed_slice(), &mut content);
        assert!(changed || result.is_ok() && *content == *expected, "seed {seed}: {result:?}");
    }
}
