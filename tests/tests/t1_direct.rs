//! T1: kernels started by the direct protocol, each linked somewhere else. What they find is compared with the promises.

use harness::Exit;
use harness::probe::direct::{self, Direct};
use harness::probe::{self, Lines};
use harness::trial::{self, Trouble};

fn main() {
    let layouts = direct::layouts();
    trial::main(layouts.into_iter().map(|layout| trial::test(layout.name, move || run(&layout))).collect());
}

/// Starts the kernel from a pack.
fn run(layout: &Direct) -> Result<(), Trouble> {
    let outcome = direct::machine("t1", layout)?.run()?;
    outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
    let lines = Lines::of(&outcome.serial);
    direct::check(layout, &lines).map_err(|error| outcome.failure(&format!("{error:#}")))?;
    Ok(())
}
