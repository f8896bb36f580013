//! Numbers out of a fuzzer's bytes.

/// Takes numbers and bytes from the front of an input; zeros once it is used up.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// At most the next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.bytes(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }

    /// A number.
    pub fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// A number.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// A number.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A number.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// True in one of `of` cases.
    pub fn one_in(&mut self, of: u8) -> bool {
        self.u8() % of == 1
    }

    /// A number, often near the edges at which code that takes addresses breaks.
    pub fn address(&mut self) -> u64 {
        let (kind, offset) = (self.u8(), u64::from(self.u16()));
        match kind % 8 {
            0 => offset * 4096,
            1 => (1 << 32) - offset,
            2 => u64::MAX - offset,
            3 => (1 << 20) + offset,
            4 => 0xffff_ffff_8000_0000 + offset * 4096,
            _ => self.u64() >> (kind / 8),
        }
    }
}
