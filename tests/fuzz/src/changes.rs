//! What proptest does to an input, as a fuzzer would.

/// A change of an input.
#[derive(Clone, Debug)]
pub enum Change {
    /// One byte becomes another.
    Set(u32, u8),
    /// One bit is another.
    Flip(u32, u8),
    /// Eight bytes become a number of interest.
    Number(u32, u8),
    /// Some bytes are copied elsewhere.
    Copy(u32, u32, u8),
    /// The end is missing.
    Cut(u32),
    /// Bytes appear.
    Insert(u32, Vec<u8>),
}

/// Numbers at which code that counts breaks.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 32,
    0xffff_ffff_8000_0000,
    u64::MAX - 0xfff,
    u64::MAX,
];

impl Change {
    /// Does it.
    pub fn make(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let place = |at: u32| at as usize % len.max(1);
        match self {
            Self::Insert(at, new) => {
                bytes.splice(place(*at)..place(*at), new.iter().copied());
            }
            _ if len == 0 => {}
            Self::Set(at, value) => bytes[place(*at)] = *value,
            Self::Flip(at, bit) => bytes[place(*at)] ^= 1 << (bit % 8),
            Self::Number(at, which) => {
                let number = NUMBERS[usize::from(*which) % NUMBERS.len()].to_le_bytes();
                let width = [2, 4, 8][usize::from(*which) / NUMBERS.len() % 3].min(len - place(*at));
                bytes[place(*at)..][..width].copy_from_slice(&number[..width]);
            }
            Self::Copy(from, to, some) => {
                let some = usize::from(*some).min(len - place(*from)).min(len - place(*to));
                bytes.copy_within(place(*from)..place(*from) + some, place(*to));
            }
            Self::Cut(at) => bytes.truncate(place(*at)),
        }
    }
}
