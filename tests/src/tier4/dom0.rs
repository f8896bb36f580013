//! The machine that runs Xen, what is in its dom0, and running domains in it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Act, Domain, Release};
use crate::frames::{self, Filter, Section};
use crate::initrd::{self, Archive, Pool};
use crate::kernels::{self, Kernel};
use crate::logs::{Logs, SERIAL, STDERR, TOOLSTACK};
use crate::machine::{self, XEN_CONSOLE};
use crate::tools::{self, Qemu};
use crate::xen::{self, Toolstack};
use crate::{Board, Exit, Input, Machine, Missing, Outcome, cache};

/// The toolstack's programs that dom0 runs.
const PROGRAMS: [&str; 6] = ["xl", "xenstored", "xen-init-dom0", "xenconsoled", "xenconsole", "libxl-save-helper"];
/// Xen as a kernel for `pvshim`, where xl looks for it: a name in the folder beside that of the programs.
const SHIM: &str = "boot/xen-shim";
/// What xl loads by itself when one of its threads ends.
const LOADED_LATER: &str = "libgcc_s.so.1";
/// dom0's modules, in the order of loading.
const MODULES: [&str; 5] = ["xen-privcmd", "xenfs", "xen-evtchn", "xen-gntdev", "xen-gntalloc"];
/// Folders that the toolstack expects.
const FOLDERS: [&str; 11] = [
    "proc",
    "sys",
    "dev",
    "run/lock",
    "run/xen",
    "run/xenstored",
    "tmp",
    "var/lock",
    "var/lib/xen",
    "var/lib/xenstored",
    "var/log/xen/console",
];
/// The log with the stream of sections.
const STREAM: &str = "stream.log";
/// What Xen and dom0 take to start and to end, generously, on a busy host.
const OVERHEAD: Duration = Duration::from_secs(180);
/// What xl takes for a domain beside the domain's own time.
const DOMAIN_OVERHEAD: Duration = Duration::from_secs(20);
/// What dom0 needs beside the files, in MiB.
const DOM0_MEMORY_MIB: u64 = 512;
/// What Xen itself needs beside dom0's and the domain's memory, in MiB.
const XEN_MEMORY_MIB: u64 = 512;

/// Runs `domains` one after another, copying their consoles to `console`.
pub(super) fn run(release: Release, domains: &[Domain], console: &mut dyn Write) -> Result<Vec<Outcome>> {
    let (toolstack, kernel) = (xen::toolstack(release)?, dom0_kernel()?);
    let mut ramdisk = fs::read(base(&toolstack, &kernel)?.join(BASE))?;
    let token = frames::token();
    ramdisk.extend(jobs(domains, &token)?);
    let name = format!("xen-of-{}", domains.first().map_or("none", |domain| &domain.machine.name));
    fs::create_dir_all(cache::logs())?;
    let file = cache::logs().join(format!("{name}.cpio"));
    fs::write(&file, &ramdisk).with_context(|| file.display().to_string())?;

    let input = domains.iter().find_map(|domain| domain.machine.input.as_ref());
    let stream = cache::logs().join(&name).join(STREAM);
    let largest = domains.iter().map(|domain| domain.machine.memory_mib).max().unwrap_or(0);
    let saved = domains.iter().filter(|domain| domain.act == Act::Save).map(|domain| domain.machine.memory_mib).max();
    // The archive lies in memory twice while Linux unpacks it.
    let dom0_memory = DOM0_MEMORY_MIB + 2 * (ramdisk.len() as u64).div_ceil(1 << 20) + saved.unwrap_or(0);
    let modules = [(kernel.vmlinuz.as_path(), "console=hvc0 quiet panic=-1"), (file.as_path(), "")];
    let limits = domains.iter().map(|domain| domain.machine.limit + DOMAIN_OVERHEAD);
    let machine = Machine::new(&name, toolstack.hypervisor())
        .board(Board::Q35)
        // Without MONITOR, which TCG does not let Xen's idle loop use.
        .cpu("EPYC,+svm,+npt,-monitor,-xsave")
        .memory(XEN_MEMORY_MIB + dom0_memory + largest)
        .modules(&modules)
        .append(format!(
            "console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0_max_vcpus=1 dom0_mem={dom0_memory}M"
        ))
        .arguments(["-chardev", &machine::file("stream", &stream, input.map(Input::fifo)), "-serial", "chardev:stream"])
        .limit(OVERHEAD + limits.sum());
    let machine = Machine { input: input.cloned(), ..machine };
    let mut filter = Filter::new(&token, CONSOLE, console);
    let ended = machine.run_with(Qemu::for_real_xen()?, "tcg", STREAM, &mut filter)?;
    fs::remove_file(&file)?;
    let stream = fs::read(&stream).unwrap_or_default();
    let sections = frames::sections(&stream, &token);
    domains.iter().enumerate().map(|(number, domain)| outcome(&domain.machine, number, &sections, &ended)).collect()
}

/// A kernel that can be dom0, of those the one that Xen unpacks quickest.
fn dom0_kernel() -> Result<Kernel, Missing> {
    kernels::with(&["CONFIG_XEN_DOM0", "CONFIG_KERNEL_ZSTD"]).or_else(|_| kernels::with(&["CONFIG_XEN_DOM0"]))
}

/// What the sections and Xen's log say of one domain; its logs are written where those of other tiers lie.
fn outcome(machine: &Machine, number: usize, sections: &[Section<'_>], xen: &Outcome) -> Result<Outcome> {
    let logs = Logs::new(&machine.name)?;
    let section = |name| sections.iter().find(|section| section.number == number && section.name == name);
    let text = |name| String::from_utf8_lossy(section(name).map_or(&[][..], |section| section.content)).into_owned();
    logs.write(XEN_CONSOLE, text(CONSOLE))?;
    logs.write(TOOLSTACK, text(TOOLSTACK))?;
    let end = text("end");
    let words: Vec<&str> = end.split_whitespace().collect();
    let &[state, domid, seconds] = words.as_slice() else {
        let why = xen.failure("Xen's machine ended before this domain did");
        logs.write(STDERR, &why)?;
        return Ok(Outcome { exit: Exit::Failed(why), ..logs.outcome(None, xen.elapsed) });
    };
    let start = format!("(d{domid}) ");
    let lines = xen.serial.lines().filter_map(|line| line.strip_prefix(&start));
    logs.write(SERIAL, lines.collect::<Vec<_>>().join("\n"))?;
    let exit = match state {
        "none" => Exit::Failed(text(TOOLSTACK)),
        // Destroyed, as xl does by itself.
        "gone" => Exit::PowerOff,
        "found" => Exit::Found,
        _ if state.contains('c') => Exit::Crashed,
        _ if state.contains('s') => Exit::PowerOff,
        _ => Exit::TimedOut,
    };
    Ok(Outcome { exit, ..logs.outcome(None, Duration::from_secs(seconds.parse().unwrap_or(0))) })
}

/// What a domain wrote to its console ring, as the stream names it.
const CONSOLE: &str = "console.log";

/// An archive with the files of all domains (those that several share once), the list of what to run, and what runs it.
fn jobs(domains: &[Domain], token: &str) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    let mut files = Pool::new("jobs");
    let mut list = String::new();
    for (number, domain) in domains.iter().enumerate() {
        let machine = &domain.machine;
        let kernel = files.store(&mut archive, &machine.kernel)?;
        let ramdisk = machine.initrd.as_deref().map(|file| files.store(&mut archive, file)).transpose()?;
        let mut name = format!("mstrap-{number}");
        if let Some(given) = &domain.given {
            name.clone_from(&given.name);
            for (path, file) in given.files.iter().zip([Some(&kernel), ramdisk.as_ref()]) {
                archive.symlink(path, &file.map_or_else(String::new, |file| file.display().to_string()))?;
            }
        }
        let file = domain.file(&name, &kernel, ramdisk.as_deref())?;
        archive.file(&format!("jobs/{number}.cfg"), 0o644, file.as_bytes())?;
        let (act, times) = domain.act.word();
        let (limit, until) = (machine.limit.as_secs().max(1), machine.until.as_deref().unwrap_or_default());
        ensure!(!until.contains('\''), "{name}: a quote in what it is to be ended at");
        list.push_str(&format!("job {number} {name} {limit} {act} {times} '{until}'\n"));
    }
    archive.file("init", 0o755, include_bytes!("init.sh"))?;
    archive.file("jobs/list", 0o644, list.as_bytes())?;
    let words = format!("token={token}\nup='{}'\ntick='{}'\n", initrd::UP, initrd::TICK);
    archive.file("jobs/token", 0o644, words.as_bytes())?;
    Ok(archive.finish()?)
}

const BASE: &str = "base.cpio";

/// The folder with what is the same for each run: busybox, the toolstack with its libraries, dom0's modules.
fn base(toolstack: &Toolstack, kernel: &Kernel) -> Result<PathBuf, Missing> {
    cache::entry(&format!("dom0-with-console-and-shim-{}-{}", toolstack.version(), kernel.release), |folder| {
        let archive = base_archive(toolstack, kernel)
            .map_err(|error| Missing::new("the dom0 of a nested Xen", format!("{error:#}")))?;
        fs::write(folder.join(BASE), archive).map_err(|error| Missing::new(folder.display().to_string(), error))
    })
}

fn base_archive(toolstack: &Toolstack, kernel: &Kernel) -> Result<Vec<u8>> {
    let (tree, programs) = (toolstack.tree(), toolstack.programs());
    let mut archive = Archive::new();
    for folder in FOLDERS {
        archive.folder(folder)?;
    }
    archive.device("dev/console", 5, 1)?;
    archive.file("etc/xen/xl.conf", 0o644, b"")?;
    archive.copy("bin/busybox", 0o755, &tools::busybox()?)?;
    archive.symlink("bin/sh", "busybox")?;
    archive.symlink("var/run", "/run")?;
    archive.symlink("xen", &programs)?;
    archive.copy("lib64/ld-linux-x86-64.so.2", 0o755, &tree.loader()?)?;
    let mut libraries = BTreeSet::from([tree.library(LOADED_LATER)?]);
    for program in PROGRAMS {
        let path = format!("{programs}/{program}");
        archive.copy(&path, 0o755, &tree.file(&path))?;
        libraries.extend(tree.libraries(&path)?);
    }
    let shim = Path::new(&programs).with_file_name(SHIM);
    archive.copy(&shim.to_string_lossy(), 0o644, &tree.file(&shim.to_string_lossy()))?;
    for library in libraries {
        let Some(name) = library.file_name().and_then(|name| name.to_str()) else { bail!("a library without a name") };
        archive.copy(&format!("usr/lib/x86_64-linux-gnu/{name}"), 0o755, &library)?;
    }
    for name in MODULES {
        archive.file(&format!("modules/{name}.ko"), 0o644, &kernel.module(name)?)?;
    }
    Ok(archive.finish()?)
}
