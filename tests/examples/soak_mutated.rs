//! The long form of tier T4's changed packs: domains of each kind whose packs were changed at random.
//!
//! `soak_mutated [DOMAINS [SEED]]`: 50 of each kind and seed 1 unless others are given. Ends with status 1 if one of them neither
//! starts its kernel nor is refused in one line.

use std::env;
use std::process::ExitCode;

use anyhow::Result;
use harness::tier4::mutated::{self, Changed};
use harness::tier4::{self, Domain, Kind, Release};

/// Domains of one boot of Xen.
const BATCH: usize = 25;

fn main() -> ExitCode {
    let mut numbers = env::args().skip(1).map(|word| word.parse::<u64>());
    let (count, seed) = (numbers.next().unwrap_or(Ok(50)), numbers.next().unwrap_or(Ok(1)));
    let (Ok(count), Ok(seed)) = (count, seed) else {
        eprintln!("usage: soak_mutated [DOMAINS [SEED]]");
        return ExitCode::from(2);
    };
    let mut status = ExitCode::SUCCESS;
    for kind in Kind::ALL {
        match soak(kind, count, seed) {
            Ok(started) => {
                println!("seed {seed}: of {count} changed packs in {kind} domains, {started} started their kernel")
            }
            Err(error) => {
                println!("seed {seed}, {kind}: {error:#}");
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

/// How many started their kernel.
fn soak(kind: Kind, count: u64, seed: u64) -> Result<usize> {
    let mut done = Vec::new();
    for some in mutated::changed(kind, count, seed)?.chunks(BATCH) {
        let domains: Vec<Domain> = some.iter().map(|changed: &Changed| changed.domain.clone()).collect();
        done.extend(some.iter().cloned().zip(tier4::run(Release::Trixie, &domains)?));
    }
    mutated::check(&done)
}
