//! T1: packs that were changed at random. Each starts the kernel that it names, or is refused in one line; nothing hangs.
//!
//! `MSTRAP_SEED` and `MSTRAP_MUTATED` set where the random numbers begin, and how many packs are tried.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use harness::mutated::{self, Mutated};
use harness::probe::{self, Content, Extra, Layout};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, stage0};
use pack::build::{Module, Request};
use shared::format::Codec;
use shared::memory::MIB;

/// Packs that are tried if nothing else is said, and the seed.
const COUNT: u64 = 30;
const SEED: u64 = 2006;
/// Machines at a time.
const AT_A_TIME: usize = 2;
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(30);

fn main() {
    trial::main(vec![trial::test("changed_packs_start_their_kernel_or_are_refused", changed)]);
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A pack of a probe, with all that a pack can have.
fn sample(codec: Codec) -> Result<Vec<u8>, Trouble> {
    let filler = Extra::whole(20 * MIB, 300_000, Content::Noise(1));
    let kernel = fs::read(probe::build(&Layout::at("mutated", 16 * MIB).with(filler))?)?;
    let mut request = Request::new("mutated", kernel);
    request.cmdline = Some("of the pack".to_owned());
    (request.settings.level, request.settings.codec) = (1, codec);
    request.allowed = vec!["quiet".to_owned(), "a=*".to_owned()];
    request.modules = vec![Module { name: "module".to_owned(), content: probe::module(50_000, Content::Noise(2)) }];
    Ok(request.build(&|_| ()).map_err(|error| error.to_string())?.pack)
}

fn changed() -> Result<(), Trouble> {
    let (seed, count) = (number("MSTRAP_SEED", SEED), number("MSTRAP_MUTATED", COUNT));
    let samples = [Codec::Zstd, Codec::Lz4, Codec::None].map(sample);
    let stage0 = stage0::file()?;
    let (next, results) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let whole = samples[n as usize % samples.len()].as_ref().map_err(Clone::clone);
                    let result = whole.and_then(|whole| {
                        let case = mutated::mutated(whole, &mut Rng::with_seed(seed.wrapping_add(n)))?;
                        run(n, &stage0, &case)
                    });
                    results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let results: Vec<bool> = results.into_iter().collect::<Result<_, Trouble>>()?;
    let started = results.iter().filter(|started| **started).count();
    println!(
        "seed {seed}: of {count} changed packs, {started} started their kernel, the others were refused in one line"
    );
    check(results.len() as u64 == count && started > 0 && started < results.len(), "both outcomes are expected")
}

/// Whether the kernel started.
fn run(n: u64, stage0: &PathBuf, case: &Mutated) -> Result<bool, Trouble> {
    let pack = probe::file(&format!("mutated-{n}.pack"), &case.pack)?;
    let machine = Machine::new(format!("mutated-{n}"), stage0).initrd(&pack).limit(LIMIT);
    let outcome = machine.run()?;
    fs::remove_file(pack)?;
    let started = outcome.exit == Exit::Debug(probe::EXIT_OK);
    let refused = outcome.exit == Exit::Debug(stage0::EXIT_ERROR);
    Ok(mutated::verdict(&case.what, &outcome.serial, &outcome, started, refused)?)
}
