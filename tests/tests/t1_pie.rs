//! T1: static PIEs, of both classes and with relocations of each kind: each finds what it prints by a relocation.

use fastrand::Rng;
use harness::pie::{Form, Pie};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, probe, stage0};
use pack::build::Request;
use shared::kernel::Decisions;
use shared::memory::Virt;

fn main() {
    let kinds = [
        ("rela_64", 64, Form::Rela),
        ("rel_64", 64, Form::Rel),
        ("relr_64", 64, Form::Relr),
        ("rela_32", 32, Form::Rela),
        ("rel_32", 32, Form::Rel),
        ("relr_32", 32, Form::Relr),
    ];
    trial::main(kinds.map(|(name, bits, form)| trial::test(name, move || run(bits, form))).into());
}

/// Two that are drawn, one of them mapped elsewhere.
fn run(bits: u32, form: Form) -> Result<(), Trouble> {
    let high = if bits == 64 { 0xffff_ffff_8000_0000 } else { 0xc000_0000 };
    for (n, base) in [(0, None), (1, Some(Virt(high)))] {
        let count = 1000;
        let pie = Pie::generate(&mut Rng::with_seed(22 + n), bits == 64, form, count);
        let name = format!("t1-pie-{bits}-{form:?}-{n}");
        let mut request = Request::new(name.clone(), pie.elf.clone());
        request.decisions = Decisions { virt_base: base, ..Decisions::default() };
        let built = request.build(&|_| ()).map_err(anyhow::Error::from)?;
        let packed = probe::file(&format!("{name}.pack"), &built.pack)?;
        let outcome = Machine::new(name, stage0::file()?).memory(64).initrd(packed).run()?;
        outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
        let line = pie.line(count);
        check(outcome.serial.lines().any(|found| found == line), outcome.failure(&format!("expected: {line}")))?;
    }
    Ok(())
}
