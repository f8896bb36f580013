//! What the probe kernel and the host that builds it must agree on.
//!
//! The probe is linked once, at [`IMAGE_VIRT`], and finds out at its entry where in physical memory it lies. The host
//! makes kernels of it: it chooses the place, adds segments, and writes into the image's [`Table`] what the probe then
//! has to find in memory. Modules begin with a [`ModuleHeader`], so that the probe knows them by itself too.
#![no_std]
#![forbid(unsafe_code)]

use twox_hash::XxHash64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Virtual address that the image is linked at and runs at. Also in `probe.ld`, which the entry's use of it would not
/// survive if it differed.
pub const IMAGE_VIRT: u64 = 0xffff_ffff_8000_0000;

/// Bytes of the page that holds the [`Table`], the last of the image's file bytes.
pub const TABLE_PAGE: usize = 4096;

/// Bytes at the end of the PV image's file bytes that the hash leaves out: the hypercall page, which the builder fills, the page
/// in which the entry notes what it finds, and the table.
pub const PV_UNHASHED: usize = 2 * 4096 + TABLE_PAGE;

/// First bytes of a [`Table`] that the host has filled in.
pub const TABLE_MAGIC: [u8; 8] = *b"probetab";

/// First bytes of a [`ModuleHeader`].
pub const MODULE_MAGIC: [u8; 8] = *b"probemod";

/// Most segments that a kernel made of the probe can have, the image among them.
pub const MAX_SEGMENTS: usize = 8;

/// What the probe writes to QEMU's `isa-debug-exit` when every check held; QEMU exits with 2n+1.
pub const EXIT_OK: u8 = 0x28;

/// What the probe writes to QEMU's `isa-debug-exit` when a check did not hold; QEMU exits with 2n+1.
pub const EXIT_NOT_OK: u8 = 0x29;

/// Exit status of a QEMU whose guest wrote `value` to `isa-debug-exit`.
pub const fn exit_status(value: u8) -> i32 {
    value as i32 * 2 + 1
}

/// A segment as it has to lie in memory.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Segment {
    /// Physical address that the ELF names.
    pub paddr: u64,
    /// Bytes of it that come from the file.
    pub file_size: u64,
    /// Bytes of it in memory; those beyond `file_size` are zero.
    pub memory_size: u64,
    /// How many of the file's bytes `hash` covers, from the segment's start. All but for the image, which leaves out
    /// the table.
    pub hashed: u64,
    /// [`hash`] of those.
    pub hash: u64,
}

/// What the host says about the kernel that it made of the probe.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Table {
    /// [`TABLE_MAGIC`].
    pub magic: [u8; 8],
    /// The layout's name, filled up with zeros.
    pub name: [u8; 32],
    /// How many of `segments` there are. The first is the image.
    pub segment_count: u64,
    /// The kernel's segments, in the order of the program headers.
    pub segments: [Segment; MAX_SEGMENTS],
    /// PV: virtual address of pseudo-physical 0.
    pub virt_base: u64,
    /// PV: what the segments' `paddr` exceed pseudo-physical addresses by.
    pub paddr_offset: u64,
    /// PV: 1 if symbols follow the kernel.
    pub symbols: u64,
    /// PV: where each segment is mapped besides; 0 if it is not.
    pub linked: [u64; MAX_SEGMENTS],
    /// [`hash`] of all of the above.
    pub hash: u64,
}

const _: () = assert!(size_of::<Table>() <= TABLE_PAGE);

impl Table {
    /// What [`Table::hash`] has to be.
    pub fn expected_hash(&self) -> u64 {
        let bytes = self.as_bytes();
        hash(&bytes[..bytes.len() - size_of::<u64>()])
    }
}

/// The first bytes of a module that describes itself.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ModuleHeader {
    /// [`MODULE_MAGIC`].
    pub magic: [u8; 8],
    /// Bytes of the whole module, this header included.
    pub size: u64,
    /// [`hash`] of what follows the header.
    pub hash: u64,
}

/// XXH64 with seed 0.
pub fn hash(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// Most segments of a kernel made of the direct protocol's probe, those of the image among them.
pub const MAX_DIRECT_SEGMENTS: usize = 12;

/// A segment that is mapped where it was linked.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DirectSegment {
    /// `p_vaddr`.
    pub virt: u64,
    /// Its place.
    pub phys: u64,
    /// Bytes in memory.
    pub memory_size: u64,
    /// How many of the file's bytes `hash` covers, from the segment's start: all, or none.
    pub hashed: u64,
    /// [`hash`] of those.
    pub hash: u64,
}

/// What the host says about a kernel that is started by the direct protocol.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DirectTable {
    /// The layout's name, filled up with zeros.
    pub name: [u8; 32],
    /// Places of the image's text, constants and data.
    pub places: [u64; 3],
    /// Addresses that fault: when written, when written where they are 1:1, when jumped to.
    pub to_try: [u64; 3],
    /// How many of `segments` there are.
    pub segment_count: u64,
    /// The segments.
    pub segments: [DirectSegment; MAX_DIRECT_SEGMENTS],
}

const _: () = assert!(size_of::<DirectTable>() <= TABLE_PAGE);

impl DirectTable {
    /// The segments that there are.
    pub fn segments(&self) -> &[DirectSegment] {
        let count = usize::try_from(self.segment_count).map_or(0, |count| count.min(MAX_DIRECT_SEGMENTS));
        &self.segments[..count]
    }
}
