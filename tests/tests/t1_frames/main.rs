//! T1: packs whose frames their maker bent: stage0 does with each what the same code on the host says, and soon.

mod disputed;
mod slow;

#[expect(clippy::panic, clippy::unwrap_used, reason = "what the frames are made of is known there")]
#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "../../../pack/tests/common/four_streams.rs"]
mod four_streams;

use std::time::Duration;

use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, probe, stage0};
use pack::check::{Obstacle, Verdict};
use pack::domain::{Domain, Kind};
use pack::image::Image;
use shared::memory::Builder;
use shared::trust::TrustSlot;

/// How long a start may take, QEMU's and the firmware's included. An idle machine takes half a second for each of these.
const LIMIT: Duration = Duration::from_secs(5);

fn main() {
    let mut tests = vec![
        trial::test("frames_of_two_contents", disputed::two_contents),
        trial::test("frames_of_another_checksum", disputed::other_checksum),
    ];
    tests.extend(slow::tests());
    trial::main(tests);
}

/// Starts stage0 with the pack.
fn start(name: &str, pack: &[u8]) -> Result<Outcome, Trouble> {
    let file = probe::file(&format!("{name}.pack"), pack)?;
    Ok(Machine::new(name, stage0::file()?).initrd(file).limit(LIMIT).run()?)
}

/// What `pack check` says of it.
fn checked(pack: &[u8]) -> Result<Result<Verdict, Obstacle>, Trouble> {
    let image = Image::parse(pack).map_err(|cause| cause.to_string())?;
    let domain = Domain { kind: Kind::Pvh, builder: Builder::Qemu, memory: None, cmdline: "", trust: TrustSlot::EMPTY };
    Ok(pack::check::check(&image, pack::stage0::EMBEDDED, &domain))
}

/// Whether stage0 ended it with one line that begins so.
fn refused(outcome: &Outcome, says: &str) -> Result<(), Trouble> {
    outcome.ended(&Exit::Debug(stage0::EXIT_ERROR))?;
    let errors = stage0::errors(&outcome.serial);
    let is_one = errors.len() == 1 && errors.iter().all(|error| error.starts_with(says));
    check(is_one, outcome.failure(&format!("expected one line that begins with {says:?}")))
}
