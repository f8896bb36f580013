//! Huffman codes of literals (RFC 8878, 4.2).

use crate::Choices;
use crate::bits::backward;
use crate::fse::{Distribution, describe};

/// The longest code, bits.
const MAX_BITS: usize = 11;

/// Codes.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    /// Of each byte, the bits of its code and the code; no bits for those that have none.
    codes: Vec<(usize, usize)>,
    /// The bytes that have one.
    pub(crate) present: Vec<u8>,
}

impl Codes {
    /// Codes for two or more bytes, and their description.
    pub(crate) fn any(choices: &mut Choices<'_>) -> (Self, Vec<u8>) {
        loop {
            let highest = if choices.once_in(3) { choices.from(1, 255) } else { choices.from(1, 128) };
            let count = 2 + choices.up_to(highest - 1);
            let lens = lens(choices, count);
            let longest = lens.iter().copied().max().unwrap_or_default();
            let mut weights = vec![0; highest + 1];
            weights[highest] = longest + 1 - lens[0];
            for len in &lens[1..] {
                let mut byte = choices.below(highest);
                while weights[byte] > 0 {
                    byte = (byte + 1) % highest;
                }
                weights[byte] = longest + 1 - len;
            }
            let described = weights.len() - 1;
            let direct = described <= 128 && choices.once_in(2);
            let description = if direct {
                direct_weights(choices, &weights[..described])
            } else {
                compressed(choices, &weights[..described])
            };
            if let Some(description) = description {
                return (Self::of(&weights, longest), description);
            }
        }
    }

    fn of(weights: &[usize], longest: usize) -> Self {
        let mut codes = vec![(0, 0); 256];
        let mut next = 0;
        for weight in 1..=longest {
            for (byte, _) in weights.iter().enumerate().filter(|(_, other)| **other == weight) {
                let bits = longest + 1 - weight;
                codes[byte] = (bits, next >> (weight - 1));
                next += 1 << (weight - 1);
            }
        }
        let present = (0..=255).filter(|byte| codes[usize::from(*byte)].0 > 0).collect();
        Self { codes, present }
    }

    /// The stream of some literals.
    pub(crate) fn stream(&self, literals: &[u8]) -> Vec<u8> {
        let code = |byte: &u8| {
            let (bits, code) = self.codes[usize::from(*byte)];
            (code, bits)
        };
        backward(&literals.iter().map(code).collect::<Vec<_>>())
    }
}

/// Lengths of codes that use up all there are: leaves of a tree that grows by splitting one.
fn lens(choices: &mut Choices<'_>, count: usize) -> Vec<usize> {
    let mut lens = vec![1, 1];
    let deep = choices.below(4);
    while lens.len() < count {
        let mut at = choices.below(lens.len());
        if choices.below(4) < deep {
            at = lens.len() - 1;
        }
        while lens[at] == MAX_BITS {
            at = (at + 1) % lens.len();
        }
        lens[at] += 1;
        lens.push(lens[at]);
    }
    let first = choices.below(lens.len());
    lens.swap(0, first);
    lens
}

fn direct_weights(choices: &mut Choices<'_>, weights: &[usize]) -> Option<Vec<u8>> {
    let mut bytes = vec![(127 + weights.len()) as u8];
    for pair in weights.chunks(2) {
        // What fills up the last byte may be anything.
        let second = pair.get(1).copied().unwrap_or_else(|| choices.below(16));
        bytes.push((pair[0] << 4 | second) as u8);
    }
    Some(bytes)
}

/// Weights as two interleaved walks through one table.
fn compressed(choices: &mut Choices<'_>, weights: &[usize]) -> Option<Vec<u8>> {
    if weights.len() < 2 {
        return None;
    }
    let distribution = Distribution::any(choices, MAX_BITS + 1, 6, weights);
    let table = distribution.table();
    let (even, odd): (Vec<_>, Vec<_>) = weights.iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let values = |walk: Vec<(usize, &usize)>| walk.into_iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
    // The last but one ends the stream by wanting a bit more.
    let wants = |end: usize| move |state: &crate::fse::State| end == 0 || state.bits > 0;
    let even = table.walk(choices, &values(even), wants((weights.len() + 1) % 2))?;
    let odd = table.walk(choices, &values(odd), wants(weights.len() % 2))?;
    let mut bits = vec![(even[0].0, table.log), (odd[0].0, table.log)];
    for at in 0..weights.len() - 2 {
        let (_, state, value) = if at % 2 == 0 { even[at / 2] } else { odd[at / 2] };
        bits.push((value, state.bits));
    }
    let mut bytes = describe(&distribution);
    bytes.extend(backward(&bits));
    if bytes.len() > 127 {
        return None;
    }
    bytes.insert(0, bytes.len() as u8);
    Some(bytes)
}
