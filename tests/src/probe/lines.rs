//! What a probe printed, and how two probes' lines differ.

use std::fmt;

/// The lines of one probe, without what was printed before it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(Vec<String>);

/// A line that the two do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name of the line, as in `ok NAME: VALUE`.
    pub name: String,
    /// The first probe's line.
    pub left: String,
    /// The second probe's line.
    pub right: String,
}

/// What the probe's first line begins with.
const FIRST: &str = "info layout: ";

impl Lines {
    /// The probe's lines among everything that a machine printed; none if no probe ran.
    pub fn of(printed: &str) -> Self {
        Self(printed.lines().skip_while(|line| !line.starts_with(FIRST)).map(str::to_owned).collect())
    }

    /// The line of that name, whole.
    pub fn named(&self, name: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|line| name_of(line) == name)
    }

    /// The lines that tell of a promise not kept.
    pub fn not_ok(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).filter(|line| line.starts_with("not ok ")).collect()
    }

    /// Whether the probe came to its end.
    pub fn is_complete(&self) -> bool {
        self.0.last().is_some_and(|line| line.starts_with("end: "))
    }

    /// The lines, in order, in which the two are not equal. One that only one of them has differs from an empty one.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let empty = String::new();
        (0..self.0.len().max(other.0.len()))
            .map(|n| (self.0.get(n).unwrap_or(&empty), other.0.get(n).unwrap_or(&empty)))
            .filter(|(left, right)| left != right)
            .map(|(left, right)| {
                let name = if name_of(left) == name_of(right) { name_of(left) } else { "" };
                Difference { name: name.to_owned(), left: left.clone(), right: right.clone() }
            })
            .collect()
    }
}

/// NAME of `ok NAME: VALUE` and its kin; `end` of the last line.
fn name_of(line: &str) -> &str {
    let (head, _) = line.split_once(": ").unwrap_or((line, ""));
    let kinds = ["not ok ", "ok ", "skip ", "info "];
    kinds.iter().find_map(|kind| head.strip_prefix(kind)).unwrap_or(head)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  - {}\n  + {}", self.left, self.right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_name() {
        let left = Lines::of("stage0: 1\ninfo layout: a\nok cr0: 0x11\nskip tr: x\nend: 1 checks, 0 not ok");
        let right = Lines::of("info layout: a\nok cr0: 0x11\nok tr: y\nend: 2 checks, 0 not ok");
        let names: Vec<_> = left.differences(&right).into_iter().map(|difference| difference.name).collect();
        assert_eq!(names, ["tr", "end"]);
        assert!(left.is_complete() && left.not_ok().is_empty());
        assert_eq!(right.named("tr"), Some("ok tr: y"));
    }

    #[test]
    fn a_missing_line_differs() {
        let left = Lines::of("info layout: a\nok b: 1\nok c: 2");
        let right = Lines::of("info layout: a\nok c: 2");
        assert_eq!(left.differences(&right).len(), 2);
        assert_eq!(left.differences(&right)[0].name, "");
    }
}
