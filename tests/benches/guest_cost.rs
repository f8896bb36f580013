//! What stage0 costs in the guest, in instructions: QEMU's `-icount shift=0` lets guest time count them, so that the figures do
//! not depend on the machine or its load. Prints a table and writes it to `bench/guest_cost.md` under the target folder.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use harness::kernels::{self, Kernel};
use harness::{Machine, cache, probe, stage0};
use pack::build::Request;
use pack::compress::Settings;
use pack::open::{self, Opened};
use shared::format::Codec;
use shared::memory::MIB;

/// The processor that instructions are counted on. It matters to none of stage0's code, which asks it for nothing.
const CPU: &str = "max";

/// One run.
struct Row {
    kernel: String,
    codec: Codec,
    elf: usize,
    pack: usize,
    /// Seconds of packing, wall clock: the one figure that depends on the machine.
    packing: f32,
    /// Instructions of each phase, by its name.
    phases: Vec<(String, u64)>,
}

fn main() -> Result<()> {
    // `cargo test` runs benchmarks' binaries too, without this word.
    if !std::env::args().any(|word| word == "--bench") {
        return Ok(());
    }
    let mut rows = Vec::new();
    for kernel in kernels::of_different_compressions(3)? {
        let opened = open::open(&kernel.vmlinuz)?;
        for codec in [Codec::Zstd, Codec::Lz4, Codec::None] {
            rows.push(row(&kernel, &opened, codec)?);
        }
    }
    let table = table(&rows)?;
    print!("{table}");
    let folder = cache::target().join("bench");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("guest_cost.md"), table)?;
    Ok(())
}

fn row(kernel: &Kernel, opened: &Opened, codec: Codec) -> Result<Row> {
    let settings = Settings { codec, ..Settings::default() };
    let start = Instant::now();
    let request = Request { settings, ..Request::new(kernel.release.clone(), opened.elf.clone()) };
    let pack = request.build(&|_| {})?.pack;
    let packing = start.elapsed().as_secs_f32();
    let name = format!("bench-{}-{}", kernel.release, codec.name());
    let machine = Machine::new(&name, stage0::file()?)
        .initrd(probe::file(&format!("{name}.pack"), &pack)?)
        .append("stage0.timing")
        .cpu(CPU)
        .memory(512)
        .arguments(["-icount", "shift=0"])
        .limit(Duration::from_secs(300))
        .until("ticks\r\n");
    let outcome = machine.run()?;
    let line = outcome.serial.lines().find_map(|line| line.strip_prefix("stage0: timing: "));
    let line = line.with_context(|| outcome.failure("no line of timing"))?;
    Ok(Row {
        kernel: kernel.release.clone(),
        codec,
        elf: opened.elf.len(),
        pack: pack.len(),
        packing,
        phases: phases(line),
    })
}

/// The phases of a line such as `find 7197 ticks 0 bytes, hand over 4979 ticks 0 bytes, total 2049 ticks`.
fn phases(line: &str) -> Vec<(String, u64)> {
    let parts = line.split(", ").filter_map(|part| {
        let (before, _) = part.split_once(" ticks")?;
        let (name, ticks) = before.rsplit_once(' ')?;
        Some((name.to_string(), ticks.parse().ok()?))
    });
    parts.collect()
}

fn table(rows: &[Row]) -> Result<String> {
    let mut text = String::from("Millions of instructions, by `cargo bench --package tests --bench guest_cost`\n\n");
    let names = rows.first().map(|row| row.phases.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    let names = names.unwrap_or_default();
    writeln!(text, "| kernel | codec | ELF, MiB | pack, MiB | packing, s | {} |", names.join(" | "))?;
    writeln!(text, "|---|---|---|---|---|{}", "---|".repeat(names.len()))?;
    let mib = |bytes: usize| bytes as f64 / MIB as f64;
    for row in rows {
        let (elf, pack) = (mib(row.elf), mib(row.pack));
        write!(text, "| {} | {} | {elf:.1} | {pack:.1} | {:.1} |", row.kernel, row.codec.name(), row.packing)?;
        for (_, ticks) in &row.phases {
            write!(text, " {:.1} |", *ticks as f64 / 1e6)?;
        }
        writeln!(text)?;
    }
    Ok(text)
}
