//! T4: PV domains of a real Xen, created by its real toolstack: kernels made of the probe, started by libxl itself and by
//! stage0 from a pack.

use std::sync::OnceLock;

use harness::probe::{Case, Layout, Lines, for_pv};
use harness::tier4::{self, Domain, Kind};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Outcome};

fn main() {
    trial::main(vec![trial::test("probes_started_by_the_builder_itself", direct)]);
}

/// All domains, run in one go, as Xen has to be started first.
struct Batch {
    cases: Vec<Case>,
    direct: Vec<Outcome>,
}

impl Batch {
    fn get() -> Result<&'static Self, Trouble> {
        static BATCH: OnceLock<Result<Batch, Trouble>> = OnceLock::new();
        BATCH.get_or_init(Self::run).as_ref().map_err(Clone::clone)
    }

    fn run() -> Result<Self, Trouble> {
        let cases = cases();
        let machines = cases.iter().map(|case| case.direct("t4-pv")).collect::<Result<Vec<_>, _>>()?;
        let domains: Vec<Domain> = machines.into_iter().map(|machine| Domain::new(Kind::Pv, machine)).collect();
        let direct = tier4::run(&domains)?.into_iter().map(console_first).collect();
        Ok(Self { cases, direct })
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
    let batch = Batch::get()?;
    for (case, outcome) in batch.cases.iter().zip(&batch.direct) {
        let lines = Lines::of(&outcome.serial);
        check(lines.is_complete(), outcome.failure(&format!("{} did not come to its end", case.layout.name)))?;
        check(lines.not_ok().is_empty(), outcome.failure(&lines.not_ok().join("\n")))?;
        outcome.ended(&Exit::PowerOff)?;
    }
    Ok(())
}
