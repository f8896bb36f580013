//! T1: kernels started by the direct protocol, each linked somewhere else. What they find is compared with the promises.

use std::fs;

use harness::probe::direct::{self, Kernel, Processor};
use harness::probe::{self, Class, Lines};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Outcome, stage0};
use shared::memory::{Phys, PhysRange};

/// Kernels that are drawn.
const COLLISIONS: usize = 20;
/// Where the RAM of QEMU's pc of 256 MiB ends for a ramdisk.
const RAM_END: u64 = 0xffe_0000;

fn main() {
    let layouts = direct::layouts().into_iter();
    let mut tests: Vec<_> = layouts.map(|layout| trial::test(layout.name, move || run(&layout.kernel()?))).collect();
    // 16 MiB up: their own place crosses a PC's hole below 1 MiB.
    let base = Some(0x3f00_0000);
    tests.push(trial::test("opensolaris-64", move || run(&direct::solaris(Class::Elf64, base)?)));
    tests.push(trial::test("opensolaris-32", move || run(&direct::solaris(Class::Elf32, base)?)));
    tests.push(trial::test("with_pages_of_1_gib_and_ram_above_4", large));
    tests.push(trial::test("20_that_collide_with_all_there_is", collisions));
    trial::main(tests);
}

/// Kernels drawn at random that collide with what is in memory when stage0 begins.
fn collisions() -> Result<(), Trouble> {
    let low = PhysRange::new(Phys(0x1000), Phys(0x3000)).map_err(|error| error.to_string())?;
    let mut hits = [[0; 2]; 3];
    for layout in direct::drawn(2006, COLLISIONS) {
        let kernel = layout.kernel()?;
        run(&kernel)?;
        // QEMU puts the ramdisk right below what it keeps at the top.
        let pack = fs::metadata(probe::file_path(&format!("t1-{}.pack", kernel.name))?)?.len();
        let pack = PhysRange::new(Phys(RAM_END - pack), Phys(RAM_END)).map_err(|error| error.to_string())?;
        for (thing, hits) in [low, stage0::place()?, pack].into_iter().zip(&mut hits) {
            for (hit, count) in kernel.collides(thing).into_iter().zip(hits) {
                *count += u32::from(hit);
            }
        }
    }
    check(hits.as_flattened().iter().all(|count| *count >= 2), format!("collisions by place and by address: {hits:?}"))
}

/// On a processor that has pages of 1 GiB, the RAM above 4 GiB is mapped too.
fn large() -> Result<(), Trouble> {
    let layouts = direct::layouts();
    for name in ["direct-top", "direct-32-3gib"] {
        let layout = layouts.iter().find(|layout| layout.name == name).ok_or("no such layout")?;
        let kernel = layout.kernel()?;
        kept(&kernel, &direct::machine("t1-large", &kernel)?.cpu("max").memory(6 << 10).run()?)?;
    }
    Ok(())
}

/// Starts the kernel from a pack.
fn run(kernel: &Kernel) -> Result<(), Trouble> {
    kept(kernel, &direct::machine("t1", kernel)?.run()?)
}

fn kept(kernel: &Kernel, outcome: &Outcome) -> Result<(), Trouble> {
    outcome.ended(&Exit::Debug(probe::EXIT_OK))?;
    let lines = Lines::of(&outcome.serial);
    Ok(direct::check(kernel, &lines, Processor::WHOLE).map_err(|error| outcome.failure(&format!("{error:#}")))?)
}
