//! Starts a pack by a stage0 with symbols, in a QEMU that waits for a debugger (docs/debugging.md).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use harness::{Machine, debug};

#[derive(Debug, Parser)]
#[command(name = "debug", about = "Starts a pack by a stage0 with symbols, in a QEMU that waits for gdb")]
struct Arguments {
    /// The pack
    #[arg(value_name = "PACK")]
    pack: PathBuf,
    /// The builder's command line
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    extra: String,
    /// Memory, MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory: u64,
    /// Where gdb is waited for, on this machine alone
    #[arg(long, value_name = "PORT", default_value_t = 1234)]
    port: u16,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let stage0 = debug::build()?;
    let machine = Machine::new("debug", &stage0).memory(arguments.memory).initrd(&arguments.pack);
    let machine = machine.append(arguments.extra.as_str());
    let port = arguments.port;
    let mut qemu = debug::waiting(&machine, Path::new("/dev/stdout"), &format!("tcp:127.0.0.1:{port}"))?;
    eprintln!("QEMU waits: gdb {} -ex 'target remote :{port}'", stage0.display());
    let status = qemu.status().context("cannot start QEMU by timeout(1)")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
