//! The catalogue of messages: it is what the source says, and each message has its remedy.

use std::{env, fs};

use harness::cache;
use harness::errors;
use harness::trial::{self, Trouble, check};

fn main() {
    trial::main(vec![trial::test("the_catalogue_is_what_the_source_says", catalogue)])
}

/// With `MSTRAP_BLESS=1`, it is written anew instead.
fn catalogue() -> Result<(), Trouble> {
    let path = cache::workspace().join("docs/errors.md");
    let made = errors::catalogue()?;
    if env::var_os("MSTRAP_BLESS").is_some() {
        return Ok(fs::write(&path, made)?);
    }
    let found = fs::read_to_string(&path)?;
    let differs = found.lines().zip(made.lines()).find(|(found, made)| found != made);
    check(found == made, format!("docs/errors.md is out of date: {differs:?}"))
}
