//! The harness itself: kernels as their distribution starts them (bzImage, no stage0) reach userspace at each tier.

use std::fs;
use std::time::Duration;

use harness::kernels::{self, Kernel};
use harness::probe::{self, Layout, Lines};
use harness::trial::{self, Trouble, check};
use harness::{Board, Exit, Machine, Outcome, cache, initrd, tier2};
use shared::memory::MIB;

fn main() {
    let boards = [Board::Pc, Board::Q35, Board::Microvm];
    let mut tests = vec![
        trial::test("three_compressions_are_found", three_compressions),
        trial::test("t1_a_guest_that_never_ends_is_killed", never_ends),
        trial::test("t1_a_run_ends_at_the_awaited_text", awaited_text),
    ];
    tests.extend(boards.map(|board| {
        trial::test(&format!("t1_bzimage_reaches_userspace_on_{}", board.name()), move || userspace(board))
    }));
    tests.push(trial::test("t2_bzimages_reach_userspace_under_xen_emulation", under_xen));
    trial::main(tests);
}

/// The kernel that decompresses itself quickest.
fn quick_kernel() -> Result<Kernel, Trouble> {
    Ok(kernels::with(&["CONFIG_KERNEL_LZ4"]).or_else(|_| kernels::with(&["CONFIG_PVH"]))?)
}

/// A Linux's command line.
fn words(board: Board) -> String {
    format!("console=ttyS0 quiet panic=-1 {}", board.linux_words())
}

fn machine(name: &str) -> Result<(Machine, Kernel), Trouble> {
    let kernel = quick_kernel()?;
    fs::create_dir_all(cache::logs())?;
    let ramdisk = cache::logs().join(format!("{name}.cpio"));
    fs::write(&ramdisk, initrd::small()?)?;
    let machine = Machine::new(name, &kernel.vmlinuz).initrd(ramdisk).append(words(Board::Pc));
    Ok((machine.limit(Duration::from_secs(120)), kernel))
}

fn three_compressions() -> Result<(), Trouble> {
    let found = kernels::of_different_compressions(3)?;
    let different = |a: &Kernel, b: &Kernel| a.compression != b.compression && a.release != b.release;
    let fine = found.iter().enumerate().all(|(n, kernel)| found[..n].iter().all(|other| different(kernel, other)));
    check(found.len() >= 3 && fine, format!("{found:#?}"))
}

fn userspace(board: Board) -> Result<(), Trouble> {
    let (machine, kernel) = machine(&format!("harness-{}", board.name()))?;
    let outcome = machine.board(board).append(format!("{} harness.word", words(board))).run()?;
    let report = outcome.guest()?;
    outcome.ended(&Exit::PowerOff)?;
    check(report.kernel == kernel.release, format!("{report:?}: expected kernel {}", kernel.release))?;
    check(report.guest_type == "none", format!("{report:?}: expected no hypervisor"))?;
    check(report.cmdline.ends_with("harness.word"), format!("{report:?}: expected the command line as given"))?;
    check((150 << 10..256 << 10).contains(&report.memory_kib), format!("{report:?}: expected most of 256 MiB"))
}

/// Several machines in one go; a bzImage starts by its real-mode entry, so Linux sees an HVM guest.
fn under_xen() -> Result<(), Trouble> {
    let (machine, kernel) = machine("harness-xen")?;
    let (second, _) = self::machine("harness-xen-never-ends")?;
    let machine = machine.append(format!("{} it's harness.word", words(Board::Pc)));
    let probe = Machine::new("harness-xen-probe", probe::build(&Layout::at("harness", 16 * MIB))?).debug_console();
    let outcomes = tier2::run(&[machine, second.limit(Duration::from_secs(1)), probe])?;
    let [outcome, killed, probe] = outcomes.as_slice() else { return Err("not three outcomes".into()) };
    let report = outcome.guest()?;
    outcome.ended(&Exit::PowerOff)?;
    killed.ended(&Exit::TimedOut)?;
    told_by_every_way(probe)?;
    check(report.kernel == kernel.release, format!("{report:?}: expected kernel {}", kernel.release))?;
    check(report.guest_type == "HVM", format!("{report:?}: expected an HVM guest"))?;
    check(report.cmdline.ends_with("it's harness.word"), format!("{report:?}: expected the command line as given"))
}

/// Serial port, port 0xE9 and debug exit value agree. Whether all is as promised is not asked here: a nested guest sees CR4.MCE,
/// which the KVM around it set, because QEMU's TCG does not intercept reads of CR4.
fn told_by_every_way(outcome: &Outcome) -> Result<(), Trouble> {
    let lines = Lines::of(&outcome.serial);
    check(lines.is_complete(), outcome.failure("the probe did not come to its end"))?;
    check(Lines::of(&outcome.debug_console) == lines, outcome.failure("COM1 and port 0xE9 differ"))?;
    let fine = lines.not_ok().is_empty();
    Ok(outcome.ended(&Exit::Debug(if fine { probe::EXIT_OK } else { probe::EXIT_NOT_OK }))?)
}

fn never_ends() -> Result<(), Trouble> {
    let (machine, _) = machine("harness-never-ends")?;
    let outcome = machine.limit(Duration::from_secs(1)).run()?;
    Ok(outcome.ended(&Exit::TimedOut)?)
}

fn awaited_text() -> Result<(), Trouble> {
    let (machine, _) = machine("harness-awaited-text")?;
    let outcome = machine.append("console=ttyS0 earlyprintk=ttyS0").until("Linux version").run()?;
    Ok(outcome.ended(&Exit::Found)?)
}
