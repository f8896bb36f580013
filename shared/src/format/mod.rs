//! The pack container, format version 1.
//!
//! A pack is what `pack` writes and a builder hands over as the ramdisk: a *manifest* (header and tables), then the
//! stored bytes of its *members*. This page and the constants below are the whole definition; a second implementation
//! can be written from them.
//!
//! All numbers are little endian and unsigned. Offsets are in bytes, from the pack's first byte unless another base is
//! named. "Reserved" bytes are zero, and a pack in which one is not is refused. Nothing is ever found from the end:
//! builders round a ramdisk's length up to pages, so bytes behind `pack_len` mean nothing and are not read.
//!
//! # Order of the file
//!
//! | part | length | where |
//! |---|---|---|
//! | header | 256 | 0 |
//! | member table | 128 × `member_count` | behind the header |
//! | frame table | 64 × `frame_count` | behind the member table |
//! | allowed-argument table | 8 × `allowed_count` | behind the frame table |
//! | strings | `strings_len` | behind the allowed-argument table; the manifest ends here |
//! | stored members | | in table order, each where its entry says, none overlapping another |
//!
//! # Header (256 bytes)
//!
//! | offset | size | field | unit, bound |
//! |---|---|---|---|
//! | 0 | 8 | magic | [`MAGIC`] |
//! | 8 | 4 | version | [`VERSION`] |
//! | 12 | 4 | flags | 0; any bit set is refused by number |
//! | 16 | 8 | `pack_len` | bytes; the whole pack; at most [`MAX_PACK_LEN`] |
//! | 24 | 8 | `manifest_len` | bytes; exactly the sum of the five parts above |
//! | 32 | 4 | `member_count` | 1 to [`MAX_MEMBERS`] |
//! | 36 | 4 | `frame_count` | 1 to [`MAX_FRAMES`] |
//! | 40 | 4 | `allowed_count` | 0 to [`MAX_ALLOWED`] |
//! | 44 | 4 | `strings_len` | bytes; at most [`MAX_STRINGS_LEN`] |
//! | 48 | 24 | decisions | see below |
//! | 72 | 24 | reserved | |
//! | 96 | 32 | `digest` | SHA-256 of manifest bytes 0..96 and 232..`manifest_len`, in this order |
//! | 128 | 4 | signature algorithm | 0 none, 1 Ed25519 |
//! | 132 | 4 | reserved | |
//! | 136 | 32 | key id | SHA-256 of the raw public key; zero without a signature |
//! | 168 | 64 | signature | of the 32 bytes of `digest`; zero without a signature, and neither it nor the key id with one |
//! | 232 | 24 | reserved | |
//!
//! The digest thus covers every byte of the manifest but itself and the signature slot, and the manifest in turn holds a
//! hash of every stored byte that is ever used.
//!
//! # Decisions (24 bytes): what a person chose when packing
//!
//! | offset | size | field | values |
//! |---|---|---|---|
//! | 48 | 4 | protocol | 0 by kernel and domain, 1 PVH, 2 PV, 3 direct |
//! | 52 | 4 | mapping | 0 linear, 1 segments |
//! | 56 | 4 | entry rule | 0 by the notes, 1 physical, 2 virtual |
//! | 60 | 4 | flags | bit 0: `virt_base` is given; bit 1: the command line is locked, as a signed pack's must be |
//! | 64 | 8 | `virt_base` | virtual address; 0 unless given |
//!
//! # Member entry (128 bytes)
//!
//! | offset in entry | size | field | unit, bound |
//! |---|---|---|---|
//! | 0 | 4 | kind | 1 kernel, 2 command line, 3 module, 4 room for measurements |
//! | 4 | 4 | flags | 0 |
//! | 8 | 4 | name offset | from the start of the strings |
//! | 12 | 4 | name length | bytes of UTF-8, 1 to [`MAX_NAME_LEN`], no control character (U+0000 to U+001F, U+007F to U+009F) |
//! | 16 | 8 | stored offset | `free`, or above; for a module or room the next multiple of 4096 from `free` on |
//! | 24 | 8 | stored length | bytes |
//! | 32 | 8 | content length | bytes, after decoding; see below |
//! | 40 | 24 | reserved | |
//! | 64 | 32 | SHA-256 | of the content |
//! | 96 | 32 | BLAKE3 | of the stored bytes; zero for the kernel, whose frames have their own |
//!
//! `free` is `manifest_len` for the first member, and for others where the member before ends. The first member is the
//! kernel, and there is no other. At most one command line follows, then at most one room for measurements
//! ([`crate::measure`]; a pack without one wants none), then the modules in the order in which they are handed over. The kernel's content is its ELF file, whole, 1 to [`MAX_KERNEL_LEN`] bytes. A
//! command line (at most [`MAX_CMDLINE_LEN`] bytes of UTF-8, no NUL) and a module are stored as they are, so that both
//! lengths are equal; and so is room, of
//! [`crate::measure::ROOM_LEN`] bytes. `pack_len` is at least each member's end. A module ends, here and for the member behind it, with
//! its last page, whose bytes behind the module a writer makes zero; no hash covers them, and a reader zeroes them.
//!
//! # Frame entry (64 bytes): a piece of the kernel's content
//!
//! | offset in entry | size | field | unit, bound |
//! |---|---|---|---|
//! | 0 | 8 | content offset | bytes; the first is 0, each other the end of the one before |
//! | 8 | 4 | content length | bytes, 1 to [`MAX_FRAME_LEN`]; the last ends at the kernel's content length |
//! | 12 | 4 | codec | 0 none, 1 LZ4 block, 2 zstd |
//! | 16 | 8 | stored offset | bytes; the first is the kernel's stored offset, each other the end of the one before |
//! | 24 | 4 | stored length | bytes, 1 to [`max_stored_len`]; codec none: equal to the content length |
//! | 28 | 4 | reserved | |
//! | 32 | 32 | BLAKE3 | of the stored bytes, checked before anything decodes them |
//!
//! A zstd frame is one frame of RFC 8878 of a single segment, which makes the content its window, with a content size, a
//! checksum, no dictionary, and at most [`MAX_BLOCKS`] blocks: `zstd -d` over the kernel's stored bytes gives the ELF file. A reader
//! need not compare the checksum, which is of what the BLAKE3 names already. An LZ4 frame is one bare block, whose decoded size
//! is the content length, and which ends as lz4's `doc/lz4_Block_format.md` wants it.
//!
//! Frames are cut at least at the start and the end of every loadable segment's bytes in the file, and of the symbol
//! and string tables of a kernel that asks for them: a frame lies wholly within, or wholly outside of, each. They are
//! also cut at the start and the end of all else that a loader looks at before it places anything (ELF header, program
//! headers, notes, section headers and names, `__xen_guest`): the frames that hold a byte of one of these have together
//! at most 256 KiB of content. They are decoded where they are looked at, again where something else was looked at in between.
//! A reader may refuse a kernel that takes more than [`MAX_HEAD_WORK`] of this.
//!
//! # Allowed-argument entry (8 bytes)
//!
//! | offset in entry | size | field | unit, bound |
//! |---|---|---|---|
//! | 0 | 4 | offset | from the start of the strings |
//! | 4 | 4 | length | bytes of UTF-8, 1 to [`MAX_NAME_LEN`]; a pattern of [`crate::cmdline::matches`] |

mod decode;
#[cfg(any(test, feature = "std"))]
mod encode;
mod error;
mod header;
mod rules;
#[cfg(test)]
mod tests;
mod wire;
mod zstd;

pub use decode::{Frame, Manifest, Member};
#[cfg(any(test, feature = "std"))]
pub use encode::{EncodedFrame, EncodedKernel, EncodedModule, PackContent, put_signature};
pub use error::{FormatError, Part};
pub use wire::{Codec, HEADER_LEN, MemberKind, SignatureAlgorithm, SignatureSlot};
pub use zstd::{MAX_BLOCKS, zstd_blocks};

/// The first eight bytes of every pack. No archive, compressor, ELF or boot image begins with them, so no toolstack
/// takes a pack for something to unwrap. The last two tell a transfer that rewrote line ends.
pub const MAGIC: [u8; 8] = *b"mstrap\r\n";

/// The version that this code reads and writes. Any other is refused.
pub const VERSION: u32 = 1;

/// Upper bound of `pack_len`: 64 GiB, far above any kernel and any ramdisk; keeps sums in 64 bits.
pub const MAX_PACK_LEN: u64 = 64 << 30;

/// Upper bound of `member_count`: a kernel, a command line, and 62 modules. PVH start_info's readers take one or two.
pub const MAX_MEMBERS: u32 = 64;

/// Upper bound of `frame_count`: enough for [`MAX_KERNEL_LEN`] and as many cuts again; keeps the manifest, of which
/// stage0 makes a copy, below 160 KiB.
pub const MAX_FRAMES: u32 = 2048;

/// Upper bound of `allowed_count`.
pub const MAX_ALLOWED: u32 = 64;

/// Upper bound of `strings_len`, bytes: room for every name and pattern at a usual length.
pub const MAX_STRINGS_LEN: u32 = 16 << 10;

/// Upper bound of a name and of an allowed-argument pattern, bytes.
pub const MAX_NAME_LEN: u32 = 255;

/// Upper bound of the kernel's content, bytes: 2 GiB, what a kernel model's 32-bit signed displacements reach.
pub const MAX_KERNEL_LEN: u64 = 2 << 30;

/// Upper bound of a command line in a pack, bytes: Linux takes 2048 on x86, PV start_info 1023; others have no bound.
pub const MAX_CMDLINE_LEN: u64 = 4095;

/// Upper bound of a frame's content, bytes: what is decoded at a time, by as many threads as pack has.
pub const MAX_FRAME_LEN: u32 = 2 << 20;

/// Upper bound of what is decoded before anything is placed: the content's bytes of each frame, each time that it is decoded, and 4 KiB
/// for each of its zstd blocks. A Linux of today takes less than 64 KiB. A block's tables alone can take as long as 4 KiB of content.
pub const MAX_HEAD_WORK: u64 = 4 << 20;
/// What a zstd block counts there, besides its content; a frame of another codec is one block.
const BLOCK_WORK: u64 = 4096;

/// Upper bound of a frame's stored bytes: its content, and what a codec adds to incompressible bytes (zstd: 1/256, and at most 64
/// for a short one, ZSTD_COMPRESSBOUND; LZ4: 1/255 and 16).
pub const fn max_stored_len(content_len: u32) -> u64 {
    content_len as u64 + content_len as u64 / 255 + 64
}

/// Upper bound of `manifest_len`, bytes; follows from the bounds of its parts.
pub const MAX_MANIFEST_LEN: u64 =
    256 + 128 * MAX_MEMBERS as u64 + 64 * MAX_FRAMES as u64 + 8 * MAX_ALLOWED as u64 + MAX_STRINGS_LEN as u64;
