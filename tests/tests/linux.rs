//! Distribution kernels of different compressions through stage0 and a pack, to their userspace.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use harness::kernels::{self, Kernel};
use harness::linux;
use harness::trial::{self, Trouble, check};
use harness::{Board, Exit, Machine, Outcome, tier2};
use pack::compress::Settings;
use pack::image::Image;
use pack::info::Info;
use pack::stage0;
use shared::cmdline::MAX_LINUX_LEN;
use shared::memory::MIB;

/// What the pack's own command line has, and the builder's. A quoted space, and a word for stage0 that must vanish. The early
/// console shows a panic that comes before the real one.
const OWN: &str = "console=ttyS0 quiet earlyprintk=ttyS0 panic=-1 own=\"a b\"";
const BUILDERS: &str = "stage0.timing builders=1";

fn main() {
    let mut tests = vec![
        trial::test("t1_three_compressions_reach_userspace", three_compressions),
        trial::test("t1_the_least_memory_that_info_states_is_enough_and_less_is_not", least_memory),
    ];
    tests.push(trial::test("t1_a_kernel_of_32_bits_reaches_userspace", of_32_bits));
    tests.push(trial::test("t1_a_command_line_of_2047_bytes_arrives_whole", longest_cmdline));
    let variants = [("pc_with_6_gib", Board::Pc, 6 << 10), ("q35", Board::Q35, 256), ("microvm", Board::Microvm, 256)];
    tests.extend(variants.map(|(name, board, memory)| {
        trial::test(&format!("t1_linux_reaches_userspace_on_{name}"), move || on_board(name, board, memory))
    }));
    tests.push(trial::test("t2_three_compressions_reach_userspace_under_xen_emulation", under_xen));
    trial::main(tests);
}

/// A packed kernel.
struct Packed {
    kernel: Kernel,
    file: PathBuf,
    /// Its own command line.
    cmdline: String,
    /// What `pack info` says of it.
    info: Info,
}

/// Packs a kernel with the small ramdisk, and with a command line for `board`.
fn packed(name: &str, kernel: Kernel, board: Board) -> Result<Packed, Trouble> {
    packed_with(name, kernel, board, "")
}

/// The same with more words of its own.
fn packed_with(name: &str, kernel: Kernel, board: Board, words: &str) -> Result<Packed, Trouble> {
    let cmdline = format!("{OWN} {} {words}", board.linux_words()).trim_end().to_owned();
    let settings = Settings { level: 3, ..Settings::default() };
    let linux::Packed { kernel, file, bytes } = linux::Packed::new(name, kernel, cmdline.clone(), settings)?;
    let image = Image::parse(&bytes).map_err(|error| error.to_string())?;
    let info = Info::of(&image, stage0::EMBEDDED, None).map_err(|error| error.to_string())?;
    Ok(Packed { kernel, file, cmdline, info })
}

impl Packed {
    fn machine(&self, name: &str) -> Result<Machine, Trouble> {
        // A file of its own: another test may be starting from it.
        let image = linux::folder()?.join(format!("{name}.stage0"));
        fs::write(&image, stage0::EMBEDDED)?;
        Ok(Machine::new(name, image).initrd(&self.file).append(BUILDERS).limit(Duration::from_secs(180)))
    }

    /// Its userspace reports this kernel, the command line, and `guest_type`; stage0 printed what it should.
    fn check(&self, outcome: &Outcome, guest_type: &str) -> Result<(), Trouble> {
        let report = outcome.guest()?;
        outcome.ended(&Exit::PowerOff)?;
        check(report.kernel == self.kernel.release, outcome.failure("expected the kernel that was packed"))?;
        check(report.guest_type == guest_type, outcome.failure(&format!("expected guest_type {guest_type}")))?;
        let cmdline = format!("{} builders=1", self.cmdline);
        check(report.cmdline == cmdline, outcome.failure(&format!("expected the command line {cmdline}")))?;
        let digest = &self.info.contents.digest;
        let said: Vec<&str> = outcome.serial.lines().filter_map(|line| line.trim().strip_prefix("stage0: ")).collect();
        let expected = ["domain: PVH", "pack: ", "kernel: linux at ", "timing: "];
        let as_expected = said.len() == 4 && said.iter().zip(expected).all(|(line, start)| line.starts_with(start));
        check(as_expected, outcome.failure("expected three lines of stage0's, and its timing"))?;
        check(said[1].contains(digest.as_str()), outcome.failure("expected the digest that the host shows"))
    }

    /// What `pack info` states for a domain of QEMU's, bytes.
    fn need(&self) -> Result<u64, Trouble> {
        linux::need(&fs::read(&self.file)?, "PVH", "QEMU")
    }
}

/// The kernel that decodes quickest, and three of different compressions.
fn quick() -> Result<Kernel, Trouble> {
    Ok(kernels::with(&["CONFIG_KERNEL_LZ4"]).or_else(|_| kernels::with(&["CONFIG_PVH"]))?)
}

fn three_compressions() -> Result<(), Trouble> {
    for kernel in kernels::of_different_compressions(3)? {
        let name = format!("linux-{}", kernel.release);
        let packed = packed(&name, kernel, Board::Pc)?;
        packed.check(&packed.machine(&name)?.run()?, "none")?;
    }
    Ok(())
}

/// Its first page tables end soon behind it. The least memory, and where an initrd lies above all that it maps at first.
fn of_32_bits() -> Result<(), Trouble> {
    let packed = packed("linux-32", kernels::of_32_bits()?, Board::Pc)?;
    let least = packed.need()? / MIB + 16;
    for memory in [least, 256, 2048] {
        let name = format!("linux-32-{memory}");
        packed.check(&packed.machine(&name)?.memory(memory).run()?, "none")?;
    }
    Ok(())
}

/// The longest that a Linux takes, of the pack's text and the builder's; one byte more is refused.
fn longest_cmdline() -> Result<(), Trouble> {
    let rest = format!("{OWN} {} ", Board::Pc.linux_words()).len() + " builders=1".len();
    let filler = "filler=1 ".repeat(300);
    for (len, fits) in [(MAX_LINUX_LEN, true), (MAX_LINUX_LEN + 1, false)] {
        let name = format!("linux-cmdline-{len}");
        let words = format!("{}x", &filler[..len - rest - 1]);
        let packed = packed_with(&name, quick()?, Board::Pc, &words)?;
        let outcome = packed.machine(&name)?.run()?;
        if fits {
            packed.check(&outcome, "none")?;
            check(outcome.guest()?.cmdline.len() == len, outcome.failure(&format!("expected {len} bytes")))?;
            continue;
        }
        let error = format!("expected at most {MAX_LINUX_LEN} bytes, found {len}");
        check(outcome.serial.contains(&error), outcome.failure(&format!("expected: {error}")))?;
        outcome.ended(&Exit::Debug(harness::stage0::EXIT_ERROR))?;
    }
    Ok(())
}

fn on_board(name: &str, board: Board, memory: u64) -> Result<(), Trouble> {
    let name = format!("linux-{name}");
    let packed = packed(&name, quick()?, board)?;
    let outcome = packed.machine(&name)?.board(board).memory(memory).run()?;
    packed.check(&outcome, "none")
}

/// The need is what stage0 and the kernel's own place take. A Linux of 6.12 then finds enough for itself to reach its userspace;
/// one of 6.1 wants some MiB more, and says so itself ("System is deadlocked on memory").
fn least_memory() -> Result<(), Trouble> {
    let packed = packed("linux-least", kernels::with(&["CONFIG_KERNEL_ZSTD", "CONFIG_PVH"])?, Board::Pc)?;
    let least = packed.need()? / MIB;
    packed.check(&packed.machine("linux-least")?.memory(least).run()?, "none")?;
    let outcome = packed.machine("linux-less")?.memory(least - 1).run()?;
    let error = format!("stage0: error: not enough memory: domain, expected {least} MiB, found {} MiB", least - 1);
    check(outcome.serial.contains(&error), outcome.failure(&format!("expected: {error}")))?;
    Ok(outcome.ended(&Exit::Debug(harness::stage0::EXIT_ERROR))?)
}

/// All in one go: starting the emulation takes longer than the kernels do. One of 32 bits needs a processor that is not emulated:
/// QEMU's sets a reserved bit in the topmost page table of PAE, so that KVM refuses the table when paging is turned on again, after
/// a start by QEMU as well. Where it gets to is tier T4's test of it.
fn under_xen() -> Result<(), Trouble> {
    let mut kernels = kernels::of_different_compressions(3)?;
    if tier2::is_native()? {
        kernels.push(kernels::of_32_bits()?);
    }
    let packs: Vec<Packed> = kernels
        .into_iter()
        .map(|kernel| packed(&format!("linux-xen-{}", kernel.release), kernel, Board::Pc))
        .collect::<Result<_, _>>()?;
    let machines: Vec<Machine> = packs
        .iter()
        .map(|packed| packed.machine(&format!("linux-xen-{}", packed.kernel.release)))
        .collect::<Result<_, _>>()?;
    let outcomes = tier2::run(&machines)?;
    check(outcomes.len() == packs.len(), "expected as many outcomes as machines")?;
    packs.iter().zip(&outcomes).try_for_each(|(packed, outcome)| packed.check(outcome, "PVH"))
}
