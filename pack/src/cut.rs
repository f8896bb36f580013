//! Where a kernel's file is cut into frames.

use std::ops::Range;

use shared::format::MAX_FRAME_LEN;

/// Cuts `len` bytes at each of `cuts`, and what lies between two of them into pieces of at most [`MAX_FRAME_LEN`]. The
/// pieces follow each other without a gap; none is empty. Cuts at or behind `len` cut nothing.
pub fn pieces(len: u64, cuts: impl IntoIterator<Item = u64>) -> Vec<Range<u64>> {
    let mut ends: Vec<u64> = cuts.into_iter().filter(|&cut| 0 < cut && cut < len).collect();
    ends.push(len);
    ends.sort_unstable();
    ends.dedup();
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in ends {
        while start < end {
            let piece = start..end.min(start + u64::from(MAX_FRAME_LEN));
            start = piece.end;
            pieces.push(piece);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = MAX_FRAME_LEN as u64;

    fn ends(len: u64, cuts: &[u64]) -> Vec<(u64, u64)> {
        pieces(len, cuts.iter().copied()).into_iter().map(|piece| (piece.start, piece.end)).collect()
    }

    #[test]
    fn pieces_are_cut_at_every_cut_and_bounded() {
        assert_eq!(ends(100, &[]), [(0, 100)]);
        assert_eq!(ends(100, &[64, 0, 10, 64, 100, 400]), [(0, 10), (10, 64), (64, 100)]);
        assert_eq!(ends(2 * MAX + 5, &[7]), [(0, 7), (7, MAX + 7), (MAX + 7, 2 * MAX + 5)]);
        assert_eq!(ends(2 * MAX, &[]), [(0, MAX), (MAX, 2 * MAX)]);
        assert_eq!(ends(0, &[1]), []);
    }
}
