//! The page about verified boot, from making a key to reading the measurements inside the guest: its commands, as they stand there.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::tools::{self, Qemu};
use harness::trial::{self, Trouble, check};
use harness::{cache, initrd, kernels};

const PAGE: &str = "docs/verified-boot.md";

fn main() {
    trial::main(vec![trial::test("the_page_leads_from_a_key_to_the_measurements_in_a_guest", page)]);
}

/// The blocks of the page whose fence is one of `fences`, with their fence, in order.
fn blocks<'p>(page: &'p str, fences: &[&str]) -> Vec<(&'p str, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(fence) = lines.find_map(|line| line.strip_prefix("```")) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if fences.contains(&fence) {
            blocks.push((fence, block.join("\n")));
        }
    }
    blocks
}

fn page() -> Result<(), Trouble> {
    Qemu::plain()?;
    let page = fs::read_to_string(cache::workspace().join(PAGE))?;
    let guest: Vec<String> = blocks(&page, &["sh guest"]).into_iter().map(|(_, block)| block).collect();
    let folder = tempfile::tempdir()?;
    let kernel = kernels::with(&["CONFIG_KERNEL_LZ4", "CONFIG_PVH"]).or_else(|_| kernels::with(&["CONFIG_PVH"]))?;
    fs::copy(&kernel.vmlinuz, folder.path().join("vmlinuz"))?;
    fs::write(folder.path().join("initrd.img"), initrd::measured(&guest.join("\n"))?)?;

    let (mut host, mut console) = (0, String::new());
    for (fence, block) in blocks(&page, &["sh", "sh machine"]) {
        let output = run(folder.path(), &block)?;
        let streams = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned());
        check(output.status.success(), format!("{block}\n{}\n{}", output.status, streams.concat()))?;
        if fence == "sh machine" {
            console += &streams[0];
        } else {
            host += 1;
        }
    }
    check(host >= 7 && guest.len() == 1, format!("{host} blocks for the host, {} for the guest", guest.len()))?;
    let expected = fs::read_to_string(folder.path().join("expected"))?;
    let found = initrd::measurements(&console);
    check(!expected.is_empty() && found == expected, format!("expected\n{expected}found\n{found}in\n{console}"))
}

fn run(folder: &Path, block: &str) -> Result<Output, Trouble> {
    let programs = tools::pack()?;
    let programs = programs.parent().unwrap_or(folder).to_owned();
    let paths = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([programs].into_iter().chain(env::split_paths(&paths))).map_err(|e| e.to_string())?;
    let mut shell = Command::new("timeout");
    shell.args(["120", "sh", "-euc", block]).current_dir(folder).env("PATH", path).stdin(Stdio::null());
    Ok(shell.output()?)
}
