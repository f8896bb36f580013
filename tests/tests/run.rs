//! `pack run`, as a person runs it: the program itself, the machine, the guest's end as its exit status.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use harness::probe::{self, Case, Layout};
use harness::talk;
use harness::tools::{self, Qemu};
use harness::trial::{self, Trouble, check};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::tcgetattr;
use shared::memory::MIB;

fn main() {
    trial::main(vec![
        trial::test("a_kernel_is_packed_and_run", kernel),
        trial::test("a_pack_is_run_and_qemu_gets_its_arguments", pack),
        trial::test("what_stage0_refuses_is_refused_before_a_machine_is_made", refused),
        trial::test("a_guest_that_does_not_end_is_ended", endless),
        trial::test("ctrl_bracket_ends_it_and_the_terminal_is_as_it_was", left),
        trial::test("one_can_talk_to_a_linux", || talk::talk("qemu", "console=ttyS0")),
    ]);
}

/// Runs the program; a machine takes a second, and is killed after a minute.
fn run(words: &[&str]) -> Result<Output, Trouble> {
    run_for(60, words)
}

fn run_for(seconds: u32, words: &[&str]) -> Result<Output, Trouble> {
    Qemu::plain()?;
    let output = Command::new(tools::pack()?)
        .args(["run", "--tier", "qemu", "--timeout", &seconds.to_string()])
        .args(words)
        .stdin(Stdio::null())
        .output()?;
    Ok(output)
}

fn text(path: &Path) -> Result<&str, Trouble> {
    path.to_str().ok_or_else(|| "a path that is not UTF-8".into())
}

fn told(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned());
    format!("{}\n{}", output.status, streams.concat())
}

/// The probe ends its machine with a value of its own, which is then the status.
fn check_probe(output: &Output, cmdline: &str) -> Result<(), Trouble> {
    check(output.status.code() == Some(probe::EXIT_OK.into()), told(output))?;
    let console = String::from_utf8_lossy(&output.stdout);
    check(console.contains("stage0: kernel: "), told(output))?;
    check(console.contains(&format!("ok cmdline: {} bytes \"{cmdline}\"", cmdline.len())), told(output))
}

fn kernel() -> Result<(), Trouble> {
    let kernel = probe::build(&Layout::at("run-kernel", 16 * MIB))?;
    let module = Case::new(Layout::at("run-kernel", 16 * MIB)).module()?.ok_or("no module")?;
    let words = ["--initrd", text(&module)?, "--cmdline", "a b", "--extra", "c=1", "--memory", "64M"];
    check_probe(&run(&[&[text(&kernel)?], &words[..]].concat())?, "a b c=1")
}

fn pack() -> Result<(), Trouble> {
    let pack = Case::new(Layout::at("run-pack", 16 * MIB)).pack()?;
    let output = run(&[text(&pack)?, "--extra", Case::BUILDERS, "--", "-name", "named"])?;
    check_probe(&output, &Case::cmdline())?;
    // Words that QEMU does not know are its own to refuse.
    let output = run(&[text(&pack)?, "--", "-no-such-option"])?;
    let errors = String::from_utf8_lossy(&output.stderr);
    check(output.status.code() == Some(1) && errors.contains("no-such-option"), told(&output))
}

fn refused() -> Result<(), Trouble> {
    let pack = Case::new(Layout::at("run-refused", 16 * MIB)).pack()?;
    let output = run(&[text(&pack)?, "--memory", "4M"])?;
    let errors = String::from_utf8_lossy(&output.stderr);
    check(output.status.code() == Some(1) && errors.contains("not enough memory: domain, expected"), told(&output))?;
    let output = run(&[text(&pack)?, "--cmdline", "x"])?;
    check(output.status.code() == Some(2), told(&output))
}

/// A guest that cannot end, on a terminal.
fn left() -> Result<(), Trouble> {
    let pack = Case::new(Layout::at("run-left", 16 * MIB)).pack()?;
    let mut person = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).map_err(io::Error::from)?);
    grantpt(&person).and_then(|()| unlockpt(&person)).map_err(io::Error::from)?;
    let name = ptsname(&person, Vec::new()).map_err(io::Error::from)?;
    let terminal = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes()))?;
    let modes = || tcgetattr(&terminal).map(|modes| (modes.local_modes, modes.input_modes)).map_err(io::Error::from);
    let before = modes()?;
    let mut child = Command::new(tools::pack()?)
        .args(["run", "--tier", "qemu", "--timeout", "60", text(&pack)?, "--", "-S"])
        .stdin(terminal.try_clone()?)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // As soon as keys are passed on one by one.
    while modes()? == before && child.try_wait()?.is_none() {
        thread::sleep(Duration::from_millis(20));
    }
    person.write_all(b"a\x1d")?;
    let status = child.wait()?;
    check(status.success(), status)?;
    check(modes()? == before, "the terminal is not as it was")
}

/// With its processor stopped from the start, the guest cannot end.
fn endless() -> Result<(), Trouble> {
    let pack = Case::new(Layout::at("run-endless", 16 * MIB)).pack()?;
    let output = run_for(2, &[text(&pack)?, "--", "-S"])?;
    check(output.status.code() == Some(124), told(&output))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let logs = errors.split("its logs are in ").nth(1).map(str::trim).ok_or_else(|| told(&output))?;
    Ok(fs::remove_dir_all(logs)?)
}
