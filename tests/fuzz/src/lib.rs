//! Fuzz targets: each takes any bytes whatever, and panics if mstrap breaks a promise over them.
//!
//! A target is one function. cargo-fuzz calls it from `fuzz_targets`, and the tests of this crate call it with real inputs that
//! proptest changes, so that what a fuzzer looks for is looked for with a stable compiler too. Inputs that once found something
//! lie in `regressions`, by target, and are tried by the same tests.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a promise that is broken ends a target")]

pub mod builder;
pub mod changes;
pub mod decode;
pub mod domain;
pub mod format;
pub mod frames;
pub mod input;
pub mod kernel;
pub mod load;
pub mod notes;
pub mod open;
pub mod pv;
pub mod pv_builder;
pub mod said;
pub mod seal;
pub mod seeds;

/// A target.
pub struct Target {
    /// Its name, as cargo-fuzz has it.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 10] = [
    Target { name: "builder", run: builder::run, seeds: builder::seeds },
    Target { name: "decode", run: decode::run, seeds: decode::seeds },
    Target { name: "format", run: format::run, seeds: format::seeds },
    Target { name: "frames", run: frames::run, seeds: frames::seeds },
    Target { name: "kernel", run: kernel::run, seeds: kernel::seeds },
    Target { name: "load", run: load::run, seeds: load::seeds },
    Target { name: "notes", run: notes::run, seeds: notes::seeds },
    Target { name: "open", run: open::run, seeds: open::seeds },
    Target { name: "pv", run: pv::run, seeds: pv::seeds },
    Target { name: "pv_builder", run: pv_builder::run, seeds: pv_builder::seeds },
];
