//! The command line of [`pack`].
#![forbid(unsafe_code)]

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;

use pack::visible::visible;

fn main() -> ExitCode {
    match cli::run() {
        Ok(status) => status,
        Err(refused) => {
            // Where nobody can be told why, the status still says that it failed.
            let _ = writeln!(io::stderr(), "pack: error: {}", visible(&format!("{refused:#}")));
            ExitCode::FAILURE
        }
    }
}
