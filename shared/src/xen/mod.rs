//! Xen's wire structs and numbers. Facts come from Xen's public headers, named at each item.

mod hypercall;
pub mod pv;
mod start_info;

pub use hypercall::{
    AddToPhysmap, CPUID_FIRST, CPUID_LAST, CPUID_SIGNATURE, CPUID_STEP, DOMID_SELF, HVM_PARAM_CONSOLE_EVTCHN,
    HVM_PARAM_CONSOLE_PFN, HVMOP_GET_PARAM, HYPERVISOR_MEMORY_OP, HYPERVISOR_SCHED_OP, HvmParam, MemoryMapRequest,
    RemoveFromPhysmap, SCHEDOP_SHUTDOWN, SHUTDOWN_CRASH, SHUTDOWN_POWEROFF, XENMAPSPACE_SHARED_INFO,
    XENMEM_ADD_TO_PHYSMAP, XENMEM_MEMORY_MAP, XENMEM_REMOVE_FROM_PHYSMAP,
};
pub use start_info::{
    E820Entry, HvmMemmapEntry, HvmModlistEntry, HvmStartInfo, MEMMAP_RAM, MEMMAP_RESERVED, START_INFO_MAGIC,
};
