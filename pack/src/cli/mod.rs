//! What each command does.

mod args;
mod check;
mod diff;
mod digest;
mod draw;
mod extract;
mod info;
mod kernel;
mod key;
mod make;
mod run;
mod share;
mod stage0;
mod svg;
mod text;
mod xl;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use pack::check::Verdict;

/// Does what the command line asks. A usage error ends the program with status 2.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let done = match args.command {
        Some(Command::Stage0(args)) => stage0::run(&args),
        Some(Command::Info(args)) => info::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Xl(args)) => xl::run(&args),
        Some(Command::Extract(args)) => extract::run(&args),
        Some(Command::Key { command }) => key::run(&command),
        Some(Command::Sign(args)) => key::sign(&args),
        Some(Command::Digest(args)) => digest::run(&args),
        Some(Command::Share(args)) => share::run(&args),
        Some(Command::Run(args)) => return run::run(&args),
        Some(Command::Diff(args)) => return diff::run(&args),
        None => make::run(args.make),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Says on standard error which of the builder's words the pack's lock keeps from the kernel.
fn warn_of_dropped(verdict: &Verdict) {
    if let Some(dropped) = &verdict.dropped {
        // Where nobody can be told, the command's own output still counts.
        let _ = writeln!(io::stderr(), "pack: warning: the pack is locked: {dropped}");
    }
}

/// Prints what a command found. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> io::Result<()> {
    // Colours, of which some texts have any, are for terminals.
    let mut out = anstream::AutoStream::auto(io::stdout().lock());
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
