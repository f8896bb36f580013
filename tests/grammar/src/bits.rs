//! Streams of bits.

/// A stream that is read forward, from the lowest bit of each byte up.
#[derive(Debug, Default)]
pub(crate) struct Forward {
    pub(crate) bytes: Vec<u8>,
    bits: usize,
}

impl Forward {
    pub(crate) fn push(&mut self, value: usize, count: usize) {
        for bit in 0..count {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            self.bytes[self.bits / 8] |= ((value >> bit & 1) as u8) << (self.bits % 8);
            self.bits += 1;
        }
    }
}

/// The stream that is read backward as these values of so many bits, one after the other.
pub(crate) fn backward(values: &[(usize, usize)]) -> Vec<u8> {
    let mut stream = Forward::default();
    for (value, count) in values.iter().rev() {
        stream.push(*value, *count);
    }
    stream.push(1, 1);
    stream.bytes
}
