//! The outer machine: what is in it, and running machines in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::ACCELERATOR;
use crate::frames::{self, Filter, Section};
use crate::initrd::{Archive, Pool};
use crate::kernels::{self, Kernel};
use crate::logs::{ALL, Logs, SERIAL, STDERR};
use crate::machine::{self, Files};
use crate::tools::{self, Qemu};
use crate::{Board, Exit, Input, Machine, Missing, Outcome, cache};

/// What the inner QEMU loads by itself.
const FIRMWARE: [&str; 6] =
    ["pvh.bin", "kvmvapic.bin", "linuxboot_dma.bin", "multiboot_dma.bin", "bios-256k.bin", "qboot.rom"];
/// KVM's modules, in the order of loading.
const MODULES: [&str; 3] = ["irqbypass", "kvm", "kvm-amd"];
/// The log with the stream of sections.
const STREAM: &str = "stream.log";
/// What the outer machine takes to start and to end, generously, on a busy host.
const OVERHEAD: Duration = Duration::from_secs(180);
/// What the outer Linux and the inner QEMU need beside the files and the guest's memory, in MiB.
const OWN_MEMORY_MIB: u64 = 512;

/// Runs `machines` one after another in an outer machine.
pub(super) fn run(machines: &[Machine], console: &mut dyn Write) -> Result<Vec<Outcome>> {
    let kernel = kernels::with(&["CONFIG_KVM_XEN", "CONFIG_KVM_AMD"])?;
    let mut ramdisk = fs::read(base(&kernel)?.join(BASE))?;
    let token = frames::token();
    ramdisk.extend(jobs(machines, &token)?);
    let name = format!("outer-of-{}", machines.first().map_or("none", |machine| &machine.name));
    fs::create_dir_all(cache::logs())?;
    let file = cache::logs().join(format!("{name}.cpio"));
    fs::write(&file, &ramdisk).with_context(|| file.display().to_string())?;

    let input = machines.iter().find_map(|machine| machine.input.as_ref());
    let stream = cache::logs().join(&name).join(STREAM);
    let largest = machines.iter().map(|machine| machine.memory_mib).max().unwrap_or(0);
    let board = Board::Q35;
    let outer = Machine::new(&name, &kernel.vmlinuz)
        .board(board)
        .cpu("EPYC,+svm,+npt")
        // The archive lies in memory twice while Linux unpacks it.
        .memory(OWN_MEMORY_MIB + 2 * (ramdisk.len() as u64).div_ceil(1 << 20) + largest)
        .initrd(&file)
        .append(format!("console=ttyS0 quiet panic=-1 {}", board.linux_words()))
        .arguments(["-chardev", &machine::file("stream", &stream, input.map(Input::fifo)), "-serial", "chardev:stream"])
        .limit(OVERHEAD + machines.iter().map(|machine| machine.limit).sum::<Duration>());
    let outer = Machine { input: input.cloned(), ..outer };
    let mut filter = Filter::new(&token, SERIAL, console);
    let ended = outer.run_with(Qemu::plain()?, "tcg", STREAM, &mut filter)?;
    fs::remove_file(&file)?;
    let stream = fs::read(&stream).unwrap_or_default();
    let sections = frames::sections(&stream, &token);
    machines.iter().enumerate().map(|(number, machine)| outcome(machine, number, &sections, &ended)).collect()
}

/// What the sections say of one machine; its logs are written where those of other tiers lie.
fn outcome(machine: &Machine, number: usize, sections: &[Section<'_>], outer: &Outcome) -> Result<Outcome> {
    let logs = Logs::new(&machine.name)?;
    let own = || sections.iter().filter(|section| section.number == number);
    for section in own().filter(|section| ALL.contains(&section.name)) {
        logs.write(section.name, section.content)?;
    }
    let end = own().find(|section| section.name == "end").and_then(|section| std::str::from_utf8(section.content).ok());
    let numbers = end.and_then(|end| end.trim().split_once(' '));
    let Some((status, seconds)) = numbers.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))) else {
        let why = outer.failure("the outer machine of the Xen emulation ended before this one did");
        logs.write(STDERR, &why)?;
        return Ok(Outcome { exit: Exit::Failed(why), ..logs.outcome(None, outer.elapsed) });
    };
    Ok(logs.outcome(Some(status), Duration::from_secs(seconds)))
}

/// An archive with the files of all machines (those that several share once) and the list of what to run.
fn jobs(machines: &[Machine], token: &str) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    let mut files = Pool::new("jobs");
    let mut list = String::new();
    for (number, machine) in machines.iter().enumerate() {
        let kernel = files.store(&mut archive, &machine.kernel)?;
        let initrd = machine.initrd.as_deref().map(|file| files.store(&mut archive, file)).transpose()?;
        let serial = Path::new("/dev/ttyS1");
        let (input, logs) = (machine.input.as_ref().map(|_| serial), Path::new("/logs"));
        let places = Files { kernel: &kernel, initrd: initrd.as_deref(), serial, input, logs };
        let words = machine.qemu_arguments(ACCELERATOR, &places);
        let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        list.push_str(&format!("run {number} {} {}\n", machine.limit.as_secs().max(1), words.join(" ")));
    }
    archive.file("jobs/list", 0o644, list.as_bytes())?;
    archive.file("jobs/token", 0o644, format!("token={token}\n").as_bytes())?;
    Ok(archive.finish()?)
}

const BASE: &str = "base.cpio";

/// The folder with what is the same for each run: busybox, QEMU with its libraries and firmware, KVM's modules.
fn base(kernel: &Kernel) -> Result<PathBuf, Missing> {
    cache::entry(&format!("xen-emulation-{}", kernel.release), |folder| {
        let archive = base_archive(kernel)
            .map_err(|error| Missing::new("the outer machine of the Xen emulation", format!("{error:#}")))?;
        fs::write(folder.join(BASE), archive).map_err(|error| Missing::new(folder.display().to_string(), error))
    })
}

fn base_archive(kernel: &Kernel) -> Result<Vec<u8>> {
    let (tree, busybox) = (tools::qemu_tree()?, tools::busybox()?);
    let mut archive = Archive::new();
    for folder in ["proc", "sys", "dev"] {
        archive.folder(folder)?;
    }
    archive.device("dev/console", 5, 1)?;
    archive.file("init", 0o755, include_bytes!("init.sh"))?;
    archive.file("qmp", 0o644, b"{\"execute\":\"qmp_capabilities\"}\n")?;
    archive.copy("bin/busybox", 0o755, &busybox)?;
    archive.symlink("bin/sh", "busybox")?;
    archive.copy("bin/qemu-system-x86_64", 0o755, &tree.file(tools::QEMU_PROGRAM))?;
    archive.copy("lib/ld-linux-x86-64.so.2", 0o755, &tree.loader()?)?;
    for library in tree.libraries(tools::QEMU_PROGRAM)? {
        let name = library.file_name().and_then(|name| name.to_str()).context("a library without a name")?;
        archive.copy(&format!("lib/{name}"), 0o755, &library)?;
    }
    for name in FIRMWARE {
        let mut places = tools::FIRMWARE_FOLDERS.iter().map(|folder| tree.file(folder).join(name));
        let file = places.find(|path| path.exists()).with_context(|| format!("{name} is not in QEMU's packages"))?;
        archive.copy(&format!("firmware/{name}"), 0o644, &file)?;
    }
    for name in MODULES {
        archive.file(&format!("modules/{name}.ko"), 0o644, &kernel.module(name)?)?;
    }
    Ok(archive.finish()?)
}
