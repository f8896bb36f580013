//! A stage0 for a debugger: the same source with symbols, neither packed nor made small.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::machine::Files;
use crate::probe::alone;
use crate::tools::Qemu;
use crate::{Machine, cache};

/// What stage0 is built for.
const TARGET: &str = "x86_64-unknown-none";
/// How the build differs from that of the image that `pack` carries.
const CONFIG: [&str; 5] = [
    "profile.stage0.debug=2",
    "profile.stage0.strip=false",
    "profile.stage0.opt-level=1",
    "profile.stage0.lto='off'",
    // The first is as in pack/build.rs. By the second, code and constants are in the file where they are linked.
    "target.x86_64-unknown-none.rustflags=['-Crelocation-model=static', '--cfg=stage0_unpacked']",
];
/// Seconds for which QEMU waits and runs: a day.
const LIMIT: u64 = 24 * 60 * 60;

/// Builds it; gives the linker's file, which a builder loads as it is.
///
/// # Errors
/// It does not build.
pub fn build() -> Result<PathBuf> {
    let target = cache::target().join("debug-stage0");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--quiet", "--locked", "--package=stage0", "--bin=stage0", "--profile=stage0"])
        .arg(format!("--target={TARGET}"))
        .arg("--target-dir")
        .arg(&target)
        .args(CONFIG.into_iter().flat_map(|value| ["--config", value]))
        .current_dir(cache::workspace());
    alone(&mut command);
    // As in pack/build.rs.
    command.env(format!("CFLAGS_{}", TARGET.replace('-', "_")), "-fcf-protection=none");
    let output = command.output().context("cargo cannot be run for stage0")?;
    ensure!(
        output.status.success(),
        "stage0 was not built (is its target there? rustup target add {TARGET}):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(target.join(TARGET).join("stage0").join("stage0"))
}

/// A command that starts the machine in plain QEMU. It waits for a debugger at `gdbstub` (QEMU's `-gdb`); its serial port writes to
/// `serial`.
///
/// # Errors
/// There is no QEMU.
pub fn waiting(machine: &Machine, serial: &Path, gdbstub: &str) -> Result<Command> {
    let files = Files { kernel: &machine.kernel, initrd: machine.initrd.as_deref(), serial, input: None, logs: serial };
    let mut command = Qemu::plain()?.command(LIMIT);
    command.args(machine.qemu_arguments("tcg", &files)).args(["-S", "-gdb", gdbstub]);
    Ok(command)
}
