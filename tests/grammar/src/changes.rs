//! Changes to a frame or a block.

use crate::Choices;

/// Changes a few bytes before the last `spared`, mostly near where parts begin.
pub fn change(choices: &mut Choices<'_>, stored: &mut Vec<u8>, parts: &[usize], spared: usize) {
    for _ in 0..choices.below(3) {
        let end = stored.len().saturating_sub(spared);
        if end == 0 {
            return;
        }
        let at = match choices.below(3) {
            0 => choices.below(end),
            _ if parts.is_empty() => choices.below(end),
            _ => (choices.of(parts) + choices.below(3)).min(end - 1),
        };
        match choices.below(12) {
            0 => {
                stored.remove(at);
            }
            1 => stored.insert(at, choices.below(256) as u8),
            2 | 3 => stored[at] = choices.below(256) as u8,
            4 | 5 => stored[at] = stored[at].wrapping_add(1),
            6 | 7 => stored[at] = stored[at].wrapping_sub(1),
            _ => stored[at] ^= 1 << choices.below(8),
        }
    }
}
