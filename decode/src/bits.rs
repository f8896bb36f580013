//! Bit streams of zstd: those of tables' descriptions are read forward, all others backward.

/// A stream that is read from its end (RFC 8878, 4.1): the highest bit of its last byte that is set ends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backward<'a> {
    bytes: &'a [u8],
    /// Bits not yet read, at most eight for each of `bytes`.
    left: usize,
}

impl<'a> Backward<'a> {
    /// A stream without bits.
    pub(crate) const NONE: Self = Self { bytes: &[], left: 0 };

    /// A stream at its start; none if it has no bit that ends it.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let last = bytes.last()?.checked_ilog2()?;
        Some(Self { bytes, left: (bytes.len() - 1) * 8 + last as usize })
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bits are not yet read.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// Makes `left` bits the ones that are not yet read; no more than there were.
    pub(crate) fn set_left(&mut self, left: usize) {
        self.left = self.left.min(left);
    }

    /// The next bits from the highest down, at least 57; zeros after the last.
    pub(crate) fn top(&self) -> u64 {
        let end = self.left.div_ceil(8);
        let used = (end * 8 - self.left) as u32;
        let bytes = &self.bytes[..end];
        let word = match bytes.last_chunk() {
            Some(last) => u64::from_le_bytes(*last),
            None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)) << ((64 - end * 8) % 64),
        };
        word << used
    }

    /// The next `count` bits, at most 32, as a number; none if there are fewer.
    #[inline(never)]
    pub(crate) fn take(&mut self, count: u8) -> Option<u32> {
        let left = self.left.checked_sub(count.into())?;
        let value = self.top() >> 1 >> (63 - count);
        self.left = left;
        Some(value as u32)
    }
}

/// A stream that is read from its start, from the lowest bit of each byte up. It does not end: there are zeros after its bytes.
#[derive(Debug)]
pub(crate) struct Forward<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl<'a> Forward<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, read: 0 }
    }

    /// The next `count` bits, at most 16, as a number.
    #[inline(never)]
    pub(crate) fn peek(&self, count: u32) -> u32 {
        let rest = self.bytes.get(self.read / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(first) => u32::from_le_bytes(*first),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)),
        };
        word >> (self.read % 8) & ((1 << count) - 1)
    }

    /// Passes over `count` bits.
    pub(crate) fn skip(&mut self, count: u32) {
        self.read += count as usize;
    }

    /// What follows the byte of the last bit that was read; none if that is beyond the end.
    pub(crate) fn rest(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.read.div_ceil(8)..)
    }
}
