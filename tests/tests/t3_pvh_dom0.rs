//! T3: kernels made of the probe in the dom0 slot of a real Xen, as PVH dom0, started by Xen's own dom0 builder and by stage0
//! from a pack. That builder is unlike all others: null selectors, start_info version 0 without a memory map, structures
//! aligned to 4 bytes only, the pack right behind stage0.

use std::path::Path;

use harness::probe::{self, Case, Content, Extra, Layout, differ};
use harness::trial::{self, Trouble, check};
use harness::{Board, Exit, Machine, Outcome, stage0, xen};
use shared::memory::MIB;

fn main() {
    trial::main(vec![
        trial::test("where_stage0_lies", || run(&Case::new(Layout::at("dom0-1mib", MIB)))),
        trial::test("with_a_gap_and_a_large_bss", with_a_gap_and_a_large_bss),
        trial::test("an_error_is_on_xens_own_console", an_error),
    ]);
}

fn with_a_gap_and_a_large_bss() -> Result<(), Trouble> {
    let filler = Extra { memory_size: 40 * MIB, ..Extra::whole(32 * MIB, 3 << 20, Content::Noise(1)) };
    run(&Case::new(Layout::at("dom0-gap", 16 * MIB).with(filler)))
}

fn run(case: &Case) -> Result<(), Trouble> {
    let module = case.module()?.unwrap_or_default();
    let direct = start(case, "direct", &case.kernel()?, &Case::cmdline(), &module)?;
    let packed = start(case, "packed", &stage0::file()?, Case::BUILDERS, &case.pack()?)?;
    let differ = [&differ::PVH[..], &[differ::PVH_INITIAL]].concat();
    case.compare(&direct, &packed, &differ)?;
    direct.ended(&Exit::Debug(probe::EXIT_OK))?;
    Ok(packed.ended(&Exit::Debug(probe::EXIT_OK))?)
}

/// Without a pack; and Xen shows of domains only what it always does.
fn an_error() -> Result<(), Trouble> {
    let outcome = boot("t3-pvh-no-pack", &[(&stage0::file()?, "")], "")?;
    let error = "stage0: error: no pack: modules, expected a pack as the first (the ramdisk), found none";
    check(outcome.serial.lines().any(|line| line.trim() == error), outcome.failure(&format!("expected: {error}")))?;
    Ok(outcome.ended(&Exit::Reset)?)
}

/// Boots Xen with this dom0 kernel and this module; the outcome's serial port is what dom0 wrote.
fn start(case: &Case, how: &str, kernel: &Path, cmdline: &str, module: &Path) -> Result<Outcome, Trouble> {
    let modules = [(kernel, cmdline), (module, "")];
    let mut outcome = boot(&format!("t3-{}-{how}", case.layout.name), &modules, "guest_loglvl=all")?;
    let dom0 = outcome.serial.lines().filter_map(|line| line.strip_prefix("(d0) "));
    outcome.serial = dom0.collect::<Vec<_>>().join("\n");
    Ok(outcome)
}

/// Boots Xen with these modules, of which the first is dom0's kernel, and further words.
fn boot(name: &str, modules: &[(&Path, &str)], words: &str) -> Result<Outcome, Trouble> {
    let machine = Machine::new(name, xen::hypervisor()?)
        .board(Board::Q35)
        .cpu("EPYC,+svm,+npt")
        .memory(512)
        .modules(modules)
        .append(format!("console=com1 com1=115200,8n1 loglvl=all dom0_mem=256M dom0=pvh {words}"))
        .arguments(["-machine", "kernel-irqchip=split", "-device", "amd-iommu"]);
    Ok(machine.run()?)
}
