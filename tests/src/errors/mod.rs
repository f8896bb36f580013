//! Every message of both programs, taken from the source of the enums that they are made of.

pub mod expected;
mod message;
mod scan;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub use message::Template;

use crate::cache;

/// A message of a program.
#[derive(Debug, Clone)]
pub struct Message {
    /// The enum, or what else it is made of, and the file in which that is.
    pub group: String,
    /// The variant; empty where there is but one message.
    pub variant: String,
    /// What it looks like.
    pub template: Template,
    /// Why it comes, as the source says.
    pub cause: String,
}

impl Message {
    /// The name by which its remedy is found: `Enum::Variant`, or `Struct`.
    pub fn name(&self) -> String {
        if self.variant.is_empty() { self.group.clone() } else { format!("{}::{}", self.group, self.variant) }
    }
}

/// The crates whose messages are for people, with what their part of the catalogue begins with.
const PARTS: [(&str, &str); 4] = [
    ("stage0", "What stage0 alone says, behind `stage0: error: `"),
    ("shared", "What both say"),
    ("decode", "What both say of a frame, behind its number"),
    ("pack", "What `pack` alone says, behind `pack: error: ` and, mostly, the name of a file"),
];

/// The messages of each part.
///
/// # Errors
/// A source file cannot be read.
pub fn messages() -> Result<Vec<(&'static str, Vec<Message>)>, String> {
    PARTS.iter().map(|(krate, title)| Ok((*title, of_crate(krate)?))).collect()
}

fn of_crate(krate: &str) -> Result<Vec<Message>, String> {
    let mut files = Vec::new();
    sources(&cache::workspace().join(krate).join("src"), &mut files);
    files.sort();
    let mut messages = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        messages.extend(scan::file(&text).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    Ok(messages)
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// What a person can do about a message, by its name; `Enum::*` is for all of an enum that have none of their own.
pub struct Remedies(BTreeMap<&'static str, &'static str>);

impl Remedies {
    /// Those of `pack`'s table.
    pub fn of_pack() -> Self {
        Self(pack::advice::all().collect())
    }

    /// The remedy for a message.
    pub fn of(&self, message: &Message) -> Option<&str> {
        let whole = format!("{}::*", message.group);
        self.0.get(message.name().as_str()).or_else(|| self.0.get(whole.as_str())).copied()
    }

    /// Names for which there is no message.
    pub fn stale(&self, messages: &[Message]) -> Vec<&str> {
        let used = |name: &str| {
            let of = |message: &Message| message.name() == name || format!("{}::*", message.group) == name;
            messages.iter().any(of)
        };
        self.0.keys().copied().filter(|name| !used(name)).collect()
    }
}

/// The catalogue.
///
/// # Errors
/// A message without a remedy, or a remedy without a message.
pub fn catalogue() -> Result<String, String> {
    let (parts, remedies) = (messages()?, Remedies::of_pack());
    let all: Vec<Message> = parts.iter().flat_map(|(_, messages)| messages.clone()).collect();
    let stale = remedies.stale(&all);
    if !stale.is_empty() {
        return Err(format!("remedies without a message: {stale:?}"));
    }
    let without: Vec<String> = all.iter().filter(|message| remedies.of(message).is_none()).map(Message::name).collect();
    if !without.is_empty() {
        return Err(format!("no remedy for {without:?}"));
    }
    let mut out = String::from(HEAD);
    for (title, messages) in parts {
        out.push_str(&format!("\n## {title}\n"));
        let mut group = String::new();
        for message in messages {
            if message.group != group {
                group = message.group.clone();
                out.push_str(&format!("\n### {group}\n\n| message | cause | remedy |\n|---|---|---|\n"));
            }
            let remedy = remedies.of(&message).unwrap_or_default();
            out.push_str(&format!("| `{}` | {} | {remedy} |\n", message.template.shown(), cell(&message.cause)));
        }
    }
    Ok(out)
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const HEAD: &str = "# Messages

Every message of `pack` and of stage0, why it comes, and what to do. This page is made of the source of the enums that the messages come
from (`MSTRAP_BLESS=1 cargo test --package tests --test errors` writes it anew); a test fails where it is out of date. Words in braces stand
for what was found. A wrong use of `pack`'s options ends with status 2 and clap's own words, which are not here; all else with status 1.

stage0 says `stage0: error: WHAT: WHERE, expected EXPECTED, found FOUND` and ends the domain; what is wrong with a kernel it says in the same
words as `pack`, behind `kernel: `. If stage0 says nothing at all, see [troubleshooting](troubleshooting.md).
";
