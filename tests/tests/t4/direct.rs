//! The kernels of T1 that are started by the direct protocol, and OpenSolaris' images, in PVH domains of a real Xen.

use harness::probe::direct::{self, Kernel, Processor};
use harness::probe::{Class, Lines};
use harness::tier4::{self, Domain, Kind, Release};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Outcome};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    vec![trial::test("each_promise_is_kept", each_promise)]
}

/// All in one call, as Xen has to be started first.
fn each_promise() -> Result<(), Trouble> {
    let layouts = direct::layouts().into_iter();
    let mut kernels = layouts.map(|layout| Ok(layout.kernel()?)).collect::<Result<Vec<Kernel>, Trouble>>()?;
    kernels.extend([direct::solaris(Class::Elf64, None)?, direct::solaris(Class::Elf32, None)?]);
    let domains = kernels.iter().map(|kernel| {
        let machine = direct::machine("t4", kernel)?.append("stage0.quiet");
        Ok(Domain::new(Kind::Pvh, machine))
    });
    let mut domains = domains.collect::<Result<Vec<Domain>, Trouble>>()?;
    domains.push(Domain::new(Kind::Pv, direct::machine("t4-pv", &kernels[0])?));
    let outcomes = tier4::run(Release::Trixie, &domains)?;
    let mut failures = Vec::new();
    for (kernel, outcome) in kernels.iter().zip(&outcomes) {
        let lines = Lines::of(&outcome.serial);
        let kept =
            direct::check(kernel, &lines, Processor::WHOLE).map_err(|error| outcome.failure(&format!("{error:#}")));
        failures.extend(kept.and_then(|()| outcome.ended(&Exit::PowerOff)).err());
    }
    failures.extend(outcomes.last().and_then(|outcome| refused(outcome).err()));
    check(failures.is_empty(), failures.join("\n"))
}

/// A PV domain has no such protocol.
fn refused(outcome: &Outcome) -> Result<(), String> {
    let line = "stage0: error: kernel: packed for direct, in a PV domain: use type=pvh";
    if !outcome.xen_console.lines().any(|found| found.trim_end() == line) {
        return Err(outcome.failure(&format!("expected: {line}")));
    }
    outcome.ended(&Exit::Crashed)
}
