//! Addresses and ranges, one type per kind of address, so that the compiler keeps them apart.

use core::fmt;

/// Bytes in a page of x86 (Intel SDM volume 3, 4.3).
pub const PAGE_SIZE: u64 = 4096;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The address `bytes` further up, or `None` past 2^64.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The address `bytes` further down, or `None` below 0.
            pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
                match self.0.checked_sub(bytes) {
                    Some(difference) => Some(Self(difference)),
                    None => None,
                }
            }

            /// The nearest multiple of `align` (a power of two) at or below.
            pub const fn align_down(self, align: u64) -> Self {
                Self(self.0 & !(align - 1))
            }

            /// The nearest multiple of `align` (a power of two) at or above, or `None` past 2^64.
            pub const fn align_up(self, align: u64) -> Option<Self> {
                match self.0.checked_add(align - 1) {
                    Some(sum) => Some(Self(sum & !(align - 1))),
                    None => None,
                }
            }

            /// Whether this is a multiple of `align` (a power of two).
            pub const fn is_aligned(self, align: u64) -> bool {
                self.0 & (align - 1) == 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}

address! {
    /// A guest-physical address; in a PV domain a pseudo-physical one. Bytes.
    Phys
}
address! {
    /// A virtual address. Bytes; not necessarily canonical.
    Virt
}

/// A guest page-frame number: a [`Phys`] divided by [`PAGE_SIZE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Pfn(pub u64);

impl Phys {
    /// The frame that holds this address.
    pub const fn pfn(self) -> Pfn {
        Pfn(self.0 / PAGE_SIZE)
    }
}

impl Pfn {
    /// The frame's first byte, or `None` past 2^64.
    pub const fn phys(self) -> Option<Phys> {
        match self.0.checked_mul(PAGE_SIZE) {
            Some(bytes) => Some(Phys(bytes)),
            None => None,
        }
    }
}

/// Why two numbers make no range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeError {
    /// The end lies below the start.
    Reversed {
        /// Start.
        start: u64,
        /// End.
        end: u64,
    },
    /// Start and length together exceed 2^64.
    Overflow {
        /// Start.
        start: u64,
        /// Length, bytes.
        len: u64,
    },
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reversed { start, end } => write!(f, "range from {start:#x} ends before it, at {end:#x}"),
            Self::Overflow { start, len } => write!(f, "range from {start:#x} of {len:#x} bytes exceeds 64 bits"),
        }
    }
}

impl core::error::Error for RangeError {}

macro_rules! range {
    ($(#[$doc:meta])* $name:ident, $address:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name {
            start: u64,
            end: u64,
        }

        impl $name {
            /// No byte, at 0.
            pub const EMPTY: Self = Self { start: 0, end: 0 };

            /// The range from `start` up to, not including, `end`.
            pub const fn new(start: $address, end: $address) -> Result<Self, RangeError> {
                if end.0 < start.0 {
                    return Err(RangeError::Reversed { start: start.0, end: end.0 });
                }
                Ok(Self { start: start.0, end: end.0 })
            }

            /// The range of `len` bytes from `start` on.
            pub const fn sized(start: $address, len: u64) -> Result<Self, RangeError> {
                match start.0.checked_add(len) {
                    Some(end) => Ok(Self { start: start.0, end }),
                    None => Err(RangeError::Overflow { start: start.0, len }),
                }
            }

            /// First address in the range.
            pub const fn start(&self) -> $address {
                $address(self.start)
            }

            /// First address behind the range.
            pub const fn end(&self) -> $address {
                $address(self.end)
            }

            /// Bytes in the range.
            pub const fn len(&self) -> u64 {
                self.end - self.start
            }

            /// Whether the range holds no byte.
            pub const fn is_empty(&self) -> bool {
                self.end == self.start
            }

            /// Whether `address` lies in the range.
            pub const fn contains(&self, address: $address) -> bool {
                self.start <= address.0 && address.0 < self.end
            }

            /// Whether every byte of `other` lies in this range. An empty range lies in any that reaches its start.
            pub const fn covers(&self, other: &Self) -> bool {
                self.start <= other.start && other.end <= self.end
            }

            /// Whether the two have a byte in common.
            pub const fn overlaps(&self, other: &Self) -> bool {
                self.start < other.end && other.start < self.end && !self.is_empty() && !other.is_empty()
            }

            /// The bytes that both have, or `None` if there are none.
            pub fn intersection(&self, other: &Self) -> Option<Self> {
                self.overlaps(other)
                    .then(|| Self { start: self.start.max(other.start), end: self.end.min(other.end) })
            }

            /// The smallest range that covers both. An empty one counts for nothing.
            pub fn hull(&self, other: &Self) -> Self {
                if self.is_empty() {
                    *other
                } else if other.is_empty() {
                    *self
                } else {
                    Self { start: self.start.min(other.start), end: self.end.max(other.end) }
                }
            }

            /// The smallest range of whole pages around this one.
            pub const fn page_hull(&self) -> Result<Self, RangeError> {
                match self.end.checked_add(PAGE_SIZE - 1) {
                    Some(end) => Ok(Self { start: self.start & !(PAGE_SIZE - 1), end: end & !(PAGE_SIZE - 1) }),
                    None => Err(RangeError::Overflow { start: self.start, len: self.end - self.start }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}..{:#x}", self.start, self.end)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

range! {
    /// A half-open range of guest-physical addresses.
    PhysRange, Phys
}
range! {
    /// A half-open range of virtual addresses.
    VirtRange, Virt
}

/// A range of a file: `len` bytes from `offset` on. Made by [`FileRange::new`], so that its end is known to exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct FileRange {
    offset: u64,
    len: u64,
}

impl FileRange {
    /// `len` bytes from `offset` on.
    pub const fn new(offset: u64, len: u64) -> Result<Self, RangeError> {
        match offset.checked_add(len) {
            Some(_) => Ok(Self { offset, len }),
            None => Err(RangeError::Overflow { start: offset, len }),
        }
    }

    /// First byte's position.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes in the range.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the range holds no byte.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Position behind the last byte.
    pub const fn end(&self) -> u64 {
        self.offset + self.len
    }
}

impl fmt::Display for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.offset, self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open() {
        let range = PhysRange::sized(Phys(0x1000), 0x1000).unwrap();
        assert!(range.contains(Phys(0x1fff)));
        assert!(!range.contains(Phys(0x2000)));
        let next = PhysRange::sized(Phys(0x2000), 1).unwrap();
        assert!(!range.overlaps(&next));
        assert_eq!(next.page_hull().unwrap(), PhysRange::sized(Phys(0x2000), 0x1000).unwrap());
    }

    #[test]
    fn an_empty_range_overlaps_nothing() {
        let empty = PhysRange::sized(Phys(0x1800), 0).unwrap();
        let range = PhysRange::sized(Phys(0x1000), 0x1000).unwrap();
        assert!(!range.overlaps(&empty));
        assert!(range.covers(&empty));
    }

    #[test]
    fn ends_past_64_bits_are_errors() {
        assert_eq!(PhysRange::sized(Phys(u64::MAX), 2), Err(RangeError::Overflow { start: u64::MAX, len: 2 }));
        assert_eq!(FileRange::new(u64::MAX, 1), Err(RangeError::Overflow { start: u64::MAX, len: 1 }));
        assert!(PhysRange::new(Phys(2), Phys(1)).is_err());
    }
}
