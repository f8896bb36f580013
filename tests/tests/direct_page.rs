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

/// Writes the files, runs the commands, and compares the last line.
fn kernel() -> Result<(), Trouble> {
    Qemu::plain()?;
    let (page, folder) = (page()?, tempfile::tempdir()?);
    let blocks = blocks(&page);
    let (mut files, mut printed, mut expected) = (0, None, None);
    for (kind, block) in &blocks {
        match kind.split_once(' ') {
            Some(("sh", "example")) => printed = Some(run(folder.path(), block)?),
            Some(("text", "example")) => expected = Some(block.trim().to_owned()),
            Some((_, name)) => {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
                fs::write(path, block)?;
                files += 1;
            }
            None => {}
        }
    }
    check(files == 4, format!("{files} files on the page"))?;
    let (printed, expected) = (printed.ok_or("no commands")?, expected.ok_or("no line")?);
    check(printed.lines().any(|line| line == expected), format!("expected {expected:?} in:\n{printed}"))
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
