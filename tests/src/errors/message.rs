//! What a message looks like.

/// Bytes of a message that tell it from others.
const TELLING: usize = 12;

/// A message with places for what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// Of a format string.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As people see it: names in braces without their formats.
    pub fn shown(&self) -> String {
        let mut shown = String::new();
        let mut format = false;
        for letter in self.0.chars() {
            match letter {
                ':' if shown.ends_with('{') || (shown.contains('{') && shown.rfind('{') > shown.rfind('}')) => {
                    format = true
                }
                '}' => {
                    format = false;
                    if shown.ends_with('{') {
                        shown.push_str("...");
                    }
                    shown.push('}');
                }
                '\n' => shown.push(' '),
                _ if format => {}
                other => shown.push(other),
            }
        }
        shown.replace('|', "\\|")
    }

    /// The words between the places.
    fn pieces(&self) -> Vec<&str> {
        self.0
            .split('{')
            .enumerate()
            .map(|(n, part)| if n == 0 { part } else { part.split_once('}').map_or("", |rest| rest.1) })
            .filter(|piece| !piece.is_empty())
            .collect()
    }

    /// Whether anything of it is its own, and not that of what it holds.
    pub fn says_something(&self) -> bool {
        self.pieces().iter().any(|piece| piece.chars().filter(|letter| letter.is_alphabetic()).count() >= 3)
    }

    /// Whether `text`, from behind a program's own words on, is how this message begins.
    pub fn begins_with(&self, text: &str) -> bool {
        let text = text.strip_prefix("stage0: error: ").unwrap_or(text).trim_start_matches("kernel: ");
        let pieces = self.pieces();
        let Some(first) = pieces.first() else { return false };
        let some = text.len().min(first.len());
        let begins = self.0.starts_with(first) && some >= 8 && text.get(..some) == first.get(..some);
        begins || pieces.iter().any(|piece| piece.get(..TELLING).is_some_and(|start| text.contains(start)))
    }

    /// Whether `text` could be this message, or end in it.
    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text;
        self.pieces().iter().all(|piece| match rest.find(piece) {
            Some(at) => {
                rest = &rest[at + piece.len()..];
                true
            }
            None => false,
        })
    }
}
