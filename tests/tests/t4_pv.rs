//! T4: PV domains of a real Xen, created by its real toolstack: kernels made of the probe, started by libxl itself and by
//! stage0 from a pack.

use std::sync::OnceLock;

use harness::probe::{Case, Content, Extra, Layout, Lines, Pv};
use harness::tier4::{self, Domain, Kind};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Outcome};
use shared::memory::MIB;

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

/// A high base at which the BSDs' kernels are linked.
const KERNBASE: u64 = 0xffff_ffff_8000_0000;

/// As Linux has it; all in the mapping, from address 0 on; as the BSDs have it; from the first frame on.
fn layouts() -> [Layout; 4] {
    let gap = Extra { memory_size: 2 * MIB, ..Extra::whole(20 * MIB, 1 << 20, Content::Noise(1)) };
    let low = Pv { virt_base: 0, ..Pv::default() };
    let first = Pv { virt_base: 0x4000_0000, hypercall_page: true, ..Pv::default() };
    [
        Layout::pv("pv-linux", 16 * MIB, Pv::linux()).with(gap),
        Layout::pv("pv-low", 2 * MIB, low),
        Layout::pv("pv-bsd", KERNBASE + 2 * MIB, Pv::bsd(KERNBASE)),
        Layout::pv("pv-first", 0, first),
    ]
}

fn cases() -> Vec<Case> {
    let with = layouts().map(|layout| Case { memory_mib: 64, ..Case::new(layout) });
    let without = with.clone().map(|case| Case { module: None, ..case });
    with.into_iter().chain(without).collect()
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
