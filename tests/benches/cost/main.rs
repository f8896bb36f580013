//! What packing costs on the host, and what loading costs in the guest, beside what it is to be compared with. Writes a table and a plot
//! to `bench` in the target folder, and fails if stage0 takes more than 2 % more instructions than the table in the documents says.
//! With `--write`, the documents get the new table and plot. A word selects kernels by a part of their release.

mod loading;
mod packing;
mod plot;
mod table;

use std::fs;

use anyhow::{Result, bail};
use harness::cache;
use harness::kernels;
use harness::results::Results;

/// The document with the last results.
const DOCUMENT: &str = "docs/performance.md";
const PLOT: &str = "docs/performance.svg";
/// How many kernels, each of another compression.
const KERNELS: usize = 3;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    // `cargo test` runs benchmarks' binaries too, without this word.
    if !has("--bench") {
        return Ok(());
    }
    let words: Vec<&String> = arguments[1..].iter().filter(|word| !word.starts_with('-')).collect();
    if has("--write") && !words.is_empty() {
        bail!("--write is for all kernels: leave out {words:?}");
    }
    let (mut loaded, mut packed) = (Vec::new(), Vec::new());
    for kernel in kernels::of_different_compressions(KERNELS)? {
        if !words.is_empty() && !words.iter().any(|word| kernel.release.contains(word.as_str())) {
            continue;
        }
        let subject = loading::Subject::of(&kernel)?;
        loaded.extend(subject.rows(&mut packed)?);
        packed.push(packing::zstd(&subject)?);
    }
    let results = table::text(&loaded, &packed)?;
    let plot = plot::draw(&loaded);
    print!("{results}");
    let folder = cache::target().join("bench");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("cost.md"), &results)?;
    fs::write(folder.join("cost.svg"), &plot)?;

    let document = Results::read(DOCUMENT)?;
    if has("--write") {
        fs::write(cache::workspace().join(PLOT), &plot)?;
        return document.write(&results);
    }
    compare(&loaded, &table::committed(&document.last))
}

/// Fails if a row is worse than the committed one, or if there is none to compare with.
fn compare(rows: &[loading::Row], committed: &[table::Committed]) -> Result<()> {
    let mut compared = 0;
    let mut worse = Vec::new();
    for row in rows.iter().filter(|row| row.is_stage0()) {
        let Some(before) = committed.iter().find(|before| before.kernel == row.kernel && before.loader == row.loader)
        else {
            println!("{}, {}: {DOCUMENT} has no such row", row.kernel, row.loader);
            continue;
        };
        compared += 1;
        let millions = row.loading as f64 / 1e6;
        if millions > before.millions * 1.02 {
            worse.push(format!("{}, {}: {millions:.1} instead of {:.1}", row.kernel, row.loader, before.millions));
        }
    }
    if compared == 0 {
        bail!("{DOCUMENT} has no result for these kernels: see what is printed above, and add it with `-- --write`");
    }
    if !worse.is_empty() {
        bail!("more than 2 % more millions of instructions than in {DOCUMENT}:\n{}", worse.join("\n"));
    }
    println!("\n{compared} rows are within 2 % of {DOCUMENT}, or better");
    Ok(())
}
