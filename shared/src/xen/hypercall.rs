//! Numbers of hypercalls, and what they are given.

/// First CPUID leaf at which a hypervisor may announce itself (public/arch-x86/cpuid.h: `XEN_CPUID_FIRST_LEAF`).
pub const CPUID_FIRST: u32 = 0x4000_0000;
/// Last such leaf.
pub const CPUID_LAST: u32 = 0x4000_ff00;
/// Distance between two such leaves.
pub const CPUID_STEP: u32 = 0x100;
/// "XenVMMXenVMM" in EBX, ECX, EDX.
pub const CPUID_SIGNATURE: [u32; 3] = [0x566e_6558, 0x6558_4d4d, 0x4d4d_566e];

/// The calling domain itself (public/xen.h: `DOMID_SELF`).
pub const DOMID_SELF: u16 = 0x7ff0;

/// `__HYPERVISOR_memory_op` (public/xen.h).
pub const HYPERVISOR_MEMORY_OP: u64 = 12;
/// `__HYPERVISOR_sched_op`.
pub const HYPERVISOR_SCHED_OP: u64 = 29;

/// `XENMEM_memory_map` (public/memory.h).
pub const XENMEM_MEMORY_MAP: u64 = 9;

/// `XENMEM_add_to_physmap`.
pub const XENMEM_ADD_TO_PHYSMAP: u64 = 7;
/// `XENMAPSPACE_shared_info`.
pub const XENMAPSPACE_SHARED_INFO: u32 = 0;
/// `XENMEM_remove_from_physmap`.
pub const XENMEM_REMOVE_FROM_PHYSMAP: u64 = 15;

/// `SCHEDOP_shutdown` (public/sched.h), with one of the reasons below.
pub const SCHEDOP_SHUTDOWN: u64 = 2;
/// The domain ended itself.
pub const SHUTDOWN_POWEROFF: u32 = 0;
/// The domain tells that it failed.
pub const SHUTDOWN_CRASH: u32 = 3;

/// `struct xen_memory_map` of a 64-bit caller: how many entries fit, and where they go.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MemoryMapRequest {
    /// Entries that fit; on return, entries that there are.
    pub nr_entries: u32,
    /// Virtual address of the entries.
    pub buffer: u64,
}

/// `struct xen_add_to_physmap` of a 64-bit caller.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AddToPhysmap {
    /// Whose.
    pub domid: u16,
    /// Unused for one page.
    pub size: u16,
    /// `XENMAPSPACE_*`.
    pub space: u32,
    /// Which page of it.
    pub index: u64,
    /// The frame that it becomes.
    pub frame: u64,
}

/// `struct xen_remove_from_physmap` of a 64-bit caller.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RemoveFromPhysmap {
    /// Whose.
    pub domid: u16,
    /// The frame.
    pub frame: u64,
}

const _: () = assert!(size_of::<AddToPhysmap>() == 24 && size_of::<RemoveFromPhysmap>() == 16);

/// `HVMOP_get_param` (public/hvm/hvm_op.h).
pub const HVMOP_GET_PARAM: u64 = 1;
/// `HVM_PARAM_CONSOLE_PFN` (public/hvm/params.h).
pub const HVM_PARAM_CONSOLE_PFN: u32 = 17;
/// `HVM_PARAM_CONSOLE_EVTCHN`.
pub const HVM_PARAM_CONSOLE_EVTCHN: u32 = 18;

/// `struct xen_hvm_param`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HvmParam {
    /// Whose.
    pub domid: u16,
    /// Fills up to 4 bytes.
    pub reserved: u16,
    /// Which.
    pub index: u32,
    /// Its value.
    pub value: u64,
}

impl HvmParam {
    /// To ask for one of the calling domain's.
    pub const fn own(index: u32) -> Self {
        Self { domid: DOMID_SELF, reserved: 0, index, value: 0 }
    }
}
