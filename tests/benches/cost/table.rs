//! The tables, and reading one back.

use std::fmt::Write;

use anyhow::Result;
use pack::stage0;
use shared::memory::MIB;

use crate::loading::Row;
use crate::packing::Packed;

/// A row of a committed table.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) kernel: String,
    pub(crate) loader: String,
    pub(crate) millions: f64,
}

const LOADING: &str = "| kernel | loaded by | file, MiB | least memory, MiB | from reset | loading | verify | decode |\n\
                       |---|---|---|---|---|---|---|---|\n";
const PACKING: &str = "| kernel | by | from, MiB | to, MiB | processor, s | MiB per s | peak of memory, MiB |\n\
                       |---|---|---|---|---|---|---|\n";

/// Both tables, and how they were made.
pub(crate) fn text(loaded: &[Row], packed: &[Packed]) -> Result<String> {
    let mut text = format!(
        "`cargo bench --package tests --bench cost`, with a stage0 of {} bytes. Millions of instructions:\n\n{LOADING}",
        stage0::EMBEDDED.len()
    );
    let mib = |bytes: usize| bytes as f64 / MIB as f64;
    let millions = |count: u64| format!("{:.1}", count as f64 / 1e6);
    for row in loaded {
        let (memory, phase) = (row.memory.div_ceil(MIB), |name| row.phase(name).map_or(String::new(), millions));
        writeln!(
            text,
            "| {} | {} | {:.1} | {memory} | {} | {} | {} | {} |",
            row.kernel,
            row.loader,
            mib(row.file),
            millions(row.from_reset),
            millions(row.loading),
            phase("verify"),
            phase("decode")
        )?;
    }
    let threads = std::thread::available_parallelism()?;
    write!(
        text,
        "\nCompressing on the host, with {threads} threads; the seconds are those of all together:\n\n{PACKING}"
    )?;
    for row in packed {
        let (from, to, seconds) = (mib(row.from), mib(row.to), row.seconds);
        let peak = row.peak.map_or(String::new(), |bytes| bytes.div_ceil(MIB).to_string());
        let speed = from / seconds.max(0.01);
        writeln!(text, "| {} | {} | {from:.1} | {to:.1} | {seconds:.1} | {speed:.1} | {peak} |", row.kernel, row.by)?;
    }
    Ok(text)
}

/// The rows of the first table in `text`.
pub(crate) fn committed(text: &str) -> Vec<Committed> {
    let lines = text.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let rows = lines.skip(2).filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, kernel, loader, _, _, _, loading, ..] = cells[..] else { return None };
        Some(Committed { kernel: kernel.to_owned(), loader: loader.to_owned(), millions: loading.parse().ok()? })
    });
    rows.collect()
}
