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

    /// The lines, in order, in which the two are not equal. Between lines that both have, those of the same name are put side by
    /// side; one that only one of them has differs from an empty one, and that difference has no name.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        let (mut left, mut right) = (self.0.as_slice(), other.0.as_slice());
        for (in_left, in_right) in common(left, right) {
            let from = (self.0.len() - left.len(), other.0.len() - right.len());
            let (before, rest) = left.split_at(in_left - from.0);
            let (before_right, rest_right) = right.split_at(in_right - from.1);
            pair(before, before_right, &mut differences);
            (left, right) = (&rest[1..], &rest_right[1..]);
        }
        pair(left, right, &mut differences);
        differences
    }
}

/// The places of a longest common subsequence.
fn common(left: &[String], right: &[String]) -> Vec<(usize, usize)> {
    // lengths[l][r]: of that of left[l..] and right[r..].
    let mut lengths = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for (l, line) in left.iter().enumerate().rev() {
        for (r, other) in right.iter().enumerate().rev() {
            lengths[l][r] =
                if line == other { lengths[l + 1][r + 1] + 1 } else { lengths[l + 1][r].max(lengths[l][r + 1]) };
        }
    }
    let (mut places, mut l, mut r) = (Vec::new(), 0, 0);
    while l < left.len() && r < right.len() {
        if left[l] == right[r] {
            places.push((l, r));
            (l, r) = (l + 1, r + 1);
        } else if lengths[l + 1][r] >= lengths[l][r + 1] {
            l += 1;
        } else {
            r += 1;
        }
    }
    places
}

/// Differences of lines none of which are equal.
fn pair(left: &[String], right: &[String], differences: &mut Vec<Difference>) {
    let mut unpaired: Vec<&String> = right.iter().collect();
    for line in left {
        let name = name_of(line);
        let partner = unpaired.iter().position(|other| name_of(other) == name).map(|at| unpaired.remove(at));
        let name = partner.map_or("", |_| name).to_owned();
        differences.push(Difference { name, left: line.clone(), right: partner.cloned().unwrap_or_default() });
    }
    let alone = unpaired.into_iter().cloned();
    differences.extend(alone.map(|right| Difference { name: String::new(), left: String::new(), right }));
}

/// NAME of `ok NAME: VALUE` and its kin; `end` of the last line.
fn name_of(line: &str) -> &str {
    let (head, _) = line.split_once(": ").unwrap_or((line, ""));
    let kinds = ["not ok ", "ok ", "skip ", "info "];
    kinds.iter().find_map(|kind| head.strip_prefix(kind)).unwrap_or(head)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sign, line) in [('-', &self.left), ('+', &self.right)] {
            if !line.is_empty() {
                write!(f, "\n  {sign} {line}")?;
            }
        }
        Ok(())
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
        let right = Lines::of("info layout: a\nok c: 2\nok d: 3");
        let differences = left.differences(&right);
        assert_eq!(differences.len(), 2);
        assert_eq!((differences[0].name.as_str(), differences[0].left.as_str()), ("", "ok b: 1"));
        assert_eq!((differences[1].name.as_str(), differences[1].right.as_str()), ("", "ok d: 3"));
    }
}
