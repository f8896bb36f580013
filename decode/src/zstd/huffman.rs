//! Huffman codes of literals (RFC 8878, 4.2).

use super::FrameError;
use super::fse::{self, Cell, Undescribed};
use crate::bits::Backward;
use crate::{Path, fast};

/// The longest code, bits.
pub(crate) const MAX_BITS: u32 = 11;

/// Fewest literals of four streams: of fewer, the last stream would have less than none.
const MIN_FOUR: usize = 6;

/// By the next eleven bits of a stream: the literal in the high byte, and the bits of its code in the low one.
pub(crate) type Codes = [u16; 1 << MAX_BITS];

/// Codes, and whether there are any.
#[derive(Debug)]
pub(crate) struct Huffman {
    codes: Codes,
    some: bool,
}

impl Huffman {
    pub(crate) const fn new() -> Self {
        Self { codes: [0; 1 << MAX_BITS], some: false }
    }

    /// Forgets the codes.
    pub(crate) fn clear(&mut self) {
        self.some = false;
    }

    /// The codes.
    pub(crate) fn codes(&self) -> Result<&Codes, FrameError> {
        if self.some { Ok(&self.codes) } else { Err(FrameError::CodesMissing) }
    }

    /// Makes them those that `bytes` begin with a description of, and returns what follows that.
    pub(crate) fn described<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let (header, bytes) = bytes.split_first().ok_or(FrameError::Codes)?;
        let mut weights = [0; 256];
        let (count, rest) = match usize::from(*header) {
            len @ ..128 => {
                let (description, rest) = bytes.split_at_checked(len).ok_or(FrameError::Codes)?;
                (compressed(description, &mut weights)?, rest)
            }
            count => {
                let count = count - 127;
                let (description, rest) = bytes.split_at_checked(count.div_ceil(2)).ok_or(FrameError::Codes)?;
                for (pair, byte) in weights.chunks_exact_mut(2).zip(description) {
                    pair.copy_from_slice(&[byte >> 4, byte & 15]);
                }
                (count, rest)
            }
        };
        self.fill(&mut weights, count)?;
        self.some = true;
        Ok(rest)
    }

    /// Fills the codes by the first `count` weights, at most 255, and one more that follows from them.
    fn fill(&mut self, weights: &mut [u8; 256], count: usize) -> Result<(), FrameError> {
        // For each weight, how many literals have it.
        let mut counts = [0u16; MAX_BITS as usize + 1];
        let mut total = 0u32;
        for weight in &weights[..count] {
            *counts.get_mut(usize::from(*weight)).ok_or(FrameError::CodesLong)? += 1;
            total += (1 << weight) >> 1;
        }
        let bits = total.checked_ilog2().ok_or(FrameError::Codes)? + 1;
        let rest = (1 << bits) - total;
        if bits > MAX_BITS {
            return Err(FrameError::CodesLong);
        }
        if !rest.is_power_of_two() {
            return Err(FrameError::Codes);
        }
        let last = rest.ilog2() + 1;
        weights[count] = last as u8;
        counts[last as usize] += 1;
        if counts[1] == 0 {
            return Err(FrameError::CodesShort);
        }
        // Codes of low weights come first. Each has the cells of all that its eleven bits may begin with.
        let mut starts = [0usize; MAX_BITS as usize + 1];
        let scale = MAX_BITS - bits;
        let mut start = 0;
        for weight in 1..=bits as usize {
            starts[weight] = start;
            start += usize::from(counts[weight]) << (weight - 1) << scale;
        }
        for (literal, weight) in weights[..=count].iter().enumerate() {
            let weight = usize::from(*weight);
            if weight > 0 {
                let cells = 1 << (weight - 1) << scale;
                let code = (literal as u16) << 8 | (bits + 1 - weight as u32) as u16;
                let start = &mut starts[weight];
                // A power of two: four at a time, or one or two.
                let (fours, few) = self.codes[*start..*start + cells].as_chunks_mut::<4>();
                fours.fill([code; 4]);
                few.fill(code);
                *start += cells;
            }
        }
        Ok(())
    }
}

/// Reads weights that are compressed themselves (RFC 8878, 4.2.1.2), and returns how many.
fn compressed(bytes: &[u8], weights: &mut [u8; 256]) -> Result<usize, FrameError> {
    const MAX_LOG: u8 = 6;
    // Of each weight.
    let mut probabilities = [0; MAX_BITS as usize + 1];
    let described = fse::describe(bytes, MAX_LOG, &mut probabilities);
    let (log, symbols, rest) = described.map_err(|cause| match cause {
        Undescribed::Symbols => FrameError::CodesLong,
        Undescribed::Accuracy | Undescribed::End | Undescribed::Single => FrameError::Codes,
    })?;
    let mut cells = [Cell::default(); 1 << MAX_LOG];
    fse::fill(&mut cells, log, &probabilities[..symbols], &[]);
    let mut stream = Backward::new(rest).ok_or(FrameError::CodesStream)?;
    let mut state = || Some(stream.take(log)? as usize);
    let (Some(first), Some(second)) = (state(), state()) else { return Err(FrameError::CodesStream) };
    walk(&cells, [first, second], stream, weights).ok_or(FrameError::CodesMany)
}

/// Reads weights by two states that take turns, until one of them wants more bits than are left.
fn walk(
    cells: &[Cell; 64],
    mut states: [usize; 2],
    mut stream: Backward<'_>,
    weights: &mut [u8; 256],
) -> Option<usize> {
    // 254 and the two that end it are one too many.
    for count in 0..254 {
        let [state, other] = &mut states;
        let cell = cells[*state];
        weights[count] = cell.base as u8;
        match cell.next(&mut stream) {
            Some(next) => *state = next,
            None => {
                weights[count + 1] = cells[*other].base as u8;
                return Some(count + 2);
            }
        }
        states.swap(0, 1);
    }
    None
}

/// Decodes one stream into `literals`.
pub(crate) fn one(codes: &Codes, bytes: &[u8], literals: &mut [u8]) -> Result<(), FrameError> {
    let stream = Backward::new(bytes).ok_or(FrameError::LiteralsStream)?;
    rest(codes, stream, literals)
}

/// Decodes four streams that follow their jump table into `literals`.
pub(crate) fn four(path: Path, codes: &Codes, bytes: &[u8], literals: &mut [u8]) -> Result<(), FrameError> {
    if literals.len() < MIN_FOUR {
        return Err(FrameError::LiteralsFew);
    }
    let (table, mut bytes) = bytes.split_first_chunk::<6>().ok_or(FrameError::LiteralsStream)?;
    let mut streams = [&[][..]; 4];
    for (stream, len) in streams.iter_mut().zip(table.as_chunks().0) {
        (*stream, bytes) = bytes.split_at_checked(u16::from_le_bytes(*len).into()).ok_or(FrameError::LiteralsStream)?;
    }
    streams[3] = bytes;
    let [Some(a), Some(b), Some(c), Some(d)] = streams.map(Backward::new) else {
        return Err(FrameError::LiteralsStream);
    };
    let mut streams = [a, b, c, d];
    let quarter = literals.len().div_ceil(4);
    let (a, others) = literals.split_at_mut(quarter);
    let (b, others) = others.split_at_mut(quarter);
    let (c, d) = others.split_at_mut(quarter);
    let mut parts = [a, b, c, d];
    let done = fast::literals(path, codes, &mut streams, &mut parts);
    for (stream, part) in streams.into_iter().zip(parts) {
        rest(codes, stream, &mut part[done..])?;
    }
    Ok(())
}

/// Decodes what is left of a stream, one literal at a time.
#[inline(never)]
fn rest(codes: &Codes, mut stream: Backward<'_>, literals: &mut [u8]) -> Result<(), FrameError> {
    for literal in literals {
        let [bits, value] = codes[(stream.top() >> (64 - MAX_BITS)) as usize].to_le_bytes();
        stream.take(bits).ok_or(FrameError::LiteralsStream)?;
        *literal = value;
    }
    if stream.left() == 0 { Ok(()) } else { Err(FrameError::LiteralsStream) }
}
