//! T4: PV domains of a real Xen, created by its real toolstack: kernels made of the probe, started by libxl itself and by
//! stage0 from a pack.

use std::sync::OnceLock;

use harness::probe::{Case, Layout, Lines, for_pv};
use harness::tier4::{self, Domain, Kind};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Outcome};

/// Lines that may differ.
const DIFFER: [&str; 3] = [
    // stage0's last three instructions, right below the stack's end, where the first push overwrites them; `after_stage0` has
    // the line exactly.
    "stack",
    // Which machine frames a domain gets is Xen's choice, and stage0 renames them.
    "p2m.jumps",
    // What is left of the pack and of stage0, in memory that nobody was given.
    "frames.free.nonzero",
];

fn main() {
    trial::main(vec![
        trial::test("probes_started_by_the_builder_itself", direct),
        trial::test("probes_are_equal_to_a_direct_start", equal),
    ]);
}

/// All domains, run in one go, as Xen has to be started first.
struct Batch {
    cases: Vec<Case>,
    /// Each case started by libxl itself and by stage0.
    probes: Vec<[Outcome; 2]>,
}

impl Batch {
    fn get() -> Result<&'static Self, Trouble> {
        static BATCH: OnceLock<Result<Batch, Trouble>> = OnceLock::new();
        BATCH.get_or_init(Self::run).as_ref().map_err(Clone::clone)
    }

    fn run() -> Result<Self, Trouble> {
        let cases = cases();
        let mut machines = Vec::new();
        for case in &cases {
            let packed = case.packed("t4-pv")?.append(format!("stage0.quiet {}", Case::BUILDERS));
            machines.extend([case.direct("t4-pv")?, packed]);
        }
        let domains: Vec<Domain> = machines.into_iter().map(|machine| Domain::new(Kind::Pv, machine)).collect();
        let outcomes: Vec<Outcome> = tier4::run(&domains)?.into_iter().map(console_first).collect();
        let probes = outcomes.as_chunks().0.to_vec();
        check(probes.len() == cases.len(), "expected two outcomes of each case")?;
        Ok(Self { cases, probes })
    }
}

/// What a PV domain says it says to its console ring.
fn console_first(mut outcome: Outcome) -> Outcome {
    outcome.serial = std::mem::take(&mut outcome.xen_console);
    outcome
}

fn cases() -> Vec<Case> {
    const BARE: [&str; 4] = ["pv-linux-bare", "pv-low-bare", "pv-bsd-bare", "pv-first-bare"];
    let with = for_pv().map(|layout| Case { memory_mib: 64, ..Case::new(layout) });
    let without = with.iter().zip(BARE).map(|(case, name)| {
        let layout = Layout { name, ..case.layout.clone() };
        Case { layout, module: None, ..case.clone() }
    });
    with.iter().cloned().chain(without).collect()
}

fn direct() -> Result<(), Trouble> {
    for [outcome, _] in &Batch::get()?.probes {
        let lines = Lines::of(&outcome.serial);
        check(lines.is_complete(), outcome.failure("the probe did not come to its end"))?;
        check(lines.not_ok().is_empty(), outcome.failure(&lines.not_ok().join("\n")))?;
        outcome.ended(&Exit::PowerOff)?;
    }
    Ok(())
}

fn equal() -> Result<(), Trouble> {
    let batch = Batch::get()?;
    let results = batch.cases.iter().zip(&batch.probes).map(|(case, [direct, packed])| {
        case.compare(direct, packed, &DIFFER)?;
        after_stage0(packed)?;
        check(!packed.serial.contains("stage0: "), packed.failure("expected no line of stage0's"))?;
        Ok(packed.ended(&Exit::PowerOff)?)
    });
    all(results)
}

/// Succeeds if all do; else fails with all that failed.
fn all(results: impl Iterator<Item = Result<(), Trouble>>) -> Result<(), Trouble> {
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(()) => {}
            Err(Trouble::Failed(message)) => failures.push(message),
            Err(missing) => return Err(missing),
        }
    }
    check(failures.is_empty(), failures.join("\n"))
}

/// The boot stack is zero but for stage0's last 12 bytes.
fn after_stage0(packed: &Outcome) -> Result<(), Trouble> {
    let found = Lines::of(&packed.serial).named("stack").map(str::to_owned);
    let expected = "info stack: 0x1000 bytes, not zero at 0xff4";
    check(found.as_deref() == Some(expected), packed.failure(&format!("expected: {expected}, found {found:?}")))
}
