//! Xen's services in a PVH domain. No hypercall page is set up: that would leave a trace (the width of the guest that
//! Xen remembers), and the instruction itself does as well.

use core::arch::asm;
use core::arch::x86_64::__cpuid;

use shared::memory::MAX_REGIONS;
use shared::xen::{
    CPUID_FIRST, CPUID_LAST, CPUID_SIGNATURE, CPUID_STEP, E820Entry, HYPERVISOR_MEMORY_OP, HYPERVISOR_SCHED_OP,
    HvmMemmapEntry, MemoryMapRequest, SCHEDOP_SHUTDOWN, SHUTDOWN_CRASH, XENMEM_MEMORY_MAP,
};

use super::handed::Memmap;

/// "AuthenticAMD" and "HygonGenuine" in EBX: processors whose hypercall instruction is VMMCALL.
const VMMCALL_VENDORS: [u32; 2] = [0x6874_7541, 0x6f67_7948];

/// The Xen under which this domain runs.
#[derive(Clone, Copy, Debug)]
pub struct Xen {
    vmmcall: bool,
}

impl Xen {
    /// Looks for Xen's CPUID leaves, as Linux does.
    pub fn find() -> Option<Self> {
        let mut leaf = CPUID_FIRST;
        while leaf <= CPUID_LAST {
            let found = __cpuid(leaf);
            if [found.ebx, found.ecx, found.edx] == CPUID_SIGNATURE && found.eax.wrapping_sub(leaf) >= 2 {
                return Some(Self { vmmcall: VMMCALL_VENDORS.contains(&__cpuid(0).ebx) });
            }
            leaf += CPUID_STEP;
        }
        None
    }

    /// A hypercall with two arguments.
    ///
    /// # Safety
    /// What the arguments point to is as the hypercall wants it, and it does nothing to memory that Rust code holds.
    unsafe fn hypercall(self, number: u64, first: u64, second: u64) -> i64 {
        let mut result = number;
        // SAFETY: there is a Xen (found by CPUID), and it is called as public/arch-x86/xen-x86_64.h says for an HVM
        // domain: RAX the number, RDI, RSI the arguments, which it may destroy.
        unsafe {
            if self.vmmcall {
                asm!("vmmcall", inout("rax") result, inout("rdi") first => _, inout("rsi") second => _);
            } else {
                asm!("vmcall", inout("rax") result, inout("rdi") first => _, inout("rsi") second => _);
            }
        }
        result.cast_signed()
    }

    /// Asks for the domain's memory map; false if Xen does not tell.
    pub fn memory_map(self, memmap: &mut Memmap) -> bool {
        let mut entries = [E820Entry::default(); MAX_REGIONS];
        let mut request =
            MemoryMapRequest { nr_entries: MAX_REGIONS as u32, buffer: (&raw mut entries).expose_provenance() as u64 };
        let request_address = (&raw mut request).expose_provenance() as u64;
        // SAFETY: `request` and the entries it points to are writable, as many as it says, and live until it returns.
        let result = unsafe { self.hypercall(HYPERVISOR_MEMORY_OP, XENMEM_MEMORY_MAP, request_address) };
        // SAFETY: `request` is a live variable that the hypercall may have written.
        let found = unsafe { (&raw const request.nr_entries).read_volatile() } as usize;
        if result != 0 {
            return false;
        }
        memmap.clear();
        for entry in entries.iter().take(found) {
            let (addr, size) = (entry.addr, entry.size);
            let entry = HvmMemmapEntry { addr, size, kind: entry.kind, reserved: 0.into() };
            if memmap.push(entry).is_err() {
                return false;
            }
        }
        !memmap.is_empty()
    }

    /// Ends the domain as crashed.
    pub fn crash(self) {
        let reason = SHUTDOWN_CRASH;
        let reason_address = (&raw const reason).expose_provenance() as u64;
        // SAFETY: `reason` is what the hypercall reads: one 32-bit number (struct sched_shutdown).
        unsafe { self.hypercall(HYPERVISOR_SCHED_OP, SCHEDOP_SHUTDOWN, reason_address) };
    }
}
