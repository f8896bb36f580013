//! T1 and T2: only the pack that was meant is started, and what was started is accounted for.

use harness::probe::Layout;
use harness::trial::{self, Trouble, check};
use harness::verified::{self, MeasuredLinux, Verified};
use harness::{Exit, Outcome, probe, stage0, tier2};
use shared::format::Codec;
use shared::memory::MIB;

fn main() {
    trial::main(vec![
        trial::test("t1_what_is_not_signed_required_or_whole_is_refused_and_the_rest_accounted_for", plain),
        trial::test("t1_words_that_a_lock_drops_are_named_and_a_signed_pack_that_is_open_refused", locked),
        trial::test("t1_a_linux_reads_what_was_measured", linux),
        trial::test("t1_verifying_costs_less_than_a_third_of_decoding_zstd", cost),
        trial::test("t2_the_same_under_xen_emulation", under_xen),
    ]);
}

fn plain() -> Result<(), Trouble> {
    run(&verified::domains("t1-verified")?)
}

fn locked() -> Result<(), Trouble> {
    run(&verified::locked("t1-locked", &Layout::at("locked", 16 * MIB))?)
}

fn run(domains: &[Verified]) -> Result<(), Trouble> {
    for domain in domains {
        let outcome = domain.machine.run()?;
        domain.check(&outcome)?;
        let expected = if domain.starts() { probe::EXIT_OK } else { stage0::EXIT_ERROR };
        outcome.ended(&Exit::Debug(expected))?;
    }
    Ok(())
}

/// All in one go, as the emulation may have to be started first.
fn linux() -> Result<(), Trouble> {
    let linux = MeasuredLinux::new("t1-verified-linux", "ttyS0", Codec::Lz4)?;
    let outcome = linux.machine.run()?;
    linux.check(&outcome)?;
    Ok(outcome.ended(&Exit::PowerOff)?)
}

/// With all that there is to verify: the hashes of frames and modules, a signature, and stage0 itself. In ticks that count
/// instructions, whatever else the machine does.
fn cost() -> Result<(), Trouble> {
    let linux = MeasuredLinux::new("t1-verified-cost", "ttyS0", Codec::Zstd)?;
    let machine = linux.machine.arguments(["-icount", "shift=0"]).until("hand over");
    let outcome = machine.run()?;
    let line = outcome.serial.lines().find_map(|line| line.strip_prefix("stage0: timing: "));
    let line = line.ok_or_else(|| outcome.failure("expected stage0's timing"))?;
    let ticks = |phase: &str| {
        let of_phase = line.split(", ").find_map(|part| part.strip_prefix(phase)?.trim().split(' ').next());
        of_phase.and_then(|ticks| ticks.parse::<u64>().ok()).filter(|ticks| *ticks > 0)
    };
    let (verify, decode) = ticks("verify").zip(ticks("decode")).ok_or_else(|| format!("no ticks in {line:?}"))?;
    check(verify < decode / 3, format!("verifying takes {verify} ticks, decoding {decode}"))
}

fn under_xen() -> Result<(), Trouble> {
    let domains = verified::domains("t2-verified")?;
    let machines: Vec<_> = domains.iter().map(|domain| domain.machine.clone()).collect();
    let outcomes: Vec<Outcome> = tier2::run(&machines)?;
    check(outcomes.len() == domains.len(), "expected as many outcomes as machines")?;
    domains.iter().zip(&outcomes).try_for_each(|(domain, outcome)| Ok(Verified::check(domain, outcome)?))
}
