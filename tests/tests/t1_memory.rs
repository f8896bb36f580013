//! T1: the memory that `pack info` states is the least with which stage0 puts a kernel in place; with a MiB less, it says both
//! numbers.

use harness::stated::{self, LAST_LINE, Stated};
use harness::trial::{self, Trouble};
use harness::{Exit, stage0};
use shared::format::Codec;
use shared::kernel::Protocol;
use shared::memory::Builder;

fn main() {
    let probes = |protocol| move || stated::probes(protocol)?.iter().try_for_each(at_need_and_below);
    trial::main(vec![
        trial::test("five_probes", probes(Protocol::Pvh)),
        trial::test("five_probes_by_the_direct_protocol", probes(Protocol::Direct)),
        trial::test("two_kernels_of_the_distribution", || {
            stated::distribution(Codec::Lz4, &[Protocol::Pvh])?.iter().try_for_each(at_need_and_below)
        }),
    ]);
}

fn at_need_and_below(stated: &Stated) -> Result<(), Trouble> {
    let need = stated.need(Builder::Qemu);
    println!("{}: {need} MiB", stated.name);
    let machine = stated.machine(need)?;
    // A Linux may take long to find that it has too little.
    let machine = if stated.is_linux { machine.until(LAST_LINE) } else { machine };
    stated.got_through(&machine.run()?)?;
    stated.refused(Builder::Qemu, &stated.machine(need - 1)?.run()?, &Exit::Debug(stage0::EXIT_ERROR))
}
