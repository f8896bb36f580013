//! What a 64-bit PV domain is started with, and what it asks of Xen (public/xen.h, public/arch-x86/xen.h).

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `struct start_info` of a 64-bit domain.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StartInfo {
    /// "xen-VERSION-PLATFORM".
    pub magic: [u8; 32],
    /// Frames of the domain.
    pub nr_pages: U64,
    /// Machine address of `shared_info`.
    pub shared_info: U64,
    /// `SIF_*`.
    pub flags: U32,
    /// Fills up to 8 bytes.
    pub reserved: U32,
    /// Machine frame of the xenstore ring.
    pub store_mfn: U64,
    /// Its event channel.
    pub store_evtchn: U32,
    /// Fills up to 8 bytes.
    pub reserved2: U32,
    /// Of a domU: machine frame of the console ring. Of the initial domain: offset and length of what follows this struct.
    pub console: U64,
    /// The console's event channel.
    pub console_evtchn: U32,
    /// Fills up to 8 bytes.
    pub reserved3: U32,
    /// Virtual address of the top page table.
    pub pt_base: U64,
    /// Frames of page tables.
    pub nr_pt_frames: U64,
    /// Virtual address of the list of frames.
    pub mfn_list: U64,
    /// Virtual address of the module; with [`SIF_MOD_START_PFN`] its frame.
    pub mod_start: U64,
    /// Its length, bytes.
    pub mod_len: U64,
    /// The command line, up to its NUL.
    pub cmd_line: [u8; MAX_PV_CMDLINE + 1],
    /// First frame of the list of frames, where it is not in the initial mapping.
    pub first_p2m_pfn: U64,
    /// Its frames, with those of its page tables.
    pub nr_p2m_frames: U64,
}

const _: () = assert!(size_of::<StartInfo>() == 0x490);

/// Most bytes of a PV kernel's command line, without its NUL (`MAX_GUEST_CMDLINE`).
pub const MAX_PV_CMDLINE: usize = 1023;

/// What [`StartInfo::magic`] begins with.
pub const PV_MAGIC: &[u8] = b"xen-3.";

/// The initial domain: its console is Xen's own (`SIF_INITDOMAIN`).
pub const SIF_INITDOMAIN: u32 = 1 << 1;
/// `mod_start` is a frame: the module is not mapped.
pub const SIF_MOD_START_PFN: u32 = 1 << 3;
/// The list of frames is mapped for tools too: set by libxenguest, and not by Xen's dom0 builder.
pub const SIF_VIRT_P2M_4TOOLS: u32 = 1 << 4;

/// A list entry that stands for no frame.
pub const INVALID_P2M_ENTRY: u64 = u64::MAX;

/// `__HYPERVISOR_set_trap_table`.
pub const HYPERVISOR_SET_TRAP_TABLE: u64 = 0;
/// `__HYPERVISOR_mmu_update`.
pub const HYPERVISOR_MMU_UPDATE: u64 = 1;
/// `__HYPERVISOR_stack_switch`.
pub const HYPERVISOR_STACK_SWITCH: u64 = 3;
/// `__HYPERVISOR_update_va_mapping`.
pub const HYPERVISOR_UPDATE_VA_MAPPING: u64 = 14;
/// `__HYPERVISOR_console_io`.
pub const HYPERVISOR_CONSOLE_IO: u64 = 18;
/// `__HYPERVISOR_mmuext_op`.
pub const HYPERVISOR_MMUEXT_OP: u64 = 26;
/// `__HYPERVISOR_event_channel_op`.
pub const HYPERVISOR_EVENT_CHANNEL_OP: u64 = 32;
/// `__HYPERVISOR_hvm_op`.
pub const HYPERVISOR_HVM_OP: u64 = 34;

/// `CONSOLEIO_write`.
pub const CONSOLEIO_WRITE: u64 = 0;
/// `EVTCHNOP_send`.
pub const EVTCHNOP_SEND: u64 = 4;
/// `SCHEDOP_yield`.
pub const SCHEDOP_YIELD: u64 = 0;

/// `MMU_MACHPHYS_UPDATE`, in the low bits of an update's address.
pub const MMU_MACHPHYS_UPDATE: u64 = 1;
/// `UVMF_INVLPG`: the one address leaves this vCPU's TLB.
pub const UVMF_INVLPG: u64 = 2;
/// `MMUEXT_PIN_L4_TABLE`.
pub const MMUEXT_PIN_L4_TABLE: u32 = 3;
/// `MMUEXT_UNPIN_TABLE`.
pub const MMUEXT_UNPIN_TABLE: u32 = 4;
/// `MMUEXT_NEW_BASEPTR`.
pub const MMUEXT_NEW_BASEPTR: u32 = 5;
/// `MMUEXT_TLB_FLUSH_LOCAL`.
pub const MMUEXT_TLB_FLUSH_LOCAL: u32 = 6;

/// `struct mmu_update`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MmuUpdate {
    /// Machine address of the entry, or of the frame, and the kind of update.
    pub ptr: u64,
    /// What is written.
    pub val: u64,
}

/// `struct mmuext_op` of an operation on one machine frame.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MmuextOp {
    /// `MMUEXT_*`.
    pub cmd: u32,
    /// Fills up to 8 bytes.
    pub reserved: u32,
    /// The frame.
    pub mfn: u64,
    /// Unused by these operations.
    pub arg2: u64,
}

/// `struct trap_info`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TrapInfo {
    /// The exception's vector.
    pub vector: u8,
    /// Lowest privilege that may raise it, and whether events are masked (bit 2).
    pub flags: u8,
    /// Code segment.
    pub cs: u16,
    /// The handler; 0 ends a table.
    pub address: u64,
}

const _: () = assert!(size_of::<TrapInfo>() == 16 && size_of::<MmuextOp>() == 24);

/// `FLAT_KERNEL_CS64`.
pub const FLAT_KERNEL_CS64: u16 = 0xe033;
/// `FLAT_KERNEL_SS64`.
pub const FLAT_KERNEL_SS64: u64 = 0xe02b;

/// Bytes that a guest writes to its console ring (public/io/console.h, `struct xencons_interface`).
pub const CONSOLE_OUT_LEN: u32 = 2048;
/// Offset of these bytes in the ring's page.
pub const CONSOLE_OUT: usize = 1024;
/// Offset of `out_cons`, which the backend moves on; `out_prod`, which the guest moves on, follows.
pub const CONSOLE_OUT_CONS: usize = 3080;
/// Offset of `out_prod`.
pub const CONSOLE_OUT_PROD: usize = 3084;
