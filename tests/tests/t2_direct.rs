//! T2: the kernels of T1 that are started by the direct protocol, in QEMU's emulation of Xen.

use harness::probe::Lines;
use harness::probe::direct::{self, Kernel, Processor};
use harness::trial::{self, Trouble, check};
use harness::{Machine, tier2};

fn main() {
    trial::main(vec![trial::test("each_promise_is_kept", each_promise)]);
}

/// All in one call, as the emulation may have to be started first.
fn each_promise() -> Result<(), Trouble> {
    let kernels =
        direct::layouts().iter().map(|layout| Ok(layout.kernel()?)).collect::<Result<Vec<Kernel>, Trouble>>()?;
    let machines = kernels.iter().map(|kernel| Ok(direct::machine("t2", kernel)?));
    let machines = machines.collect::<Result<Vec<Machine>, Trouble>>()?;
    let processor = Processor { foreign: direct::CR4_MCE, ..Processor::WHOLE };
    let mut failures = Vec::new();
    for (kernel, outcome) in kernels.iter().zip(tier2::run(&machines)?) {
        let kept = direct::check(kernel, &Lines::of(&outcome.serial), processor);
        failures.extend(kept.err().map(|error| outcome.failure(&format!("{error:#}"))));
    }
    check(failures.is_empty(), failures.join("\n"))
}
