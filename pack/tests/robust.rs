//! What befalls the program from outside: full disks, its own end, files that change. Nothing half-written is left, and nothing
//! that was there is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[path = "common/bzimage.rs"]
mod bzimage;
#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bzimage::bzimage;
use common::place::Place;
use common::seal;

const PACK: &str = env!("CARGO_BIN_EXE_pack");

/// `pack` as a command of the shell that `script` has as "$@", run in the place.
fn shell(place: &Place, script: &str, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("sh");
    command.current_dir(place.folder()).args(["-c", script, "sh", PACK]).args(words);
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The system gives no file of the output's size, as a full disk does not.
#[test]
fn an_output_that_does_not_fit_leaves_what_was_there() {
    let place = Place::new();
    place.file("image", b"the pack of yesterday");
    let before = place.names();
    for output in ["image", "new"] {
        let words = ["kernel", "-o", output, "--codec", "none"];
        let (status, line) = shell(&place, "trap '' XFSZ; ulimit -f 64; exec \"$@\"", &words);
        assert_eq!(status, Some(1), "{line}");
        assert_eq!(line, format!("pack: error: {output}: cannot be written: File too large (os error 27)\n"));
        assert_eq!(place.names(), before);
        assert_eq!(place.read("image"), b"the pack of yesterday");
    }
    place.succeeds(&["kernel", "-o", "image", "--codec", "none"]);
}

#[test]
fn an_error_that_cannot_be_told_is_one_all_the_same() {
    let place = Place::new();
    for to in ["/dev/full", "&-"] {
        let (status, _) = shell(&place, &format!("exec \"$@\" 2>{to}"), &["info", "absent"]);
        assert_eq!(status, Some(1), "{to}");
    }
}

#[test]
fn a_program_that_is_killed_leaves_nothing_half_written() {
    let place = Place::new();
    place.succeeds(&["kernel", "-o", "whole", "--level", "1"]);
    let whole = place.read("whole");
    place.file("image", b"the pack of yesterday");
    let run = || Command::new(PACK).current_dir(place.folder()).args(["kernel", "-o", "image", "--level", "1"]).spawn();
    let begin = Instant::now();
    run().unwrap().wait().unwrap();
    let all = begin.elapsed();
    assert!(place.read("image") == whole);
    let mut killed = 0;
    for step in 0..40 {
        place.file("image", b"the pack of yesterday");
        let mut child = run().unwrap();
        thread::sleep(all * step / 40);
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().signal().is_some());
        let found = place.read("image");
        assert!(found == b"the pack of yesterday" || found == whole, "step {step}: {} bytes", found.len());
        // A name that is about to replace the output has all of it.
        for name in place.names().iter().filter(|name| name.starts_with(".pack-")) {
            assert!(place.read(name) == whole, "step {step}: {name}");
            fs::remove_file(place.path(name)).unwrap();
        }
        assert_eq!(place.names(), ["image", "kernel", "whole"]);
    }
    assert!(killed > 0, "never killed before its end");
}

#[test]
fn another_file_system_takes_the_output() {
    let place = Place::new();
    // Every Linux has one there, in memory.
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let image = elsewhere.path().join("image");
    place.succeeds(&["kernel", "-o", image.to_str().unwrap(), "--codec", "none"]);
    place.succeeds(&["kernel", "-o", "image", "--codec", "none"]);
    assert!(fs::read(&image).unwrap() == place.read("image"));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    // A link there from here is followed.
    std::os::unix::fs::symlink(&image, place.path("link")).unwrap();
    place.succeeds(&["kernel", "-o", "link", "--codec", "lz4"]);
    assert!(fs::symlink_metadata(place.path("link")).unwrap().is_symlink());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

#[test]
fn an_input_that_changes_while_it_is_read_is_refused() {
    let place = Place::new();
    let stop = AtomicBool::new(false);
    let whole = fs::metadata(place.path("kernel")).unwrap().len();
    let refused = thread::scope(|scope| {
        // Grows by nothing, changes all the time.
        let writer = scope.spawn(|| {
            let mut file = File::options().append(true).open(place.path("kernel")).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.write_all(&[0]).unwrap();
                file.set_len(whole).unwrap();
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut refused = None;
        while refused.is_none() && Instant::now() < deadline {
            let output = place.pack(&["kernel", "-o", "image", "--codec", "none"]);
            refused = (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap());
            // What is taken all the same is whole.
            assert!(refused.is_some() || pack::image::Image::parse(&place.read("image")).unwrap().check().is_ok());
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        refused
    });
    let expected = "pack: error: kernel: has changed while it was read: wait until it is written, or name a copy\n";
    assert_eq!(refused.as_deref(), Some(expected));
}

#[test]
fn a_pipe_is_no_input_and_nobody_waits_for_one() {
    let place = Place::new();
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    let begin = Instant::now();
    let says = "is a pipe, not a regular file: save its content to a file and name that";
    assert_eq!(place.refuses(&["pipe", "-o", "image"]), format!("pipe: {says}"));
    assert_eq!(place.refuses(&["kernel", "--initrd", "pipe", "-o", "image"]), format!("pipe: {says}"));
    assert_eq!(place.refuses(&["info", "pipe"]), format!("pipe: {says}"));
    assert!(place.refuses(&["kernel", "-o", "pipe"]).starts_with("pipe: is not a regular file"));
    assert_eq!(place.refuses(&["/dev/zero", "-o", "image"]), format!("/dev/zero: {}", says.replace("pipe", "device")));
    assert!(begin.elapsed() < Duration::from_secs(30));
}

/// Nobody but root may write there; root as which the tests may run gives up its right to.
#[test]
fn a_folder_that_is_read_only_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("folder")).unwrap();
    fs::write(place.path("folder/image"), b"the pack of yesterday").unwrap();
    fs::set_permissions(place.path("folder"), fs::Permissions::from_mode(0o555)).unwrap();
    let as_root = fs::write(place.path("folder/probe"), b"").is_ok();
    if as_root {
        fs::remove_file(place.path("folder/probe")).unwrap();
    }
    // setpriv is of util-linux, which every Debian and Ubuntu has.
    let without =
        "exec setpriv --bounding-set -all --inh-caps -all --ambient-caps -all --reuid 65534 --clear-groups \"$@\"";
    fs::set_permissions(place.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    for output in ["folder/image", "folder/new"] {
        let script = if as_root { without } else { "exec \"$@\"" };
        let (status, line) = shell(&place, script, &["kernel", "-o", output]);
        assert_eq!(status, Some(1), "{line}");
        assert_eq!(line, format!("pack: error: {output}: cannot be written: Permission denied (os error 13)\n"));
    }
    assert_eq!(fs::read(place.path("folder/image")).unwrap(), b"the pack of yesterday");
    assert_eq!(fs::read_dir(place.path("folder")).unwrap().count(), 1);
    fs::set_permissions(place.path("folder"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// `pack` alone, without what comes with the source.
#[test]
fn a_runner_that_is_not_there_is_named() {
    let place = Place::new();
    fs::copy(PACK, place.path("pack")).unwrap();
    let output = Command::new(place.path("pack"))
        .current_dir(place.folder())
        .env("PATH", "/nonexistent")
        .args(["run", "kernel", "--tier", "qemu"])
        .output()
        .unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected =
        "pack-run: is not there, neither beside this program nor by PATH: in mstrap's source, run `cargo install";
    assert!(line.starts_with(&format!("pack: error: {expected}")), "{line}");
}

/// A file of `len` bytes that begins with `start`; hardly any of them are on the disk.
fn sparse(place: &Place, name: &str, start: &[u8], len: u64) {
    place.file(name, start);
    File::options().write(true).open(place.path(name)).unwrap().set_len(len).unwrap();
}

#[test]
fn a_file_of_60_gib_is_refused_with_little_memory() {
    const LEN: u64 = 60 << 30;
    let place = Place::new();
    place.succeeds(&["kernel", "-o", "image", "--codec", "lz4"]);
    let image = place.read("image");
    sparse(&place, "nothing", b"", LEN);
    sparse(&place, "pack", &seal::with_len(&image, LEN), LEN);
    sparse(&place, "image", &image, LEN);
    let pack = |words: &[&str]| shell(&place, "ulimit -v 600000; exec \"$@\"", words);
    let begin = Instant::now();
    let says = "is a pack of 64424509440 bytes, more than the 4294967296 that a domain could start: make it of less";
    for command in ["info", "check", "run", "digest"] {
        assert_eq!(pack(&[command, "pack"]), (Some(1), format!("pack: error: pack: {says}\n")), "{command}");
    }
    let (status, line) = pack(&["info", "nothing"]);
    assert!(status == Some(1) && line.starts_with("pack: error: nothing: not a pack"), "{line}");
    let (status, line) = pack(&["run", "nothing"]);
    assert!(status == Some(1) && line.starts_with("pack: error: nothing: holds more than 1048576 KiB"), "{line}");
    // What follows a pack is not looked at.
    assert_eq!(pack(&["check", "image"]), (Some(0), String::new()));
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[test]
fn what_there_is_no_memory_for_is_refused() {
    const LEN: u64 = 3 << 30;
    let place = Place::new();
    place.succeeds(&["kernel", "-o", "image", "--codec", "lz4"]);
    sparse(&place, "pack", &seal::with_len(&place.read("image"), LEN), LEN);
    sparse(&place, "initrd", b"", LEN);
    for (name, words) in [("pack", &["info", "pack"][..]), ("initrd", &["kernel", "-o", "new", "--initrd", "initrd"])] {
        let (status, line) = shell(&place, "ulimit -v 600000; exec \"$@\"", words);
        let says = "holds 3145728 KiB, for which there is no memory: do this where there is more";
        assert_eq!(status, Some(1), "{line}");
        assert!(line.starts_with(&format!("pack: error: {name}: {says}")), "{line}");
    }
}

/// 10 GiB that begin as a kernel does, in all compressions that make them small enough to try.
#[test]
fn a_payload_of_10_gib_is_refused_with_little_memory() {
    let place = Place::new();
    let mut head = place.read("kernel");
    head.truncate(4096);
    // The most memory that the program may have: the kept part, what decoders need, and the program itself.
    let script = "ulimit -v 600000; exec \"$@\"";
    for (name, content) in [("zstd", zstd_bomb(&head)), ("gzip", gzip_bomb(&head))] {
        for (form, file) in [("plain", content.clone()), ("bzImage", bzimage(&content))] {
            place.file("bomb", &file);
            let (status, line) = shell(&place, script, &["bomb", "-o", "image"]);
            assert_eq!(status, Some(1), "{name}, {form}: {line}");
            assert!(line.contains("holds more than 1048576 KiB, which is the most that is taken"), "{line}");
        }
    }
    assert_eq!(place.names(), ["bomb", "kernel"]);
}

/// Zstandard frames of a GiB of zeros each, behind the head.
fn zstd_bomb(head: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(head).unwrap();
    io::copy(&mut io::Read::take(io::repeat(0), 1 << 30), &mut encoder).unwrap();
    let first = encoder.finish().unwrap();
    let rest = zstd::stream::encode_all(io::Read::take(io::repeat(0), 1 << 30), 1).unwrap();
    [first, rest.repeat(9)].concat()
}

fn gzip_bomb(head: &[u8]) -> Vec<u8> {
    let gzip = |content: &mut dyn io::Read| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::copy(content, &mut encoder).unwrap();
        encoder.finish().unwrap()
    };
    let rest = gzip(&mut io::Read::take(io::repeat(0), 1 << 27));
    [gzip(&mut &head[..]), rest.repeat(80)].concat()
}
