//! The targets with real inputs that proptest changes, and with all that once broke something.
#![allow(clippy::expect_used, clippy::panic, reason = "a step that fails is a test that fails")]

use std::fs;
use std::path::Path;

use fuzz::changes::Change;
use fuzz::{TARGETS, Target};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        (any::<u32>(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        (0..600u32, any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        (any::<u32>(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (0..600u32, any::<u8>()).prop_map(|(at, which)| Change::Number(at, which)),
        (any::<u32>(), any::<u8>()).prop_map(|(at, which)| Change::Number(at, which)),
        (any::<u32>(), any::<u32>(), any::<u8>()).prop_map(|(from, to, len)| Change::Copy(from, to, len)),
        any::<u32>().prop_map(Change::Cut),
        (0..600u32, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(at, new)| Change::Insert(at, new)),
    ];
    proptest::collection::vec(change, 0..6)
}

/// Tries `cases` changed inputs of a target, the same ones each time.
fn twin(name: &str, cases: u32) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| (target.run)(seed));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[6; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let strategy = (0..seeds.len(), changes());
    let result = runner.run(&strategy, |(seed, changes)| {
        let mut input = seeds[seed].clone();
        changes.iter().for_each(|change| change.make(&mut input));
        (target.run)(&input);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn what_once_broke_something_no_longer_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for target in TARGETS {
        let inputs = fs::read_dir(folder.join(target.name)).into_iter().flatten().flatten();
        for entry in inputs {
            println!("{}", entry.path().display());
            (target.run)(&fs::read(entry.path()).expect("a file"));
        }
    }
}

macro_rules! twins {
    ($($name:ident: $cases:expr),+ $(,)?) => {
        $(#[test]
        fn $name() {
            twin(stringify!($name), $cases);
        })+
    };
}

twins! {
    builder: 4000,
    decode: 1500,
    format: 1500,
    frames: 4000,
    kernel: 2000,
    load: 500,
    notes: 3000,
    open: 1500,
    pv: 4000,
    pv_builder: 1500,
}
