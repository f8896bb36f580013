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
use pack::visible::{shows, visible};

/// Does what the command line asks. A usage error ends the program with status 2.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let args = Args::try_parse().unwrap_or_else(|error| usage_error(error));
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

/// Ends the program with what is wrong with its arguments. They are repeated in it, and may be names from outside.
fn usage_error(error: clap::Error) -> ! {
    let shown = std::env::args_os().map(|argument| visible(&argument.to_string_lossy()));
    Args::try_parse_from(shown).err().unwrap_or(error).exit()
}

/// Says on standard error which of the builder's words the pack's lock keeps from the kernel.
fn warn_of_dropped(verdict: &Verdict) {
    if let Some(dropped) = &verdict.dropped {
        // Where nobody can be told, the command's own output still counts.
        let _ = writeln!(io::stderr(), "pack: warning: the pack is locked: {dropped}");
    }
}

/// Prints what a command found: lines of which each character shows, a tab apart.
fn print(text: &str) -> io::Result<()> {
    let is_ours = |c: char| shows(c) || c == '\n' || c == '\t';
    print_styled(
        &text
            .chars()
            .map(|c| if is_ours(c) { c.to_string() } else { visible(c.encode_utf8(&mut [0; 4])) })
            .collect::<String>(),
    )
}

/// Prints what no text from outside is in. A reader that has seen enough, such as `head`, is no error.
fn print_styled(text: &str) -> io::Result<()> {
    // Colours, of which some texts have any, are for terminals.
    let mut out = anstream::AutoStream::auto(io::stdout().lock());
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
