//! T1: kernels started by the direct protocol, each linked somewhere else. What they find is compared with the promises.

use harness::Exit;
use harness::probe::direct::{self, Kernel};
use harness::probe::{self, Class, Lines};
use harness::trial::{self, Trouble};

fn main() {
    let layouts = direct::layouts().into_iter();
    let mut tests: Vec<_> = layouts.map(|layout| trial::test(layout.name, move || run(&layout.kernel()?))).collect();
    tests.push(trial::test("opensolaris-64", || run(&direct::solaris(Class::Elf64)?)));
    tests.push(trial::test("opensolaris-32", || run(&direct::solaris(Class::Elf32)?)));
    trial::main(tests);
}

/// Starts the kernel from a pack.
fn run(kernel: &Kernel) -> Result<(), Trouble> {
    let outcome = direct::machine("t1", kernel)?.run()?;
    outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
    let lines = Lines::of(&outcome.serial);
    Ok(direct::check(kernel, &lines, 0).map_err(|error| outcome.failure(&format!("{error:#}")))?)
}
