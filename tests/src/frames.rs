//! How an outer machine sends home what its inner machines left: one stream of named sections.
//!
//! A section begins with the line `@@TOKEN NUMBER NAME`, where NUMBER is the machine's place in the list, and ends before the
//! newline in front of the next such line. TOKEN is different for each run, so a guest cannot print such a line by chance.

use std::io::{self, Write};
use std::time::SystemTime;

/// A token, different for each run.
pub(crate) fn token() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", std::process::id(), now.as_nanos())
}

/// The start of a section's first line, and the newline that is not part of the section before it.
pub(crate) fn mark(token: &str) -> String {
    format!("\n@@{token} ")
}

/// One section, whole or as far as it has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    /// The machine's place in the list.
    pub(crate) number: usize,
    /// What it holds: the name of a log, or `end`.
    pub(crate) name: &'a str,
    /// Its bytes.
    pub(crate) content: &'a [u8],
}

/// The sections in `stream`. What follows the last mark is a section too, as far as it has come.
pub(crate) fn sections<'a>(stream: &'a [u8], token: &str) -> Vec<Section<'a>> {
    let mark = mark(token);
    split(stream, mark.as_bytes()).into_iter().skip(1).filter_map(section).collect()
}

fn section(text: &[u8]) -> Option<Section<'_>> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (number, name) = std::str::from_utf8(&text[..end]).ok()?.split_once(' ')?;
    Some(Section { number: number.parse().ok()?, name, content: &text[end + 1..] })
}

fn split<'a>(text: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    let mut at = 0;
    while at + mark.len() <= text.len() {
        if text[at..].starts_with(mark) {
            pieces.push(&text[start..at]);
            start = at + mark.len();
            at = start;
        } else {
            at += 1;
        }
    }
    pieces.push(&text[start..]);
    pieces
}

/// Takes the stream as it comes, and passes on what is in the sections of one name.
pub(crate) struct Filter<'a> {
    token: String,
    name: &'static str,
    to: &'a mut dyn Write,
    stream: Vec<u8>,
    passed: usize,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(token: &str, name: &'static str, to: &'a mut dyn Write) -> Self {
        Self { token: token.to_string(), name, to, stream: Vec::new(), passed: 0 }
    }

    /// The stream without an end that may be the beginning of a mark.
    fn certain(&self) -> &[u8] {
        let mark = mark(&self.token);
        let longest = (1..mark.len()).rev().find(|length| self.stream.ends_with(&mark.as_bytes()[..*length]));
        &self.stream[..self.stream.len() - longest.unwrap_or(0)]
    }
}

impl Write for Filter<'_> {
    fn write(&mut self, new: &[u8]) -> io::Result<usize> {
        self.stream.extend_from_slice(new);
        let sections = sections(self.certain(), &self.token);
        let wanted = sections.iter().filter(|section| section.name == self.name);
        let text: Vec<u8> = wanted.flat_map(|section| section.content).copied().collect();
        self.to.write_all(text.get(self.passed..).unwrap_or_default())?;
        self.passed = text.len();
        Ok(new.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"noise\n@@t 0 serial.log\nab\n@@x\nc\n@@t 0 end\n13 2\n@@t 1 serial.log\nd";

    #[test]
    fn sections_are_found_with_their_exact_content() {
        let found = sections(STREAM, "t");
        let flat: Vec<_> = found.iter().map(|s| (s.number, s.name, s.content)).collect();
        let wanted: [(usize, &str, &[u8]); 3] =
            [(0, "serial.log", b"ab\n@@x\nc"), (0, "end", b"13 2"), (1, "serial.log", b"d")];
        assert_eq!(flat, wanted);
    }

    #[test]
    fn a_filter_passes_the_same_on_however_the_stream_is_cut() {
        for size in 1..STREAM.len() {
            let mut shown = Vec::new();
            let mut filter = Filter::new("t", "serial.log", &mut shown);
            STREAM.chunks(size).for_each(|chunk| filter.write_all(chunk).expect("in memory"));
            assert_eq!(shown, b"ab\n@@x\ncd", "in chunks of {size}");
        }
    }
}
