//! What is installed beside the program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::place::Place;

const COMMANDS: [&str; 11] =
    ["stage0", "info", "check", "xl", "run", "key", "sign", "digest", "extract", "diff", "share"];

fn text(place: &Place, path: &str) -> String {
    String::from_utf8(place.read(path)).unwrap()
}

#[test]
fn every_command_has_its_page() {
    let place = Place::new();
    let listed = place.succeeds(&["share", "prefix"]);
    let pages = listed.lines().filter(|line| line.starts_with("prefix/share/man/man1/")).count();
    // `pack key` has two more, for its own commands.
    assert_eq!(pages, 1 + COMMANDS.len() + 2, "{listed}");
    for command in COMMANDS {
        let page = text(&place, &format!("prefix/share/man/man1/pack-{command}.1"));
        assert!(page.contains(&format!(".TH pack-{command} 1 ")), "{page}");
        assert!(page.contains(&format!("\\fBpack {command}\\fR")), "{page}");
    }
    let page = text(&place, "prefix/share/man/man1/pack.1");
    assert!(page.contains("\\-\\-lock\\-cmdline") && page.contains("Examples:"), "{page}");
    assert!(place.read("prefix/lib/mstrap/stage0.elf") == pack::stage0::EMBEDDED);
    // Again: what is there is replaced.
    assert_eq!(place.succeeds(&["share", "prefix"]), listed);
}

/// What bash offers behind `words`, of which the last is being written.
fn offered(place: &Place, words: &[&str]) -> Vec<String> {
    let script = "source prefix/share/bash-completion/completions/pack
        COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        _pack pack \"${@: -1}\" \"${@: -2:1}\" >/dev/null 2>&1
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash", "pack"]).args(words).current_dir(place.folder()).stdin(Stdio::null());
    let output = bash.output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    let place = Place::new();
    place.succeeds(&["share", "prefix"]);
    assert_eq!(offered(&place, &["ch"]), ["check"]);
    assert_eq!(offered(&place, &["xl", "--mem"]), ["--memory"]);
    assert_eq!(offered(&place, &["xl", "--type", "p"]), ["pvh", "pv"]);
    assert_eq!(offered(&place, &["--co"]), ["--codec"]);
}

#[test]
fn an_installed_program_knows_where_stage0_is() {
    let place = Place::new();
    place.succeeds(&["share", "prefix"]);
    fs::create_dir(place.path("prefix/bin")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_pack"), place.path("prefix/bin/pack")).unwrap();
    place.succeeds(&["kernel", "-o", "image", "--codec", "none"]);
    let output =
        Command::new(place.path("prefix/bin/pack")).args(["xl", "image"]).current_dir(place.folder()).output().unwrap();
    let file = String::from_utf8(output.stdout).unwrap();
    let stage0 = place.path("prefix/lib/mstrap/stage0.elf").canonicalize().unwrap();
    assert!(file.contains(&format!("kernel  = \"{}\"\n", stage0.display())), "{file}");
}

#[test]
fn a_prefix_that_cannot_be_written_is_refused() {
    let place = Place::new();
    let line = place.refuses(&["share", "kernel"]);
    assert!(line.starts_with("kernel/lib/mstrap: cannot be made: "), "{line}");
}
