//! The wire structs of [`super`], and the numbers in them.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header.
pub const HEADER_LEN: usize = size_of::<Header>();

/// The first bytes of a manifest. Offsets in [`super`].
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) version: U32,
    pub(super) flags: U32,
    pub(super) pack_len: U64,
    pub(super) manifest_len: U64,
    pub(super) member_count: U32,
    pub(super) frame_count: U32,
    pub(super) allowed_count: U32,
    pub(super) strings_len: U32,
    pub(super) decisions: WireDecisions,
    pub(super) reserved: [u8; 24],
    pub(super) digest: [u8; 32],
    pub(super) signature: SignatureSlot,
    pub(super) reserved_end: [u8; 24],
}

/// Where the digest lies in the header: with the signature slot, what the digest does not cover.
pub(super) const DIGEST_START: usize = core::mem::offset_of!(Header, digest);
/// Where the signature slot lies in the header.
#[cfg(any(test, feature = "std"))]
pub(super) const SIGNATURE_START: usize = core::mem::offset_of!(Header, signature);
/// The first byte behind the signature slot.
pub(super) const SIGNATURE_END: usize = core::mem::offset_of!(Header, reserved_end);

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct WireDecisions {
    pub(super) protocol: U32,
    pub(super) mapping: U32,
    pub(super) entry: U32,
    pub(super) flags: U32,
    pub(super) virt_base: U64,
}

/// Bit of the decisions' flags: `virt_base` is given.
pub(super) const DECISION_VIRT_BASE: u32 = 1 << 0;
/// Bit of the decisions' flags: the command line is locked.
pub(super) const DECISION_LOCKED: u32 = 1 << 1;

/// The signature slot of a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SignatureSlot {
    pub(super) algorithm: U32,
    pub(super) reserved: U32,
    /// SHA-256 of the raw public key; zero without a signature.
    pub key_id: [u8; 32],
    /// The signature of the digest; zero without one.
    pub value: [u8; 64],
}

impl SignatureSlot {
    /// The slot of a pack that nobody signed.
    pub const NONE: Self = Self { algorithm: U32::new(0), reserved: U32::new(0), key_id: [0; 32], value: [0; 64] };
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct MemberEntry {
    pub(super) kind: U32,
    pub(super) flags: U32,
    pub(super) name: StringEntry,
    pub(super) stored_offset: U64,
    pub(super) stored_len: U64,
    pub(super) content_len: U64,
    pub(super) reserved: [u8; 24],
    pub(super) sha256: [u8; 32],
    pub(super) blake3: [u8; 32],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct FrameEntry {
    pub(super) content_offset: U64,
    pub(super) content_len: U32,
    pub(super) codec: U32,
    pub(super) stored_offset: U64,
    pub(super) stored_len: U32,
    pub(super) reserved: U32,
    pub(super) blake3: [u8; 32],
}

/// A piece of the strings.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct StringEntry {
    pub(super) offset: U32,
    pub(super) len: U32,
}

const _: () = assert!(size_of::<Header>() == 256);
const _: () = assert!(DIGEST_START == 96 && SIGNATURE_END == 232);
const _: () = assert!(size_of::<MemberEntry>() == 128);
const _: () = assert!(size_of::<FrameEntry>() == 64);
const _: () = assert!(size_of::<StringEntry>() == 8);

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u32)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number),+
        }

        impl $name {
            /// The number that stands for it in a pack.
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// What `number` stands for, or `None` if nothing in this version.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// What a member is.
    MemberKind {
        /// The kernel's ELF file, in frames.
        Kernel = 1,
        /// The pack's own command line.
        Cmdline = 2,
        /// A module; a Linux takes the first as its initrd.
        Module = 3,
        /// Room for the log of measurements.
        Measurements = 4,
    }
}

numbered! {
    /// How a frame is stored.
    Codec {
        /// As it is.
        None = 0,
        /// One LZ4 block.
        Lz4 = 1,
        /// One zstd frame.
        Zstd = 2,
    }
}

numbered! {
    /// What the signature slot holds.
    SignatureAlgorithm {
        /// Nothing.
        None = 0,
        /// An Ed25519 signature (RFC 8032) of the digest.
        Ed25519 = 1,
    }
}

impl Codec {
    /// The name that people use for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}
