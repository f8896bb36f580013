//! The commands in the documents, run as they stand there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[path = "common/bzimage.rs"]
mod bzimage;
#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use bzimage::bzimage;
use common::Kernel;
use common::place::Place;

/// Blocks of shell commands, of all pages together: fewer, and this test does not find them.
const LEAST_BLOCKS: usize = 10;

/// The shell commands of a page, block by block.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while lines.any(|line| line == "```sh") {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

/// A folder as the pages suppose it.
fn folder() -> Place {
    let place = Place::new();
    fs::remove_file(place.path("kernel")).unwrap();
    place.file("vmlinuz", &bzimage(&zstd::bulk::compress(&Kernel::pvh().elf(), 1).unwrap()));
    place.file("initrd.img", b"an initrd");
    place
}

#[test]
fn every_command_of_the_documents_works() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let programs = Path::new(env!("CARGO_BIN_EXE_pack")).parent().unwrap();
    let path =
        env::join_paths([programs.to_owned()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())));
    let path = path.unwrap();
    let mut count = 0;
    for page in fs::read_dir(docs).unwrap() {
        let page = page.unwrap().path();
        let place = folder();
        for block in blocks(&fs::read_to_string(&page).unwrap()) {
            let mut shell = Command::new("sh");
            shell.args(["-euc", &block]).current_dir(place.folder()).env("PATH", &path).stdin(Stdio::null());
            let output = shell.output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}:\n{block}\n{errors}", page.display());
            count += 1;
        }
    }
    assert!(count >= LEAST_BLOCKS, "{count} blocks of commands");
}

/// A link to a page or a heading that is not there.
#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for page in fs::read_dir(&docs).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap();
            assert!(file.is_empty() || docs.join(file).exists(), "{}: {link}", page.display());
        }
    }
}
