//! Tables of finite state entropy (RFC 8878, 4.1).

use crate::Choices;
use crate::bits::Forward;

/// Probabilities of symbols, which add up to `1 << log`; -1 counts as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// The accuracy.
    pub log: usize,
    /// A probability for each symbol.
    pub probabilities: Vec<i32>,
}

/// A table: of each state the symbol, the bits that the next one takes, and where these are counted from.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) log: usize,
    pub(crate) states: Vec<State>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) symbol: usize,
    pub(crate) bits: usize,
    pub(crate) base: usize,
}

impl Distribution {
    /// A distribution over symbols below `symbols`, in which all of `wanted` occur, and at least two.
    pub(crate) fn any(choices: &mut Choices<'_>, symbols: usize, max_log: usize, wanted: &[usize]) -> Self {
        let log = choices.from(5, max_log);
        let mut probabilities = vec![0; symbols];
        let mut left = 1 << log;
        for symbol in wanted {
            if probabilities[*symbol] == 0 && left > 0 {
                probabilities[*symbol] = 1;
                left -= 1;
            }
        }
        let more = choices.up_to((symbols - 1).min(left));
        for _ in 0..more {
            let symbol = choices.below(symbols);
            if probabilities[symbol] == 0 {
                probabilities[symbol] = 1;
                left -= 1;
            }
        }
        while probabilities.iter().filter(|probability| **probability > 0).count() < 2 {
            let symbol = choices.below(symbols);
            left -= i32::from(probabilities[symbol] == 0) as usize;
            probabilities[symbol] = 1;
        }
        let present: Vec<usize> = (0..symbols).filter(|symbol| probabilities[*symbol] > 0).collect();
        while left > 0 {
            let part = if choices.once_in(4) { left } else { 1 + choices.up_to(left - 1) };
            probabilities[*choices.of(&present)] += part as i32;
            left -= part;
        }
        for probability in &mut probabilities {
            if *probability == 1 && choices.once_in(2) {
                *probability = -1;
            }
        }
        Self { log, probabilities }
    }

    /// The table.
    pub(crate) fn table(&self) -> Table {
        let size = 1 << self.log;
        let mut symbols = vec![None; size];
        let mut free = size;
        for (symbol, probability) in self.probabilities.iter().enumerate() {
            if *probability < 0 {
                free -= 1;
                symbols[free] = Some(symbol);
            }
        }
        let mut at = 0;
        for (symbol, probability) in self.probabilities.iter().enumerate() {
            for _ in 0..*probability {
                symbols[at] = Some(symbol);
                // On to the next place that is not taken by one of those at the end.
                loop {
                    at = (at + size / 2 + size / 8 + 3) % size;
                    if at < free {
                        break;
                    }
                }
            }
        }
        let mut states = Vec::with_capacity(size);
        let mut seen = vec![0; self.probabilities.len()];
        for symbol in symbols {
            let symbol = symbol.unwrap_or_default();
            let count = self.probabilities[symbol].unsigned_abs() as usize;
            // The states of a symbol share all states: as many parts as the next power of two says, of which the first
            // states have two each.
            let parts = count.next_power_of_two();
            let width = size / parts;
            let double = parts - count;
            let n: usize = seen[symbol];
            seen[symbol] += 1;
            let (base, width) = match n.checked_sub(double) {
                Some(n) => (n * width, width),
                None => ((count - double) * width + n * 2 * width, 2 * width),
            };
            states.push(State { symbol, bits: width.ilog2() as usize, base });
        }
        Table { log: self.log, states }
    }
}

/// The description of a distribution (RFC 8878, 4.1.1).
pub fn describe(distribution: &Distribution) -> Vec<u8> {
    let mut stream = Forward::default();
    stream.push(distribution.log - 5, 4);
    let mut left = 1usize << distribution.log;
    let mut symbols = distribution.probabilities.iter().copied().peekable();
    while left > 0 {
        let Some(probability) = symbols.next() else { break };
        // Of the numbers from 0 to this, the lowest take a bit less.
        let most = left + 1;
        let width = (most + 1).next_power_of_two().ilog2() as usize;
        let short = (1 << width) - 1 - most;
        let value = (probability + 1) as usize;
        if value < short {
            stream.push(value, width - 1);
        } else if value < 1 << (width - 1) {
            stream.push(value, width);
        } else {
            stream.push(value + short, width);
        }
        left -= probability.unsigned_abs() as usize;
        if probability == 0 {
            let mut zeros = 0;
            while symbols.next_if_eq(&0).is_some() {
                zeros += 1;
            }
            while zeros >= 3 {
                stream.push(3, 2);
                zeros -= 3;
            }
            stream.push(zeros, 2);
        }
    }
    stream.bytes
}

impl Table {
    /// The table of one symbol.
    pub(crate) fn single(symbol: usize) -> Self {
        Self { log: 0, states: vec![State { symbol, bits: 0, base: 0 }] }
    }

    /// The symbols that occur.
    pub(crate) fn symbols(&self) -> Vec<usize> {
        let mut symbols: Vec<usize> = self.states.iter().map(|state| state.symbol).collect();
        symbols.sort_unstable();
        symbols.dedup();
        symbols
    }

    /// States that stand for `symbols` one after the other, each with the bits that lead to the next; the last one takes any state
    /// of its symbol that `last` takes.
    pub(crate) fn walk(
        &self,
        choices: &mut Choices<'_>,
        symbols: &[usize],
        last: impl Fn(&State) -> bool,
    ) -> Option<Vec<(usize, State, usize)>> {
        let mut walk = Vec::with_capacity(symbols.len());
        let mut next = None;
        for symbol in symbols.iter().rev() {
            let states = || self.states.iter().enumerate().filter(|(_, state)| state.symbol == *symbol);
            let (number, state, bits) = match next {
                None => {
                    let all: Vec<_> = states().filter(|(_, state)| last(state)).collect();
                    if all.is_empty() {
                        return None;
                    }
                    let (number, state) = *choices.of(&all);
                    (number, *state, 0)
                }
                Some(next) => {
                    let leads =
                        |(_, state): &(usize, &State)| (state.base..state.base + (1 << state.bits)).contains(&next);
                    let (number, state) = states().find(leads)?;
                    (number, *state, next - state.base)
                }
            };
            walk.push((number, state, bits));
            next = Some(number);
        }
        walk.reverse();
        Some(walk)
    }
}
