//! Decoding tables of finite state entropy (RFC 8878, 4.1).

use super::FrameError;
use crate::bits::{Backward, Forward};

/// The largest accuracy of a table, as a power of two.
pub(crate) const MAX_LOG: u8 = 9;

/// Symbols of any table at most: a power of two above those of lengths of matches.
pub(crate) const MAX_SYMBOLS: usize = 64;

/// What a state stands for, and the next one.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub(crate) struct Cell {
    /// The symbol's value without what its extra bits say.
    pub(crate) base: u32,
    /// The next state without what its bits say.
    pub(crate) next: u16,
    /// How many extra bits belong to the symbol.
    pub(crate) extra: u8,
    /// How many bits the next state takes.
    pub(crate) bits: u8,
}

impl Cell {
    /// The state that follows by the next bits of `stream`; none if there are too few.
    pub(crate) fn next(self, stream: &mut Backward<'_>) -> Option<usize> {
        Some(usize::from(self.next) + stream.take(self.bits)? as usize)
    }
}

/// What the symbols of one kind of table mean.
pub(crate) struct Kind {
    /// Base and extra bits of each symbol.
    pub(crate) symbols: &'static [(u32, u8)],
    /// The largest accuracy.
    pub(crate) max_log: u8,
    /// The probabilities of the table that needs no description, and its accuracy.
    pub(crate) default: &'static [i16],
    pub(crate) default_log: u8,
}

/// A table of at most 512 states.
///
/// Of every cell, in use or not: `next + (1 << bits) <= 512`, so that it leads to a cell; `extra <= 22` and `bits <= 9`. `fast.rs`
/// relies on it. Nothing outside of this file writes to cells; here, [`fill`] and [`Table::single`] do.
#[derive(Debug)]
pub(crate) struct Table {
    cells: [Cell; 1 << MAX_LOG],
    /// None before the first table.
    log: Option<u8>,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self { cells: [Cell { base: 0, next: 0, extra: 0, bits: 0 }; 1 << MAX_LOG], log: None }
    }

    /// Its accuracy; none if there has been no table.
    pub(crate) const fn log(&self) -> Option<u8> {
        self.log
    }

    pub(crate) const fn cells(&self) -> &[Cell; 1 << MAX_LOG] {
        &self.cells
    }

    /// Forgets the table.
    pub(crate) fn clear(&mut self) {
        self.log = None;
    }

    /// Makes it the table of one symbol.
    pub(crate) fn single(&mut self, kind: &Kind, symbol: u8) -> Result<(), FrameError> {
        let (base, extra) = *kind.symbols.get(usize::from(symbol)).ok_or(FrameError::Symbol)?;
        self.cells[0] = Cell { base, next: 0, extra, bits: 0 };
        self.log = Some(0);
        Ok(())
    }

    /// Makes it the table that needs no description.
    pub(crate) fn default(&mut self, kind: &Kind) {
        fill(&mut self.cells, kind.default_log, kind.default, kind.symbols);
        self.log = Some(kind.default_log);
    }

    /// Makes it the table that `bytes` begin with a description of, and returns what follows that.
    pub(crate) fn described<'a>(&mut self, kind: &Kind, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let mut probabilities = [0; MAX_SYMBOLS];
        let described = describe(bytes, kind.max_log, &mut probabilities[..kind.symbols.len()]);
        let (log, count, rest) = described.map_err(|cause| match cause {
            Undescribed::Accuracy => FrameError::TableAccuracy,
            Undescribed::Symbols => FrameError::TableSymbols,
            Undescribed::End => FrameError::TableEnd,
            Undescribed::Single => FrameError::TableSingle,
        })?;
        fill(&mut self.cells, log, &probabilities[..count], kind.symbols);
        self.log = Some(log);
        Ok(rest)
    }
}

/// Why a description is none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Undescribed {
    /// Its accuracy is too large.
    Accuracy,
    /// It is of symbols that there are not.
    Symbols,
    /// Its bytes end before it does.
    End,
    /// It is of one symbol.
    Single,
}

/// Reads a description of probabilities: the accuracy, how many symbols it tells of, and what follows it (RFC 8878, 4.1.1).
/// -1 is one state at the table's end.
pub(crate) fn describe<'a>(
    bytes: &'a [u8],
    max_log: u8,
    probabilities: &mut [i16],
) -> Result<(u8, usize, &'a [u8]), Undescribed> {
    let mut stream = Forward::new(bytes);
    let log = stream.peek(4) as u8 + 5;
    if log > max_log {
        return Err(Undescribed::Accuracy);
    }
    stream.skip(4);
    let (mut left, mut count, mut present) = (1u32 << log, 0, 0);
    while left > 0 {
        let most = left + 1;
        // The lowest `short` values, of all from 0 to `most`, take one bit less than the others.
        let width = most.ilog2();
        let short = (2 << width) - 1 - most;
        let (low, whole) = (stream.peek(width), stream.peek(width + 1));
        let value = match (low < short, whole >> width) {
            (true, _) => low,
            (false, 0) => whole,
            (false, _) => whole - short,
        };
        stream.skip(if low < short { width } else { width + 1 });
        *probabilities.get_mut(count).ok_or_else(|| too_many(&stream))? = value as i16 - 1;
        count += 1;
        match value {
            1 => {
                let mut more = 3;
                while more == 3 {
                    more = stream.peek(2) as usize;
                    stream.skip(2);
                    probabilities.get_mut(count..count + more).ok_or_else(|| too_many(&stream))?.fill(0);
                    count += more;
                }
            }
            0 => (left, present) = (left - 1, present + 1),
            _ => (left, present) = (left - (value - 1), present + 1),
        }
    }
    let rest = stream.rest().ok_or(Undescribed::End)?;
    // A single symbol has a table of another kind.
    if present < 2 { Err(Undescribed::Single) } else { Ok((log, count, rest)) }
}

/// Why there are symbols that there are not: behind the end there is no telling.
fn too_many(stream: &Forward<'_>) -> Undescribed {
    if stream.rest().is_none() { Undescribed::End } else { Undescribed::Symbols }
}

/// Fills the table of the accuracy `log`, at most [`MAX_LOG`], whose states `probabilities` share: they and those that -1 stands for
/// are `1 << log` in all (RFC 8878, 4.1.1). A symbol that is not in `symbols` stands for itself.
pub(crate) fn fill(cells: &mut [Cell], log: u8, probabilities: &[i16], symbols: &[(u32, u8)]) {
    let size = 1usize << log;
    let cells = &mut cells[..size];
    // Of each symbol: the next state's number among those that lead to it.
    let mut numbers = [0u16; MAX_SYMBOLS];
    let mut high = size;
    for (symbol, (probability, number)) in probabilities.iter().zip(&mut numbers).enumerate() {
        if *probability == -1 {
            high -= 1;
            cells[high].base = symbol as u32;
        }
        *number = probability.unsigned_abs();
    }
    let step = (size >> 1) + (size >> 3) + 3;
    let mut at = 0;
    for (symbol, probability) in probabilities.iter().enumerate() {
        for _ in 0..*probability {
            cells[at].base = symbol as u32;
            at = (at + step) % size;
            while at >= high {
                at = (at + step) % size;
            }
        }
    }
    for cell in cells {
        let symbol = cell.base as usize % MAX_SYMBOLS;
        let number = numbers[symbol];
        numbers[symbol] += 1;
        // From 1 to twice the size, so that what follows is at least zero, and with `bits` bits more at most the size.
        let bits = log - number.ilog2() as u8;
        let (base, extra) = symbols.get(symbol).copied().unwrap_or((symbol as u32, 0));
        *cell = Cell { base, next: (number << bits) - (1 << log), extra, bits };
    }
}
