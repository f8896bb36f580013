//! What `pack run` runs: a kernel and its ramdisk in a machine, its console on standard output, its end as the exit status.
//! It is a program of its own so that `pack` needs nothing of what runs machines.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::slice;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use harness::input::RawTerminal;
use harness::tier4::{self, Act, Domain, Kind};
use harness::{Exit, Input, Machine, Outcome, tier2};
use shared::memory::MIB;

#[derive(Debug, Parser)]
#[command(name = "pack-run", version, about = "Runs a kernel and its ramdisk; meant to be called by `pack run`")]
struct Arguments {
    /// Where to run it
    #[arg(long, value_enum)]
    tier: Tier,
    /// What the builder loads
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Its ramdisk
    #[arg(long, value_name = "FILE")]
    ramdisk: PathBuf,
    /// Memory, bytes
    #[arg(long, value_name = "BYTES")]
    memory: u64,
    /// Processors
    #[arg(long, value_name = "N", default_value_t = 1)]
    vcpus: u32,
    /// The builder's command line
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    extra: String,
    /// Seconds after which it is killed
    #[arg(long, value_name = "SECONDS")]
    timeout: u64,
    /// Arguments for QEMU
    #[arg(last = true)]
    qemu: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// QEMU's emulation of Xen where this machine's KVM can do it, else plain QEMU
    Auto,
    /// Plain QEMU
    Qemu,
    /// QEMU's emulation of Xen
    XenEmulation,
    /// A PV domain of a real Xen
    XenPv,
    /// A PVH domain of a real Xen
    XenPvh,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(outcome) => {
            let status = status(&outcome.exit);
            if status == 0 {
                // What a run leaves behind is for finding out what went wrong.
                let _kept = fs::remove_dir_all(&outcome.log);
            } else {
                eprintln!("pack run: {}; its logs are in {}", outcome.exit, outcome.log.display());
            }
            ExitCode::from(status)
        }
        Err(error) => {
            eprintln!("pack: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The guest's end as an exit status: what it wrote to isa-debug-exit is the status itself.
fn status(exit: &Exit) -> u8 {
    match exit {
        Exit::PowerOff | Exit::Found => 0,
        Exit::Debug(value) => *value,
        // As timeout(1) has it.
        Exit::TimedOut => 124,
        Exit::Reset | Exit::Crashed | Exit::Failed(_) => 1,
    }
}

fn run(arguments: &Arguments) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let input = Input::new(folder.path())?;
    let terminal = RawTerminal::new()?;
    if io::stdin().is_terminal() {
        eprintln!("pack run: Ctrl-] ends it\r");
    }
    input.copy_stdin();
    let outcome = run_with(arguments, &input)?;
    drop(terminal);
    Ok(if input.is_left() { Outcome { exit: Exit::Found, ..outcome } } else { outcome })
}

fn run_with(arguments: &Arguments, input: &Input) -> Result<Outcome> {
    let qemu: Option<Vec<String>> = arguments.qemu.iter().map(|word| word.to_str().map(str::to_owned)).collect();
    let qemu = qemu.context("an argument for QEMU is not UTF-8")?;
    let machine = Machine::new(format!("run-{}", std::process::id()), &arguments.kernel)
        .initrd(&arguments.ramdisk)
        .memory(arguments.memory / MIB)
        .append(&arguments.extra)
        .input(input.clone())
        .limit(Duration::from_secs(arguments.timeout));
    let processors = ["-smp".to_owned(), arguments.vcpus.to_string()];
    let in_qemu = |machine: Machine| machine.arguments(processors.into_iter().chain(qemu.iter().cloned()));
    match arguments.tier {
        Tier::Qemu => in_qemu(machine).run_showing(&mut Console),
        Tier::XenEmulation => under_emulation(in_qemu(machine)),
        Tier::Auto if tier2::is_native().unwrap_or(false) => under_emulation(in_qemu(machine)),
        Tier::Auto => in_qemu(machine).run_showing(&mut Console),
        Tier::XenPv | Tier::XenPvh if !qemu.is_empty() => {
            bail!("arguments for QEMU have no meaning for a domain of a real Xen: leave them out")
        }
        Tier::XenPv => under_xen(Domain::new(Kind::Pv, machine).vcpus(arguments.vcpus)),
        Tier::XenPvh => under_xen(Domain::new(Kind::Pvh, machine).vcpus(arguments.vcpus)),
    }
}

fn under_emulation(machine: Machine) -> Result<Outcome> {
    if !tier2::is_native()? {
        eprintln!(
            "pack run: this machine's KVM cannot emulate Xen; an emulated one that can takes some seconds to start\r"
        );
    }
    let outcome = only(tier2::run_showing(slice::from_ref(&machine), &mut Console)?)?;
    // What the guest wrote to the ring is recorded apart from the serial port.
    Console.write_all(outcome.xen_console.as_bytes())?;
    Ok(outcome)
}

/// What a domain writes to port 0xE9, as stage0 does, is in Xen's log, and shown when it has ended.
fn under_xen(domain: Domain) -> Result<Outcome> {
    eprintln!("pack run: starting Xen and a dom0 in an emulated machine, which takes a minute\r");
    let outcome = only(tier4::run_showing(tier4::Release::Trixie, &[domain.act(Act::Talk)], &mut Console)?)?;
    if !outcome.serial.is_empty() {
        Console.write_all(format!("\npack run: in Xen's log:\n{}\n", outcome.serial).as_bytes())?;
    }
    Ok(outcome)
}

fn only(outcomes: Vec<Outcome>) -> Result<Outcome> {
    outcomes.into_iter().next().context("the run gave no outcome")
}

/// Standard output, shown as it comes. That nobody reads it does not end the guest.
struct Console;

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
