//! Why a kernel cannot be loaded.

use core::fmt;

use shared::format::Codec;
use shared::kernel::RelocError;
use shared::memory::{FileRange, PhysRange};

use super::decode::DecodeError;

/// Why a kernel cannot be loaded, though its manifest is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// A frame's stored bytes are not those that the manifest names.
    FrameHash {
        /// Its number.
        index: usize,
    },
    /// A member's stored bytes are not those that the manifest names.
    MemberHash {
        /// Its number in the member table.
        index: usize,
    },
    /// A frame does not decode.
    Decode {
        /// Its number.
        index: usize,
        /// How it is stored.
        codec: Codec,
        /// Why not.
        cause: DecodeError,
    },
    /// A frame holds bytes both of what goes to one place and of something else.
    Straddles {
        /// Its number.
        index: usize,
        /// The bytes in the file that go to one place: a segment's, or those of a symbol or string table.
        range: FileRange,
    },
    /// A part of the file that a plan needs cannot be looked at without decoding much else.
    View {
        /// The part.
        wanted: FileRange,
    },
    /// What a plan needs of the file takes too long to decode.
    HeadWork,
    /// Memory that stage0 does not reach.
    Unreachable {
        /// Which.
        range: PhysRange,
    },
    /// The kernel is a static PIE that cannot be relocated.
    Relocation(RelocError),
    /// The pack's command line is no text.
    CmdlineText,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameHash { index } => {
                write!(f, "frame is damaged: frame {index}, expected bytes with the manifest's BLAKE3, found others")
            }
            Self::MemberHash { index } => {
                write!(f, "member is damaged: member {index}, expected bytes with the manifest's BLAKE3, found others")
            }
            Self::Decode { index, codec, cause } => {
                write!(f, "frame does not decode: frame {index} ({}), {cause}", codec.name())
            }
            Self::Straddles { index, range } => write!(
                f,
                "frame is cut wrongly: frame {index}, expected it within or outside of file range {range}, found both"
            ),
            Self::View { wanted } => write!(
                f,
                "frames are cut wrongly: file range {wanted}, expected it in frames of {} bytes at most, found larger",
                shared::memory::VIEW_LEN
            ),
            Self::HeadWork => write!(
                f,
                "kernel takes too long to read: its headers and notes, expected at most {} KiB to decode, found more",
                shared::format::MAX_HEAD_WORK / 1024
            ),
            Self::Unreachable { range } => {
                write!(f, "memory out of reach: {range}, expected memory below 4 GiB, found other")
            }
            Self::Relocation(error) => error.fmt(f),
            Self::CmdlineText => {
                f.write_str("text is damaged: pack's command line, expected UTF-8 without NUL, found other")
            }
        }
    }
}

impl core::error::Error for LoadError {}

impl From<RelocError> for LoadError {
    fn from(error: RelocError) -> Self {
        Self::Relocation(error)
    }
}
