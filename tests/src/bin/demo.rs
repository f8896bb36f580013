//! Packs a current distribution kernel with a small ramdisk and boots it: stage0 and the pack as kernel and ramdisk of a machine.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::slice;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use harness::initrd::{self, GuestReport};
use harness::kernels::{self, Kernel};
use harness::probe::{self, Content, Layout, Lines};
use harness::{Board, Exit, Machine, Missing, Outcome, cache, tier2};
use pack::build::{Module, Request, member_name};
use pack::compress::Settings;
use pack::open::{self, Compression};
use pack::stage0;
use shared::memory::MIB;

/// A level that takes two seconds where the tool's default takes half a minute, for a somewhat larger pack.
const LEVEL: i32 = 6;
/// What any kernel gets, MiB.
const MEMORY_MIB: u64 = 512;
/// How long it may take. Twenty seconds do on an idle machine, also within an emulated one; a busy one took two minutes.
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, Parser)]
#[command(
    name = "cargo demo",
    about = "Packs a kernel and boots it through stage0; ends with what the guest says of itself"
)]
struct Arguments {
    /// Boot this kernel (any file that `pack` takes) instead of the distribution's
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Where to boot it [default: the best that this machine can do]
    #[arg(long, value_enum)]
    tier: Option<Tier>,
    /// Show the kernel's own messages too
    #[arg(long)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// Plain QEMU
    T1,
    /// QEMU's emulation of Xen
    T2,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(line) => {
            say("the guest says:");
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does it all; the guest's own line.
fn run(arguments: &Arguments) -> Result<String> {
    let folder = cache::target().join("demo");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let subject = match &arguments.kernel {
        Some(file) => Subject::linux(file, arguments.verbose)?,
        None => Subject::current(arguments.verbose)?,
    };
    let (stage0, image) = (folder.join("stage0.elf"), folder.join("image.pack"));
    fs::write(&stage0, stage0::EMBEDDED).with_context(|| stage0.display().to_string())?;
    subject.pack(&image)?;
    say(&format!("stage0 is {} ({} bytes)", stage0.display(), stage0::EMBEDDED.len()));
    let machine = Machine::new("demo", stage0).initrd(image).memory(MEMORY_MIB).limit(LIMIT);
    let outcome = boot(machine, arguments.tier)?;
    say(&format!(
        "{} after {:.0} s; its console is in {}",
        outcome.exit,
        outcome.elapsed.as_secs_f32(),
        outcome.log.display()
    ));
    subject.line(&outcome)
}

/// What is packed.
struct Subject {
    kernel: PathBuf,
    cmdline: String,
    module: Module,
    is_probe: bool,
}

impl Subject {
    /// The distribution's current kernel; where none can be had, the probe kernel.
    fn current(verbose: bool) -> Result<Self> {
        say("looking for a current distribution kernel (the first time, it is fetched)");
        match current_kernel() {
            Ok(kernel) => Self::linux(&kernel.vmlinuz, verbose),
            Err(missing) => {
                say(&format!("{missing}; so this boots the probe kernel of the project's own tests instead"));
                Self::probe()
            }
        }
    }

    /// A Linux, with the ramdisk whose guest says what it runs on.
    fn linux(kernel: &Path, verbose: bool) -> Result<Self> {
        let module = Module { name: "initrd.cpio".to_string(), content: initrd::small()? };
        let quiet = if verbose { "" } else { " quiet" };
        let cmdline = format!("console=ttyS0{quiet} panic=-1 {} hello=from-the-pack", Board::Pc.linux_words());
        Ok(Self { kernel: kernel.to_path_buf(), cmdline, module, is_probe: false })
    }

    fn probe() -> Result<Self> {
        let kernel = probe::build(&Layout::at("demo", 16 * MIB))?;
        let module = Module { name: "module".to_string(), content: probe::module(1 << 20, Content::Noise(1)) };
        Ok(Self { kernel, cmdline: "hello=from-the-pack".to_string(), module, is_probe: true })
    }

    /// Writes the pack.
    fn pack(&self, image: &Path) -> Result<()> {
        let start = Instant::now();
        let opened = open::open(&self.kernel)?;
        let elf = opened.elf.len();
        let settings = Settings { level: LEVEL, ..Settings::default() };
        let module = Module { name: self.module.name.clone(), content: self.module.content.clone() };
        let request = Request {
            cmdline: Some(self.cmdline.clone()),
            modules: vec![module],
            settings,
            ..Request::new(member_name(&self.kernel), opened.elf)
        };
        let pack = request.build(&|_| {}).with_context(|| self.kernel.display().to_string())?.pack;
        fs::write(image, &pack).with_context(|| image.display().to_string())?;
        let version = opened.linux_version.map_or(String::new(), |version| format!("Linux {version}, "));
        say(&format!("kernel is {} ({version}{elf} bytes of ELF)", self.kernel.display()));
        let seconds = start.elapsed().as_secs_f32();
        say(&format!(
            "packed with a ramdisk and a command line: {} ({} bytes), {seconds:.1} s",
            image.display(),
            pack.len()
        ));
        Ok(())
    }

    /// The line in which the guest reports itself.
    fn line(&self, outcome: &Outcome) -> Result<String> {
        if !self.is_probe {
            return outcome.guest().map(|GuestReport { line, .. }| line).map_err(anyhow::Error::msg);
        }
        let lines = Lines::of(&outcome.serial);
        if outcome.exit != Exit::Debug(probe::EXIT_OK) || !lines.is_complete() {
            bail!(outcome.failure("the probe kernel did not find everything as promised"));
        }
        lines.named("cmdline").map(str::to_owned).context("the probe kernel said nothing of its command line")
    }
}

/// The newest kernel, which zstd compresses today.
fn current_kernel() -> Result<Kernel, Missing> {
    let kernels = kernels::of_different_compressions(1)?;
    let newest = kernels.iter().find(|kernel| kernel.compression == Compression::Zstd).or(kernels.first());
    newest.cloned().ok_or_else(|| Missing::new("a distribution kernel", "none is known"))
}

/// Boots at the wished tier, else at the best one there is.
fn boot(machine: Machine, tier: Option<Tier>) -> Result<Outcome> {
    if tier == Some(Tier::T1) {
        return boot_plain(&machine);
    }
    match boot_under_xen(&machine) {
        Err(error) if tier.is_none() && error.is::<Missing>() => {
            say(&error.to_string());
            boot_plain(&machine)
        }
        outcome => outcome,
    }
}

fn boot_under_xen(machine: &Machine) -> Result<Outcome> {
    let how = match tier2::is_native()? {
        true => "on this machine's KVM",
        false => "on the KVM of an emulated machine, which takes some seconds to start",
    };
    say(&format!("booting in QEMU's emulation of Xen (tier T2), {how}"));
    let outcomes = tier2::run_showing(slice::from_ref(machine), &mut Console::default())?;
    outcomes.into_iter().next().context("the emulation of Xen gave no outcome")
}

fn boot_plain(machine: &Machine) -> Result<Outcome> {
    say("booting in plain QEMU (tier T1)");
    machine.run_showing(&mut Console::default())
}

fn say(text: &str) {
    println!("demo: {text}");
}

/// Standard output, each line of the guest's with a mark in front.
#[derive(Default)]
struct Console {
    in_line: bool,
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        for byte in bytes.iter().filter(|byte| **byte != b'\r') {
            if !self.in_line {
                out.write_all(b"  | ")?;
            }
            out.write_all(&[*byte])?;
            self.in_line = *byte != b'\n';
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
