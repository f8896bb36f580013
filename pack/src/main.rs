//! The command line of [`pack`].
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(status) => status,
        Err(refused) => {
            eprintln!("pack: error: {refused:#}");
            ExitCode::FAILURE
        }
    }
}
