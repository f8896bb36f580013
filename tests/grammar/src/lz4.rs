//! LZ4 blocks (lz4's `doc/lz4_Block_format.md`).

use crate::Choices;

/// A block and its content: at most so many sequences with a match.
pub fn block(choices: &mut Choices<'_>, most: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut stored, mut content) = (Vec::new(), Vec::new());
    let count = choices.up_to(most);
    let mut from_match = 0;
    for _ in 0..count {
        let least = usize::from(content.is_empty());
        let literals = least + length(choices);
        let len = 4 + length(choices);
        let token = stored.len();
        stored.push(0);
        put_literals(choices, literals, &mut stored, &mut content, token);
        let distance = 1 + choices.up_to((content.len() - 1).min(65_534));
        stored.extend_from_slice(&(distance as u16).to_le_bytes());
        put_length(len - 4, &mut stored);
        stored[token] |= (len - 4).min(15) as u8;
        from_match = len;
        for _ in 0..len {
            content.push(content[content.len() - distance]);
        }
    }
    // Five literals, and so many that the last match begins twelve bytes before the end.
    let least = if count == 0 { 0 } else { 5.max(12_usize.saturating_sub(from_match)) };
    let literals = least + choices.up_to(40);
    let token = stored.len();
    stored.push(0);
    put_literals(choices, literals, &mut stored, &mut content, token);
    (stored, content)
}

/// A length, mostly a short one.
fn length(choices: &mut Choices<'_>) -> usize {
    let most = if choices.once_in(8) { 700 } else { 20 };
    choices.up_to(most)
}

fn put_literals(choices: &mut Choices<'_>, count: usize, stored: &mut Vec<u8>, content: &mut Vec<u8>, token: usize) {
    stored[token] |= (count.min(15) as u8) << 4;
    put_length(count, stored);
    for _ in 0..count {
        let byte = choices.below(256) as u8;
        stored.push(byte);
        content.push(byte);
    }
}

/// What of a length its four bits do not say.
fn put_length(len: usize, stored: &mut Vec<u8>) {
    if let Some(mut rest) = len.checked_sub(15) {
        while rest >= 255 {
            stored.push(255);
            rest -= 255;
        }
        stored.push(rest as u8);
    }
}
