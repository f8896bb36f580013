//! The kernels of T1 that are started by the direct protocol, and OpenSolaris' images, in PVH domains of a real Xen.

use fastrand::Rng;
use harness::pie::{Form, Pie};
use harness::probe::direct::{self, Kernel, Processor};
use harness::probe::{self, Class, Lines};
use harness::tier4::{self, Domain, Kind, Release};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, Outcome, stage0};
use libtest_mimic::Trial;
use pack::build::Request;

pub(crate) fn tests() -> Vec<Trial> {
    vec![trial::test("each_promise_is_kept", each_promise), trial::test("static_pies_are_relocated", pies)]
}

/// One for each class and way to say relocations: each finds what it prints by one.
fn pies() -> Result<(), Trouble> {
    let forms = [Form::Rela, Form::Rel, Form::Relr].into_iter();
    let mut rng = Rng::with_seed(4);
    let count = 500;
    let pies: Vec<Pie> = forms
        .flat_map(|form| [(true, form), (false, form)])
        .map(|(is_64, form)| Pie::generate(&mut rng, is_64, form, count))
        .collect();
    let domain = |(n, pie): (usize, &Pie)| {
        let name = format!("t4-pie-{n}");
        let built = Request::new(name.clone(), pie.elf.clone()).build(&|_| ()).map_err(anyhow::Error::from)?;
        let packed = probe::file(&format!("{name}.pack"), &built.pack)?;
        Ok(Domain::new(Kind::Pvh, Machine::new(name, stage0::file()?).memory(64).initrd(packed)))
    };
    let domains = pies.iter().enumerate().map(domain).collect::<Result<Vec<Domain>, Trouble>>()?;
    let outcomes = tier4::run(Release::Trixie, &domains)?;
    for (pie, outcome) in pies.iter().zip(&outcomes) {
        let line = pie.line(count);
        check(outcome.serial.lines().any(|found| found == line), outcome.failure(&format!("expected: {line}")))?;
    }
    Ok(())
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
