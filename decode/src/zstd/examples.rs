//! The specification's own examples (RFC 8878; the tables are those of its appendix A).

use std::vec::Vec;

use super::codes::{LITERAL_LENGTHS, MATCH_LENGTHS, OFFSETS};
use super::fse::{self, Cell, Kind, Table};
use super::huffman::{self, Huffman};

/// Of each state: symbol, bits, base.
#[rustfmt::skip]
const LITERALS: [(u32, u8, u16); 64] = [(0, 4, 0), (0, 4, 16), (1, 5, 32), (3, 5, 0), (4, 5, 0), (6, 5, 0), (7, 5, 0), (9, 5, 0), (10, 5, 0), (12, 5, 0), (14, 6, 0), (16, 5, 0), (18, 5, 0), (19, 5, 0), (21, 5, 0), (22, 5, 0), (24, 5, 0), (25, 5, 32), (26, 5, 0), (27, 6, 0), (29, 6, 0), (31, 6, 0), (0, 4, 32), (1, 4, 0), (2, 5, 0), (4, 5, 32), (5, 5, 0), (7, 5, 32), (8, 5, 0), (10, 5, 32), (11, 5, 0), (13, 6, 0), (16, 5, 32), (17, 5, 0), (19, 5, 32), (20, 5, 0), (22, 5, 32), (23, 5, 0), (25, 4, 0), (25, 4, 16), (26, 5, 32), (28, 6, 0), (30, 6, 0), (0, 4, 48), (1, 4, 16), (2, 5, 32), (3, 5, 32), (5, 5, 32), (6, 5, 32), (8, 5, 32), (9, 5, 32), (11, 5, 32), (12, 5, 32), (15, 6, 0), (17, 5, 32), (18, 5, 32), (20, 5, 32), (21, 5, 32), (23, 5, 32), (24, 5, 32), (35, 6, 0), (34, 6, 0), (33, 6, 0), (32, 6, 0)];
#[rustfmt::skip]
const MATCHES: [(u32, u8, u16); 64] = [(0, 6, 0), (1, 4, 0), (2, 5, 32), (3, 5, 0), (5, 5, 0), (6, 5, 0), (8, 5, 0), (10, 6, 0), (13, 6, 0), (16, 6, 0), (19, 6, 0), (22, 6, 0), (25, 6, 0), (28, 6, 0), (31, 6, 0), (33, 6, 0), (35, 6, 0), (37, 6, 0), (39, 6, 0), (41, 6, 0), (43, 6, 0), (45, 6, 0), (1, 4, 16), (2, 4, 0), (3, 5, 32), (4, 5, 0), (6, 5, 32), (7, 5, 0), (9, 6, 0), (12, 6, 0), (15, 6, 0), (18, 6, 0), (21, 6, 0), (24, 6, 0), (27, 6, 0), (30, 6, 0), (32, 6, 0), (34, 6, 0), (36, 6, 0), (38, 6, 0), (40, 6, 0), (42, 6, 0), (44, 6, 0), (1, 4, 32), (1, 4, 48), (2, 4, 16), (4, 5, 32), (5, 5, 32), (7, 5, 32), (8, 5, 32), (11, 6, 0), (14, 6, 0), (17, 6, 0), (20, 6, 0), (23, 6, 0), (26, 6, 0), (29, 6, 0), (52, 6, 0), (51, 6, 0), (50, 6, 0), (49, 6, 0), (48, 6, 0), (47, 6, 0), (46, 6, 0)];
#[rustfmt::skip]
const OFFSET_CODES: [(u32, u8, u16); 32] = [(0, 5, 0), (6, 4, 0), (9, 5, 0), (15, 5, 0), (21, 5, 0), (3, 5, 0), (7, 4, 0), (12, 5, 0), (18, 5, 0), (23, 5, 0), (5, 5, 0), (8, 4, 0), (14, 5, 0), (20, 5, 0), (2, 5, 0), (7, 4, 16), (11, 5, 0), (17, 5, 0), (22, 5, 0), (4, 5, 0), (8, 4, 16), (13, 5, 0), (19, 5, 0), (1, 5, 0), (6, 4, 16), (10, 5, 0), (16, 5, 0), (28, 5, 0), (27, 5, 0), (26, 5, 0), (25, 5, 0), (24, 5, 0)];

fn check_default(kind: &Kind, expected: &[(u32, u8, u16)]) {
    let mut cells = [Cell::default(); 512];
    fse::fill(&mut cells, kind.default_log, kind.default, &[]);
    let found: Vec<_> = cells[..expected.len()].iter().map(|cell| (cell.base, cell.bits, cell.next)).collect();
    assert_eq!(found, expected);
    // The same with what the symbols mean.
    let mut table = Table::new();
    table.default(kind);
    for (cell, (symbol, bits, base)) in table.cells().iter().zip(expected) {
        let (value, extra) = kind.symbols[*symbol as usize];
        assert_eq!((cell.base, cell.extra, cell.bits, cell.next), (value, extra, *bits, *base));
    }
}

#[test]
fn default_tables_are_those_of_the_appendix() {
    check_default(&LITERAL_LENGTHS, &LITERALS);
    check_default(&MATCH_LENGTHS, &MATCHES);
    check_default(&OFFSETS, &OFFSET_CODES);
}

/// Codes, base and bits as 3.1.1.3.2.1 lists them: some of each kind, the last included.
#[test]
fn codes_mean_what_the_specification_lists() {
    let literals = [
        (0, 0, 0),
        (15, 15, 0),
        (16, 16, 1),
        (19, 22, 1),
        (20, 24, 2),
        (23, 40, 3),
        (24, 48, 4),
        (25, 64, 6),
        (26, 128, 7),
        (35, 65536, 16),
    ];
    let matches = [
        (0, 3, 0),
        (31, 34, 0),
        (32, 35, 1),
        (36, 43, 2),
        (39, 59, 3),
        (40, 67, 4),
        (41, 83, 4),
        (42, 99, 5),
        (43, 131, 7),
        (52, 65539, 16),
    ];
    let offsets = [(0, 1, 0), (1, 2, 1), (2, 1, 2), (3, 5, 3), (22, (1 << 22) - 3, 22), (31, (1 << 31) - 3, 22)];
    for (kind, listed) in [(&LITERAL_LENGTHS, &literals[..]), (&MATCH_LENGTHS, &matches), (&OFFSETS, &offsets)] {
        for (code, base, extra) in listed {
            assert_eq!(kind.symbols[*code], (*base, *extra), "{code}");
        }
    }
    assert_eq!([36, 53, 32], [&LITERAL_LENGTHS, &MATCH_LENGTHS, &OFFSETS].map(|kind| kind.symbols.len()));
}

/// A symbol of probability 5 in a table of 128 states.
#[test]
fn five_states_share_all_as_in_the_example() {
    let mut cells = [Cell::default(); 128];
    fse::fill(&mut cells, 7, &[123, 5], &[]);
    let found: Vec<_> = cells.iter().filter(|cell| cell.base == 1).map(|cell| (cell.bits, cell.next)).collect();
    assert_eq!(found, [(5, 32), (5, 64), (5, 96), (4, 0), (4, 16)]);
}

/// With 157 values of 256 possible, those below 98 take seven bits and the others eight, as in the example of 4.1.1.
#[test]
fn small_probabilities_take_a_bit_less() {
    for (value, bits) in [(0, 0), (97, 97), (98, 98), (127, 127), (128, 226), (157, 255)] {
        // An accuracy of 8; a probability of 100, for which the value 101 takes eight bits, as below 254 of 257; then the value.
        let word: u32 = 3 | 101 << 4 | bits << 12;
        let mut probabilities = [0; 64];
        // What follows may or may not be a description: the first two are read before.
        let _ = fse::describe(&word.to_le_bytes(), 9, &mut probabilities);
        assert_eq!(probabilities[..2], [100, value - 1], "{value}");
    }
}

/// The tree of 4.2.1: weights 4, 3, 2, 0, 1 and one more, which is 1; and the stream "0145" of 4.2.2, where the specification
/// writes 0001 for 4 and 0000 for 5, the other way round than in its tree. What it prints is "0154".
#[test]
fn the_example_of_huffman_codes() {
    let mut huffman = Huffman::new();
    // Five weights of four bits each, and half a byte that is not used.
    let rest = huffman.described(&[127 + 5, 0x43, 0x20, 0x1f, 0xee]).unwrap();
    assert_eq!(rest, [0xee]);
    let codes = huffman.codes().unwrap();
    // 0000, 0001, 001, 01 and 1, each followed by anything.
    for (literal, code, bits) in [(4, 0, 4), (5, 1, 4), (2, 1, 3), (1, 1, 2), (0, 1, 1)] {
        let cells = code << (11 - bits)..(code + 1) << (11 - bits);
        assert!(codes[cells].iter().all(|cell| *cell == literal << 8 | bits), "{literal}");
    }
    for (first, expected) in [(0b0000_0001, [0, 1, 4, 5]), (0b0001_0000, [0, 1, 5, 4])] {
        let mut literals = [0xaa; 4];
        huffman::one(codes, &[first, 0b0000_1101], &mut literals).unwrap();
        assert_eq!(literals, expected);
    }
}
