//! What decides wherever the grammar leaves a choice.

/// Choices by bytes, and by chance that depends on these once they are used up.
#[derive(Debug)]
pub struct Choices<'a> {
    bytes: &'a [u8],
    state: u64,
}

impl<'a> Choices<'a> {
    /// Choices by `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        // FNV-1a.
        let state = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self { bytes, state: state | 1 }
    }

    fn byte(&mut self) -> u8 {
        if let Some((byte, rest)) = self.bytes.split_first() {
            self.bytes = rest;
            return *byte;
        }
        // xorshift64.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 24) as u8
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        let (mut number, mut most) = (0, 1);
        while most < end {
            number = number << 8 | usize::from(self.byte());
            most <<= 8;
        }
        number % end
    }

    /// A number from `start` to `end` inclusive.
    pub fn from(&mut self, start: usize, end: usize) -> usize {
        start + self.below(end - start + 1)
    }

    /// A number up to `most` inclusive, of which small ones are more likely.
    pub fn up_to(&mut self, most: usize) -> usize {
        let bits = self.below(most.checked_ilog2().map_or(0, |log| log as usize + 1) + 1);
        self.below((1 << bits).min(most) + usize::from(most < 1 << bits))
    }

    /// Yes once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub fn of<'b, T>(&mut self, all: &'b [T]) -> &'b T {
        &all[self.below(all.len())]
    }
}
