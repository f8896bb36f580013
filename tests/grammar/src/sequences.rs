//! A block's sequences (RFC 8878, 3.1.1.3.2).

use std::collections::BTreeSet;

use crate::Choices;
use crate::bits::backward;
use crate::fse::{Distribution, Table, describe};

/// Where the lengths of each code begin, and its extra bits, as the specification lists them.
type Lengths = [(usize, usize)];

const LITERALS: &Lengths = &[
    (0, 0),
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 0),
    (12, 0),
    (13, 0),
    (14, 0),
    (15, 0),
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16384, 14),
    (32768, 15),
    (65536, 16),
];

const MATCHES: &Lengths = &[
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 0),
    (12, 0),
    (13, 0),
    (14, 0),
    (15, 0),
    (16, 0),
    (17, 0),
    (18, 0),
    (19, 0),
    (20, 0),
    (21, 0),
    (22, 0),
    (23, 0),
    (24, 0),
    (25, 0),
    (26, 0),
    (27, 0),
    (28, 0),
    (29, 0),
    (30, 0),
    (31, 0),
    (32, 0),
    (33, 0),
    (34, 0),
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];

const LITERALS_DEFAULT: [i32; 36] =
    [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1];
const MATCHES_DEFAULT: [i32; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];
const OFFSETS_DEFAULT: [i32; 29] =
    [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1];

/// Which of the three kinds of table.
const LITERAL: usize = 0;
const OFFSET: usize = 1;
const MATCH: usize = 2;

/// Of each kind: symbols that there are, the largest accuracy, symbols that small content can use.
const KINDS: [(usize, usize, usize); 3] = [(36, 9, 18), (32, 8, 9), (53, 9, 40)];

/// What sequences leave behind for the next block.
#[derive(Debug, Clone)]
pub(crate) struct Sequences {
    tables: [Option<Table>; 3],
    distances: [usize; 3],
    /// The only symbol of a kind, where that is not left to chance.
    pub(crate) only: [Option<usize>; 3],
}

impl Default for Sequences {
    fn default() -> Self {
        Self { tables: [None, None, None], distances: [1, 4, 8], only: [None; 3] }
    }
}

/// One sequence by its codes, and what their extra bits say.
struct Sequence {
    codes: [usize; 3],
    extra: [usize; 3],
    bits: [usize; 3],
}

impl Sequences {
    /// Appends at most `most` sequences that repeat at most `room` bytes, and the content of a block of these literals. The
    /// parts' beginnings within the bytes are appended to `parts`.
    pub(crate) fn any(
        &mut self,
        choices: &mut Choices<'_>,
        (most, mut room): (usize, usize),
        literals: &[u8],
        content: &mut Vec<u8>,
        parts: &mut Vec<usize>,
        features: &mut BTreeSet<&'static str>,
    ) -> Vec<u8> {
        let wanted = if choices.once_in(8) { most } else { choices.up_to(most) };
        let (modes, tables, descriptions) = self.tables(choices, wanted);
        let symbols = tables.each_ref().map(Table::symbols);
        let mut sequences = Vec::new();
        let mut rest = literals;
        while sequences.len() < wanted {
            let distances = self.distances;
            let Some(sequence) = self.sequence(choices, &symbols, &mut rest, &mut room, content) else { break };
            let Sequence { codes, extra, bits } = sequence;
            let none = codes[LITERAL] == 0;
            if codes[OFFSET] < 2 && content.len() < 300 && distances == [1, 4, 8] {
                features.insert("distance used before, first of all");
            }
            if none && codes[OFFSET] == 1 && extra[OFFSET] == 1 {
                features.insert("first distance less one");
            }
            if self.distances[0] < MATCHES[codes[MATCH]].0 {
                features.insert("distance of less than a length");
            }
            if bits[LITERAL] + bits[MATCH] > 8 {
                features.insert("length of many bits");
            }
            sequences.push(sequence);
        }
        content.extend_from_slice(rest);
        let mut bytes = count(choices, sequences.len());
        features.insert(match bytes.len() {
            _ if sequences.is_empty() => "no sequences",
            1 => "number of sequences in one byte",
            2 => "number of sequences in two bytes",
            _ => "number of sequences in three bytes",
        });
        if sequences.is_empty() {
            return bytes;
        }
        let names = ["default table", "table of one symbol", "described table", "table of a block before"];
        features.extend(modes.map(|mode| names[mode]));
        bytes.push((modes[LITERAL] << 6 | modes[OFFSET] << 4 | modes[MATCH] << 2) as u8);
        for description in descriptions {
            parts.push(bytes.len());
            bytes.extend(description);
        }
        parts.push(bytes.len());
        bytes.extend(stream(choices, &tables, &sequences));
        self.tables = tables.map(Some);
        bytes
    }

    /// A mode, a table and its description for each kind.
    fn tables(&self, choices: &mut Choices<'_>, wanted: usize) -> ([usize; 3], [Table; 3], [Vec<u8>; 3]) {
        let mut modes = [0; 3];
        // So many sequences need few bytes each.
        let many = wanted > 10_000;
        let made = [LITERAL, OFFSET, MATCH].map(|kind| {
            let (symbols, max_log, small) = KINDS[kind];
            modes[kind] = choices.below(4);
            if let Some(symbol) = self.only[kind] {
                modes[kind] = 1;
                return (Table::single(symbol), vec![symbol as u8]);
            }
            match (modes[kind], &self.tables[kind]) {
                (3, Some(table)) if !many => (table.clone(), Vec::new()),
                (1, _) | (_, _) if modes[kind] == 1 || many => {
                    modes[kind] = 1;
                    let symbol = if many { 0 } else { choices.up_to(small) };
                    (Table::single(symbol), vec![symbol as u8])
                }
                (2, _) => {
                    let wanted: Vec<usize> = (0..choices.from(1, 5)).map(|_| choices.below(small)).collect();
                    let distribution = Distribution::any(choices, symbols, max_log, &wanted);
                    (distribution.table(), describe(&distribution))
                }
                _ => {
                    modes[kind] = 0;
                    (default(kind).table(), Vec::new())
                }
            }
        });
        let [a, b, c] = made;
        (modes, [a.0, b.0, c.0], [a.1, b.1, c.1])
    }

    /// A sequence that can be executed, and executes it; none if chance finds none.
    fn sequence(
        &mut self,
        choices: &mut Choices<'_>,
        symbols: &[Vec<usize>; 3],
        literals: &mut &[u8],
        room: &mut usize,
        content: &mut Vec<u8>,
    ) -> Option<Sequence> {
        for _ in 0..8 {
            let codes = symbols.each_ref().map(|symbols| *choices.of(symbols));
            let Some((count, literal_extra)) = length(choices, LITERALS[codes[LITERAL]], literals.len()) else {
                continue;
            };
            let Some((len, match_extra)) = length(choices, MATCHES[codes[MATCH]], *room) else { continue };
            let at = content.len() + count;
            let Some((distance, offset_extra)) = self.offset(choices, codes[OFFSET], count == 0, at) else { continue };
            let (copied, rest) = literals.split_at(count);
            *literals = rest;
            *room -= len;
            content.extend_from_slice(copied);
            for _ in 0..len {
                content.push(content[content.len() - distance]);
            }
            let bits = [LITERALS[codes[LITERAL]].1, codes[OFFSET], MATCHES[codes[MATCH]].1];
            return Some(Sequence { codes, extra: [literal_extra, offset_extra, match_extra], bits });
        }
        None
    }

    /// A distance of at most `at` by the code, and its extra bits; it is then the last one used.
    fn offset(&mut self, choices: &mut Choices<'_>, code: usize, none: bool, at: usize) -> Option<(usize, usize)> {
        let extra = if code < 2 {
            choices.below(1 << code)
        } else {
            // Distances from 2^code - 3 on.
            let most = (at + 3).checked_sub(1 << code)?;
            choices.up_to(most.min((1 << code) - 1))
        };
        let value = (1 << code) + extra;
        let [first, second, third] = self.distances;
        let (distance, distances) = match (value, none) {
            (1, false) => (first, [first, second, third]),
            (2, false) | (1, true) => (second, [second, first, third]),
            (3, false) | (2, true) => (third, [third, first, second]),
            (3, true) => (first - 1, [first - 1, first, second]),
            _ => (value - 3, [value - 3, first, second]),
        };
        if distance == 0 || distance > at {
            return None;
        }
        self.distances = distances;
        Some((distance, extra))
    }
}

/// A length of a code that is at most `most`, and its extra bits.
fn length(choices: &mut Choices<'_>, (base, bits): (usize, usize), most: usize) -> Option<(usize, usize)> {
    let extra = choices.up_to(most.checked_sub(base)?.min((1 << bits) - 1));
    Some((base + extra, extra))
}

fn default(kind: usize) -> Distribution {
    match kind {
        LITERAL => Distribution { log: 6, probabilities: LITERALS_DEFAULT.to_vec() },
        OFFSET => Distribution { log: 5, probabilities: OFFSETS_DEFAULT.to_vec() },
        _ => Distribution { log: 6, probabilities: MATCHES_DEFAULT.to_vec() },
    }
}

/// The number of sequences.
fn count(choices: &mut Choices<'_>, count: usize) -> Vec<u8> {
    match count {
        0..128 if !choices.once_in(8) => vec![count as u8],
        0..0x7f00 => vec![128 + (count >> 8) as u8, count as u8],
        _ => vec![255, (count - 0x7f00) as u8, ((count - 0x7f00) >> 8) as u8],
    }
}

/// The stream of sequences.
fn stream(choices: &mut Choices<'_>, tables: &[Table; 3], sequences: &[Sequence]) -> Vec<u8> {
    let walks = [LITERAL, OFFSET, MATCH].map(|kind| {
        let symbols: Vec<usize> = sequences.iter().map(|sequence| sequence.codes[kind]).collect();
        tables[kind].walk(choices, &symbols, |_| true).unwrap_or_default()
    });
    let mut bits = Vec::with_capacity(sequences.len() * 6 + 3);
    for kind in [LITERAL, OFFSET, MATCH] {
        bits.push((walks[kind][0].0, tables[kind].log));
    }
    for (at, sequence) in sequences.iter().enumerate() {
        for kind in [OFFSET, MATCH, LITERAL] {
            bits.push((sequence.extra[kind], sequence.bits[kind]));
        }
        if at + 1 < sequences.len() {
            for kind in [LITERAL, MATCH, OFFSET] {
                let (_, state, value) = walks[kind][at];
                bits.push((value, state.bits));
            }
        }
    }
    backward(&bits)
}
