//! A part that cannot be had on this machine.

use std::fmt;

/// Says which part is missing, why, and what a person can do about it.
#[derive(Debug, Clone)]
pub struct Missing {
    what: String,
    why: String,
    remedy: Option<String>,
}

impl Missing {
    /// `what` cannot be had because of `why`.
    pub fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string(), remedy: None }
    }

    /// Adds the one line to run that gives this machine the part.
    pub fn remedy(mut self, line: impl Into<String>) -> Self {
        self.remedy = Some(line.into());
        self
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be had on this machine: {}", self.what, self.why)?;
        match &self.remedy {
            Some(line) => write!(f, " (to get it, run: {line})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Missing {}
