//! Names and other text from outside, as a line on a terminal may have them.

/// Whether a character shows as one: none that steers a terminal, ends a line, turns the order of the text, or takes no room.
/// That is what Rust's own `{:?}` shows as it is, within a text: it escapes controls, formats, separators but the space, and
/// what Unicode has not given out.
pub fn shows(c: char) -> bool {
    // Behind a letter, on which a mark may stand.
    matches!(c, ' '..='~') || format!("a{c}").escape_debug().nth(2).is_none()
}

/// The text with every other character as `\u{HEX}`, as `shared::visible` has it. What is escaped once is not escaped again.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if shows(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_is_left_as_it_is() {
        for text in ["", "a b", "\"'\\", "ü e\u{301} \u{1f427} 漢字 привет", "-", "\u{fffd}"] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn what_does_not_show_is_written_out() {
        let hidden =
            ('\0'..' ').chain('\u{7f}'..='\u{a0}').chain('\u{2028}'..='\u{202e}').chain('\u{2060}'..='\u{206f}');
        let others =
            ['\u{ad}', '\u{61c}', '\u{180e}', '\u{200b}', '\u{200e}', '\u{200f}', '\u{3000}', '\u{feff}', '\u{e0041}'];
        for c in hidden.chain(others) {
            assert_eq!(visible(&format!("x{c}y")), format!("x\\u{{{:x}}}y", u32::from(c)));
        }
        assert_eq!(visible(&visible("\u{1b}[2J\n")), "\\u{1b}[2J\\u{a}");
    }
}
