//! What was measured last, in a document: the text between two lines.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cache;

/// The lines between which it is.
const MARKS: [&str; 2] = ["<!-- results -->\n", "<!-- end of results -->\n"];

/// A document with results.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    before: String,
    /// The last ones.
    pub last: String,
    after: String,
}

impl Results {
    /// Of a document of the workspace.
    ///
    /// # Errors
    /// It cannot be read, or has no place for results.
    pub fn read(document: &str) -> Result<Self> {
        let path = cache::workspace().join(document);
        let text = fs::read_to_string(&path).with_context(|| document.to_owned())?;
        let parts = text.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?)));
        let (before, (last, after)) = parts.with_context(|| format!("{document} has no place for results"))?;
        let [before, last, after] = [before, last, after].map(str::to_owned);
        Ok(Self { path, before, last, after })
    }

    /// Puts `results` in the place of the last ones.
    ///
    /// # Errors
    /// The document cannot be written.
    pub fn write(&self, results: &str) -> Result<()> {
        let (Self { path, before, after, .. }, [start, end]) = (self, MARKS);
        Ok(fs::write(path, format!("{before}{start}{results}{end}{after}"))?)
    }
}
