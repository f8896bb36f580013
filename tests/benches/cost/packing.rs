//! What packing costs on the host: time of its processors and memory, beside the zstd of Zstandard's authors. These depend on the
//! machine.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use harness::tools;
use pack::build::Request;
use pack::compress::{Levels, Settings};
use shared::format::Codec;

use crate::loading::Subject;

/// What it cost to compress one kernel once.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) kernel: String,
    pub(crate) by: String,
    /// Bytes before and after.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// What its threads took of the processors together.
    pub(crate) seconds: f64,
    /// Most bytes of memory that the process had, if that is known.
    pub(crate) peak: Option<u64>,
}

/// Packs the kernel.
pub(crate) fn pack(subject: &Subject<'_>, codec: Codec) -> Result<(Vec<u8>, Packed)> {
    let elf = subject.opened.elf.clone();
    let from = elf.len();
    let settings = Settings::of(codec);
    // Makes what follows the process' peak: proc(5), clear_refs.
    fs::write("/proc/self/clear_refs", "5")?;
    let start = processor_seconds()?.own;
    let request = Request { settings, ..Request::new(subject.release(), elf) };
    let pack = request.build(&|_| {})?.pack;
    let seconds = processor_seconds()?.own - start;
    let level = Levels::of(codec).map_or_else(String::new, |levels| format!(", level {}", levels.default));
    let by = format!("pack, {}{level}", codec.name());
    let to = pack.len();
    Ok((pack, Packed { kernel: subject.release().to_owned(), by, from, to, seconds, peak: Some(peak()?) }))
}

/// Compresses the kernel by `zstd -T0`.
pub(crate) fn zstd(subject: &Subject<'_>) -> Result<Packed> {
    const LEVEL: i32 = Levels::ZSTD.default;
    let mut command = tools::zstd()?;
    command.args(["-T0", "-q", "-c", &format!("-{LEVEL}")]).arg(&subject.vmlinux).stdin(Stdio::null());
    let start = processor_seconds()?.children;
    let output = command.output()?;
    let seconds = processor_seconds()?.children - start;
    ensure!(output.status.success(), "zstd: {}", String::from_utf8_lossy(&output.stderr));
    let (from, to) = (subject.opened.elf.len(), output.stdout.len());
    let by = format!("zstd -{LEVEL} -T0");
    Ok(Packed { kernel: subject.release().to_owned(), by, from, to, seconds, peak: None })
}

/// Time of processors, in seconds.
struct Seconds {
    own: f64,
    /// Of processes that have ended.
    children: f64,
}

/// What this process took until now: proc(5), stat. A tick is a hundredth of a second on every Linux of today.
fn processor_seconds() -> Result<Seconds> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Behind the program's name, which may have spaces.
    let fields: Vec<&str> = stat.rsplit_once(") ").context("/proc/self/stat")?.1.split(' ').collect();
    let ticks = fields.get(11..15).context("/proc/self/stat is short")?;
    let seconds = ticks.iter().map(|field| field.parse::<f64>().map(|ticks| ticks / 100.0));
    let [user, system, children_user, children_system] = seconds.collect::<Result<Vec<_>, _>>()?[..] else {
        bail!("/proc/self/stat is short")
    };
    Ok(Seconds { own: user + system, children: children_user + children_system })
}

/// The process' peak of memory.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("/proc/self/status has no VmHWM")?;
    Ok(kib.trim().parse::<u64>()? << 10)
}
