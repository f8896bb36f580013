//! What the program shows on a terminal: one that script(1) of util-linux makes, which every Debian and Ubuntu has.
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program shows, run in `folder` on a terminal.
fn shown(folder: &Path, words: &str) -> String {
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &format!("\"$PACK\" {words}"), "/dev/null"])
        .current_dir(folder)
        .env("TERM", "xterm")
        .env("PACK", env!("CARGO_BIN_EXE_pack"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn compressing_shows_how_far_it_is_and_leaves_no_trace_of_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kernel"), pack::stage0::EMBEDDED).unwrap();
    let text = shown(folder.path(), "kernel -o image");
    let (bar, rest) = text.split_once("kernel     ").unwrap();
    assert!(bar.contains("compressing") && bar.contains("KiB"), "{text:?}");
    assert!(!rest.contains("compressing"), "{text:?}");
    // The line is cleared before anything else is said: back to its start, and erased (ECMA-48: CR, EL).
    assert!(bar.trim_end().ends_with("\r\x1b[2K") || bar.trim_end().ends_with("\x1b[K"), "{text:?}");
}
