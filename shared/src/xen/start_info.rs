//! What a PVH domain is started with (Xen's public/arch-x86/hvm/start_info.h). Builders align these structures to 4
//! bytes only, so they are read unaligned.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `HVM_START_MAGIC_VALUE`.
pub const START_INFO_MAGIC: u32 = 0x336e_c578;

/// `struct hvm_start_info`, version 1. Version 0 ends behind `rsdp_paddr`. An address of 0 means that there is none.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HvmStartInfo {
    /// [`START_INFO_MAGIC`].
    pub magic: U32,
    /// 0 or 1; higher ones only add fields behind.
    pub version: U32,
    /// `SIF_*` of public/xen.h.
    pub flags: U32,
    /// Entries of the module list.
    pub nr_modules: U32,
    /// Of [`HvmModlistEntry`]s.
    pub modlist_paddr: U64,
    /// Of a text that ends with NUL.
    pub cmdline_paddr: U64,
    /// ACPI's root pointer.
    pub rsdp_paddr: U64,
    /// Of [`HvmMemmapEntry`]s.
    pub memmap_paddr: U64,
    /// How many of them.
    pub memmap_entries: U32,
    /// 0.
    pub reserved: U32,
}

impl HvmStartInfo {
    /// The version that has these fields, and no others.
    pub const VERSION: u32 = 1;
    /// Bytes of version 0.
    pub const VERSION_0_LEN: usize = core::mem::offset_of!(Self, memmap_paddr);
}

/// `struct hvm_modlist_entry`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HvmModlistEntry {
    /// First byte.
    pub paddr: U64,
    /// Bytes.
    pub size: U64,
    /// Of a text that ends with NUL.
    pub cmdline_paddr: U64,
    /// 0.
    pub reserved: U64,
}

/// `XEN_HVM_MEMMAP_TYPE_RAM`.
pub const MEMMAP_RAM: u32 = 1;
/// `XEN_HVM_MEMMAP_TYPE_RESERVED`.
pub const MEMMAP_RESERVED: u32 = 2;

/// `struct hvm_memmap_table_entry`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HvmMemmapEntry {
    /// First byte.
    pub addr: U64,
    /// Bytes.
    pub size: U64,
    /// `XEN_HVM_MEMMAP_TYPE_*`, for example [`MEMMAP_RAM`].
    pub kind: U32,
    /// 0.
    pub reserved: U32,
}

/// An E820 entry, as `XENMEM_memory_map` writes it: packed (xen/include/asm-x86/e820.h).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct E820Entry {
    /// First byte.
    pub addr: U64,
    /// Bytes.
    pub size: U64,
    /// 1 is RAM.
    pub kind: U32,
}

const _: () = assert!(size_of::<HvmStartInfo>() == 56 && HvmStartInfo::VERSION_0_LEN == 40);
const _: () = assert!(size_of::<HvmModlistEntry>() == 32);
const _: () = assert!(size_of::<HvmMemmapEntry>() == 24);
const _: () = assert!(size_of::<E820Entry>() == 20);
