//! Frames and blocks that are made by the grammar alone, as they are and changed, by each path and by other decoders.

use std::collections::{BTreeSet, HashSet};

use decode::lz4::BlockError;
use decode::zstd::{Checksum, Tables};
use decode::{Path, zstd};
use grammar::others::{Others, compare_lz4};
use grammar::{Choices, FEATURES, Size};

/// Bytes that chance begins with.
fn bytes(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..random.usize(0..200)).map(|_| random.u8(..)).collect()
}

#[test]
fn frames_decode_to_their_content() {
    let mut others = Others::default();
    let mut seen = BTreeSet::new();
    for seed in 0..4000 {
        let size = if seed % 250 == 0 { Size::LARGE } else { Size::SMALL };
        let frame = grammar::frame(&mut Choices::new(&bytes(seed)), size);
        let compared = others.compare(&frame.stored, frame.content.len());
        assert_eq!(compared.ours, Some(Ok(Checksum(grammar::checksum(&frame.content)))), "seed {seed}");
        let mut content = vec![0x5a; frame.content.len()];
        assert!(others.libzstd(&frame.stored, &mut content) && content == frame.content, "seed {seed}");
        seen.extend(frame.features);
    }
    let all = BTreeSet::from(FEATURES);
    assert!(seen == all, "never: {:?}", all.difference(&seen).collect::<Vec<_>>());
}

/// Sequences whose copies would reach literals that are still to be read, if they were not taken one by one.
#[test]
fn frames_decode_where_content_meets_literals() {
    for seed in 0..1500_u64 {
        let frame = grammar::far(&mut Choices::new(&bytes(seed)));
        for path in [Path::PLAIN, Path::detect()] {
            let mut content = vec![0x5a; frame.content.len()];
            let result = zstd::decode(&frame.stored, &mut content, &mut Tables::new(), path);
            assert!(result.is_ok() && content == frame.content, "seed {seed}, {path:?}: {result:?}");
        }
    }
}

#[test]
fn changed_frames_decode_alike_or_not_at_all() {
    let mut others = Others::default();
    let (mut decoded, mut refused) = (0, HashSet::new());
    for seed in 0..12_000 {
        let bytes = bytes(seed);
        let mut choices = Choices::new(&bytes);
        let mut frame = grammar::frame(&mut choices, Size::SMALL);
        grammar::change(&mut choices, &mut frame.stored, &frame.parts, 4);
        match others.compare(&frame.stored, frame.content.len()).ours {
            Some(Err(error)) => _ = refused.insert(std::mem::discriminant(&error)),
            _ => decoded += 1,
        }
    }
    // Some changes change nothing, or content.
    assert!(decoded > 4000, "{decoded}");
    assert!(refused.len() > 18, "{}", refused.len());
}

#[test]
fn blocks_of_lz4_decode_to_their_content() {
    for seed in 0..6000 {
        let (stored, content) = grammar::lz4::block(&mut Choices::new(&bytes(seed)), 60);
        let mut decoded = vec![0x5a; content.len()];
        assert_eq!(decode::lz4::decode(&stored, &mut decoded), Ok(()), "seed {seed}");
        assert!(decoded == content, "seed {seed}");
        assert_eq!(compare_lz4(&stored, content.len()), Ok(()), "seed {seed}");
    }
}

#[test]
fn changed_blocks_of_lz4_decode_alike_or_not_at_all() {
    let mut results = [0; 6];
    for seed in 0..30_000 {
        let bytes = bytes(seed);
        let mut choices = Choices::new(&bytes);
        let (mut stored, content) = grammar::lz4::block(&mut choices, 30);
        grammar::change(&mut choices, &mut stored, &[], 0);
        let len = content.len() - choices.below(2).min(content.len());
        results[match compare_lz4(&stored, len) {
            Ok(()) => 0,
            Err(BlockError::Truncated) => 1,
            Err(BlockError::Short { .. }) => 2,
            Err(BlockError::Long) => 3,
            Err(BlockError::Offset) => 4,
            Err(BlockError::End) => 5,
        }] += 1;
    }
    assert!(results[..5].iter().all(|count| *count > 100) && results[5] > 0, "{results:?}");
}
