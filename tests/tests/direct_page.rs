//! The page on the direct protocol: its kernel is built, packed and run as the page shows it, and does what the page says.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::trial::{self, Trouble, check};
use harness::{Missing, cache, probe, tools::Qemu};

const PAGE: &str = "docs/direct-protocol.md";

fn main() {
    trial::main(vec![
        trial::test("the_kernel_of_the_page_runs", kernel),
        trial::test("the_promises_are_numbered", numbered),
    ]);
}

fn page() -> Result<String, Trouble> {
    Ok(fs::read_to_string(cache::workspace().join(PAGE))?)
}

/// The page's blocks: what stands behind the fence, and the block.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let (mut blocks, mut lines) = (Vec::new(), page.lines());
    while let Some(kind) = lines.find_map(|line| line.strip_prefix("```")) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push((kind, block.join("\n") + "\n"));
    }
    blocks
}

/// Writes the files, runs the commands, and compares the last line: with its linker script, and as a static PIE.
fn kernel() -> Result<(), Trouble> {
    Qemu::plain()?;
    let page = page()?;
    let blocks = blocks(&page);
    let block = |wanted: &str| {
        let found = blocks.iter().find(|(kind, _)| *kind == wanted).map(|(_, block)| block.as_str());
        found.ok_or_else(|| Trouble::from(format!("no block {wanted:?}")))
    };
    let files: Vec<(&str, &str)> = blocks
        .iter()
        .filter_map(|(kind, block)| Some((kind.split_once(' ')?.1, block.as_str())))
        .filter(|(name, _)| !["example", "static-pie"].contains(name))
        .collect();
    check(files.len() == 4, format!("{} files on the page", files.len()))?;
    let commands = block("sh example")?;
    let printed = built(&files, commands)?;
    let expected = block("text example")?.trim();
    check(printed.lines().any(|line| line == expected), format!("expected {expected:?} in:\n{printed}"))?;

    let mut files = files;
    files.retain(|(name, _)| *name != "kernel.ld");
    for file in files.iter_mut().filter(|(name, _)| *name == ".cargo/config.toml") {
        file.1 = block("toml static-pie")?;
    }
    check(files.len() == 3, format!("{} files of a static PIE", files.len()))?;
    let printed = built(&files, commands)?;
    // Where in itself its entry is, is the compiler's.
    let (place, expected) = parts(block("text static-pie")?.trim()).ok_or("no line of a static PIE")?;
    let found = printed.lines().find_map(|line| parts(line).filter(|(_, rest)| *rest == expected));
    let lies = found.is_some_and(|(found, _)| found >> 20 == place >> 20);
    check(lies, format!("expected it at {place:#x}{expected} in:\n{printed}"))
}

/// The address that a kernel's line begins with, and what is behind it.
fn parts(line: &str) -> Option<(u64, &str)> {
    let (address, rest) = line.strip_prefix("a kernel at 0x")?.split_once(':')?;
    Some((u64::from_str_radix(address, 16).ok()?, rest))
}

/// What the commands print in a folder with these files.
fn built(files: &[(&str, &str)], commands: &str) -> Result<String, Trouble> {
    let folder = tempfile::tempdir()?;
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
        fs::write(path, content)?;
    }
    run(folder.path(), commands)
}

/// Runs the commands in a folder, with `pack` at hand, and with the packages that the workspace has.
fn run(folder: &Path, commands: &str) -> Result<String, Trouble> {
    fs::copy(cache::workspace().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let programs = Path::new(env!("CARGO_BIN_EXE_pack-run")).parent().ok_or("no folder of programs")?;
    if !programs.join("pack").exists() {
        let why = format!("there is no {}", programs.join("pack").display());
        return Err(Missing::new("the program pack", why).remedy("cargo build --package pack").into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [programs.to_owned()].into_iter().chain(std::env::split_paths(&path));
    let path: OsString = std::env::join_paths(folders).map_err(|error| error.to_string())?;
    let mut shell = Command::new("sh");
    shell.args(["-euc", commands]).current_dir(folder).stdin(Stdio::null());
    probe::alone(&mut shell);
    // As the page has it, but for what this machine has already.
    shell.env("PATH", path).env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_BUILD_TARGET");
    let output = shell.output()?;
    let text = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat();
    check(output.status.success(), format!("{}:\n{text}", output.status))?;
    Ok(text)
}

/// The tests name promises by their numbers.
fn numbered() -> Result<(), Trouble> {
    let page = page()?;
    let (_, promises) = page.split_once("## What is promised").ok_or("no promises")?;
    let numbers = promises.lines().filter_map(|line| line.split_once(". ")?.0.parse::<u32>().ok());
    let numbers: Vec<u32> = numbers.collect();
    check(numbers == (1..=18).collect::<Vec<_>>(), format!("{numbers:?}"))
}
