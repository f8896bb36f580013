//! Why bytes are no pack.

use core::fmt;

use super::{MAGIC, VERSION};

/// A part of a pack, as error messages name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The first 256 bytes.
    Header,
    /// Header and tables together.
    Manifest,
    /// The decisions within the header.
    Decisions,
    /// The signature slot within the header.
    Signature,
    /// Member number n of the member table.
    Member(u32),
    /// Frame number n of the frame table.
    Frame(u32),
    /// Entry n of the allowed-argument table.
    Allowed(u32),
    /// The pack as a whole.
    Pack,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::Manifest => f.write_str("manifest"),
            Self::Decisions => f.write_str("decisions"),
            Self::Signature => f.write_str("signature slot"),
            Self::Member(n) => write!(f, "member {n}"),
            Self::Frame(n) => write!(f, "frame {n}"),
            Self::Allowed(n) => write!(f, "allowed argument {n}"),
            Self::Pack => f.write_str("pack"),
        }
    }
}

/// Why bytes are no pack that this version reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FormatError {
    /// The first bytes are not [`MAGIC`].
    Magic {
        /// The first eight bytes.
        found: [u8; 8],
    },
    /// A version other than [`VERSION`].
    Version {
        /// The version in the header.
        found: u32,
    },
    /// Fewer bytes than the part needs.
    Truncated {
        /// What ends too early.
        part: Part,
        /// Bytes that it needs.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The digest in the header is not that of the manifest.
    Digest {
        /// First four bytes of the digest in the header, big endian.
        expected: u32,
        /// First four bytes of the digest of what is there, big endian.
        found: u32,
    },
    /// Flags that this version does not know.
    Flags {
        /// Where they stand.
        part: Part,
        /// The unknown bits.
        found: u64,
    },
    /// A kind of member, codec, or other choice that this version does not know.
    Unknown {
        /// Where it stands.
        part: Part,
        /// The field.
        field: &'static str,
        /// Its number.
        found: u32,
    },
    /// A reserved byte that is not zero.
    Reserved {
        /// Where it stands.
        part: Part,
    },
    /// A number outside its bounds.
    Bound {
        /// Where it stands.
        part: Part,
        /// The field.
        field: &'static str,
        /// The smallest that is accepted.
        min: u64,
        /// The largest that is accepted.
        max: u64,
        /// What is there.
        found: u64,
    },
    /// A number that follows from others is another.
    Mismatch {
        /// Where it stands.
        part: Part,
        /// The field.
        field: &'static str,
        /// What follows.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A member in a place where its kind may not stand.
    Order {
        /// Which.
        part: Part,
    },
    /// An algorithm is named, but no key or no signature.
    NoSignature,
    /// A member's name that could steer a terminal, or end a line.
    Name {
        /// Whose.
        part: Part,
    },
    /// A name, pattern, or command line that is not UTF-8, or holds a NUL.
    Text {
        /// Whose.
        part: Part,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => write!(
                f,
                "not a pack: at offset 0, expected magic {:#018x}, found {:#018x}",
                u64::from_be_bytes(MAGIC),
                u64::from_be_bytes(*found)
            ),
            Self::Version { found } => {
                write!(f, "pack of an unknown version: in the header, expected {VERSION}, found {found}")
            }
            Self::Truncated { part, expected, found } => {
                write!(f, "pack is truncated: {part}, expected {expected} bytes, found {found}")
            }
            Self::Digest { expected, found } => write!(
                f,
                "manifest is damaged: SHA-256 of the manifest, expected {expected:08x}..., found {found:08x}..."
            ),
            Self::Flags { part, found } => write!(f, "unknown flags: {part}, expected none, found {found:#x}"),
            Self::Unknown { part, field, found } => {
                write!(f, "unknown {field}: {part}, expected one of this version, found {found}")
            }
            Self::Reserved { part } => write!(f, "reserved bytes in use: {part}, expected zero, found other"),
            Self::Bound { part, field, min, max, found } => {
                write!(f, "{field} out of bounds: {part}, expected {min} to {max}, found {found}")
            }
            Self::Mismatch { part, field, expected, found } => {
                write!(f, "{field} is wrong: {part}, expected {expected}, found {found}")
            }
            Self::Order { part } => {
                write!(f, "member out of order: {part}, expected one kernel, one command line at most, then modules")
            }
            Self::NoSignature => {
                f.write_str("signature is missing: signature slot, expected key id and value, found zero")
            }
            Self::Name { part } => write!(f, "name does not show: {part}, expected no control character, found one"),
            Self::Text { part } => write!(f, "text is damaged: {part}, expected UTF-8 without NUL, found other"),
        }
    }
}

impl core::error::Error for FormatError {}
