//! What the codes of sequences mean (RFC 8878, 3.1.1.3.2).

use super::fse::Kind;

/// Codes whose values begin with `first`, and where those of the code before end.
const fn plain<const N: usize>(first: u32, extra: &[u8; N]) -> [(u32, u8); N] {
    let mut codes = [(0, 0); N];
    let (mut code, mut base) = (0, first);
    while code < N {
        codes[code] = (base, extra[code]);
        base += 1 << extra[code];
        code += 1;
    }
    codes
}

/// Lengths of literals.
pub(crate) static LITERAL_LENGTHS: Kind = Kind {
    symbols: &plain(
        0,
        &[
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14,
            15, 16,
        ],
    ),
    max_log: 9,
    default: &[
        4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
    ],
    default_log: 6,
};

/// Lengths of matches.
pub(crate) static MATCH_LENGTHS: Kind = Kind {
    symbols: &plain(
        3,
        &[
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1,
            2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
        ],
    ),
    max_log: 9,
    default: &[
        1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
    ],
    default_log: 6,
};

/// Offsets: a code's number is that of its extra bits. The base of those that are distances, from 2 on, is less by the three values
/// that stand for distances used before.
///
/// A code of more than 22 bits is a distance that no content has room for. It is refused whatever its bits are, so that no more than 22
/// of them are read.
pub(crate) static OFFSETS: Kind = Kind {
    symbols: &{
        let mut codes = [(0, 0); 32];
        let mut code = 0;
        while code < 32 {
            codes[code] = ((1u32 << code) - if code < 2 { 0 } else { 3 }, if code < 22 { code as u8 } else { 22 });
            code += 1;
        }
        codes
    },
    max_log: 8,
    default: &[1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
    default_log: 5,
};
