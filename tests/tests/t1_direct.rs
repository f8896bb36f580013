//! T1: kernels started by the direct protocol, each linked somewhere else. What they find is compared with the promises.

use harness::Exit;
use harness::probe::direct::{self, Kernel};
use harness::probe::{self, Class, Lines};
use harness::trial::{self, Trouble};

fn main() {
    let layouts = direct::layouts().into_iter();
    let mut tests: Vec<_> = layouts.map(|layout| trial::test(layout.name, move || run(&layout.kernel()?))).collect();
    // 16 MiB up: their own place crosses a PC's hole below 1 MiB.
    let base = Some(0x3f00_0000);
    tests.push(trial::test("opensolaris-64", move || run(&direct::solaris(Class::Elf64, base)?)));
    tests.push(trial::test("opensolaris-32", move || run(&direct::solaris(Class::Elf32, base)?)));
    trial::main(tests);
}

/// Starts the kernel from a pack.
fn run(kernel: &Kernel) -> Result<(), Trouble> {
    let outcome = direct::machine("t1", kernel)?.run()?;
    outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
    let lines = Lines::of(&outcome.serial);
    Ok(direct::check(kernel, &lines, 0).map_err(|error| outcome.failure(&format!("{error:#}")))?)
}
