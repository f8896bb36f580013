//! Tests that may be impossible on a machine: ignored with their reason, or failed where everything must run.

use std::env;
use std::fmt::Display;

use libtest_mimic::{Completion, Failed, Trial};

use crate::Missing;

/// How a test that did not pass ended.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// It could not be run here.
    Missing(Missing),
    /// It failed.
    Failed(String),
}

impl From<Missing> for Trouble {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl From<String> for Trouble {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<&str> for Trouble {
    fn from(message: &str) -> Self {
        Self::Failed(message.to_string())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Missing>() {
            Ok(missing) => Self::Missing(missing),
            Err(error) => Self::Failed(format!("{error:#}")),
        }
    }
}

/// A test. With `MSTRAP_REQUIRE_ALL=1` in the environment, one that cannot be run fails instead of being ignored.
pub fn test(name: &str, run: impl FnOnce() -> Result<(), Trouble> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match run() {
        Ok(()) => Ok(Completion::Completed),
        Err(Trouble::Failed(message)) => Err(Failed::from(message)),
        Err(Trouble::Missing(missing)) if require_all() => Err(Failed::from(missing.to_string())),
        Err(Trouble::Missing(missing)) => Ok(Completion::ignored_with(missing)),
    })
}

/// Fails with `message` unless `condition` holds.
///
/// # Errors
/// The condition does not hold.
pub fn check(condition: bool, message: impl Display) -> Result<(), Trouble> {
    if condition { Ok(()) } else { Err(Trouble::Failed(message.to_string())) }
}

/// Runs tests as `cargo test` expects it of a test binary without the standard harness, and ends the process.
pub fn main(tests: Vec<Trial>) -> ! {
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), tests).exit()
}

fn require_all() -> bool {
    env::var_os("MSTRAP_REQUIRE_ALL").is_some_and(|value| value == "1")
}
