//! Text from outside, as a line for people may have it.
//!
//! A name, a word or a note may hold what steers a terminal, or an end of line with a line behind it that stage0 never said.
//! So nothing from outside is printed but through [`VisibleWriter`] in the guest. The host shows visible characters that are not
//! ASCII too (`pack::visible`).

use core::fmt::{self, Write};

/// Text with every character but visible ASCII ones and the space as `\u{HEX}`. What is escaped once is not escaped again.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        VisibleWriter(f).write_str(self.0)
    }
}

/// Passes on what is written to it as [`Visible`] text.
pub struct VisibleWriter<'w>(pub &'w mut dyn Write);

impl Write for VisibleWriter<'_> {
    #[inline(never)]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(is_hidden) {
            let shown = piece.trim_end_matches(is_hidden);
            self.0.write_str(shown)?;
            if let Some(hidden) = piece.chars().next_back().filter(|_| shown.len() < piece.len()) {
                write!(self.0, "\\u{{{:x}}}", u32::from(hidden))?;
            }
        }
        Ok(())
    }
}

/// Writes one line, whatever `text` holds. A console that fails cannot be told about.
#[inline(never)]
pub fn write_line(out: &mut dyn Write, text: fmt::Arguments<'_>) {
    let _ = VisibleWriter(out).write_fmt(text).and_then(|()| out.write_str("\n"));
}

fn is_hidden(c: char) -> bool {
    !matches!(c, ' '..='~')
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_show_is_written_out() {
        for (text, shown) in [
            ("", ""),
            ("a b~\\", "a b~\\"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\nstage0: x\r", "a\\u{a}stage0: x\\u{d}"),
            ("\t\u{7f}\u{9b}é", "\\u{9}\\u{7f}\\u{9b}\\u{e9}"),
            ("x\u{202e}\u{1f427}y", "x\\u{202e}\\u{1f427}y"),
        ] {
            assert_eq!(Visible(text).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_text_all_of_it_shows_and_escaping_once_is_enough(text: std::string::String) {
            let shown = Visible(&text).to_string();
            prop_assert!(shown.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{shown:?}");
            prop_assert_eq!(Visible(&shown).to_string(), shown.clone());
            prop_assert!(!text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || shown == text);
        }
    }
}
