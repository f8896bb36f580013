//! T4: domains of a real Xen, created by its real toolstack. Each module starts one Xen for all of its domains.

mod direct;
mod faults;
mod linux;
mod memory;
mod of_32_bits;
mod older;
mod probes;
mod refused;
mod solaris;

use harness::trial;

fn main() {
    let modules = [
        probes::tests(),
        linux::tests(),
        of_32_bits::tests(),
        older::tests(),
        memory::tests(),
        direct::tests(),
        solaris::tests(),
    ];
    // One test of each module first: it starts that module's Xen, for which the others only wait.
    let mut modules = modules.map(Vec::into_iter);
    let mut tests: Vec<_> = modules.iter_mut().filter_map(Iterator::next).collect();
    tests.extend(modules.into_iter().flatten());
    trial::main(tests)
}
