//! Xen's services, in whichever way this kind of domain asks for them. No hypercall page is set up: that would leave a
//! trace (the width of the guest that Xen remembers), and the instruction itself does as well.

use core::arch::asm;
use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use shared::memory::MAX_REGIONS;
use shared::xen::pv::{
    CONSOLEIO_WRITE, EVTCHNOP_SEND, HYPERVISOR_CONSOLE_IO, HYPERVISOR_EVENT_CHANNEL_OP, HYPERVISOR_HVM_OP,
    SCHEDOP_YIELD,
};
use shared::xen::{
    AddToPhysmap, CPUID_FIRST, CPUID_LAST, CPUID_SIGNATURE, CPUID_STEP, DOMID_SELF, E820Entry, HVMOP_GET_PARAM,
    HYPERVISOR_MEMORY_OP, HYPERVISOR_SCHED_OP, HvmMemmapEntry, HvmParam, MemoryMapRequest, RemoveFromPhysmap,
    SCHEDOP_SHUTDOWN, SHUTDOWN_CRASH, XENMAPSPACE_SHARED_INFO, XENMEM_ADD_TO_PHYSMAP, XENMEM_MEMORY_MAP,
    XENMEM_REMOVE_FROM_PHYSMAP,
};

use super::handed::Memmap;

/// "AuthenticAMD" and "HygonGenuine" in EBX: processors whose hypercall instruction is VMMCALL.
const VMMCALL_VENDORS: [u32; 2] = [0x6874_7541, 0x6f67_7948];

/// The Xen under which this domain runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Xen {
    /// Asked by VMCALL.
    Vmcall = 1,
    /// Asked by VMMCALL.
    Vmmcall,
    /// Asked by SYSCALL, from a PV domain.
    Syscall,
}

/// What was found, as a number; 0 before anyone looked, and where there is none.
static FOUND: AtomicU8 = AtomicU8::new(0);

impl Xen {
    /// Notes that this is a PV domain.
    ///
    /// # Safety
    /// It is one: Xen is asked by SYSCALL from now on.
    pub unsafe fn set_pv() {
        FOUND.store(Self::Syscall as u8, Relaxed);
    }

    /// Looks for Xen's CPUID leaves, as Linux does, unless it is known.
    pub fn find() -> Option<Self> {
        match FOUND.load(Relaxed) {
            1 => return Some(Self::Vmcall),
            2 => return Some(Self::Vmmcall),
            3 => return Some(Self::Syscall),
            _ => {}
        }
        let mut leaf = CPUID_FIRST;
        while leaf <= CPUID_LAST {
            let found = __cpuid(leaf);
            if [found.ebx, found.ecx, found.edx] == CPUID_SIGNATURE && found.eax.wrapping_sub(leaf) >= 2 {
                let vmmcall = VMMCALL_VENDORS.contains(&__cpuid(0).ebx);
                let xen = if vmmcall { Self::Vmmcall } else { Self::Vmcall };
                FOUND.store(xen as u8, Relaxed);
                return Some(xen);
            }
            leaf += CPUID_STEP;
        }
        None
    }

    /// A hypercall with up to four arguments.
    ///
    /// # Safety
    /// What the arguments point to is as the hypercall wants it, and it does nothing to memory that Rust code holds.
    pub unsafe fn call(self, number: u64, arguments: [u64; 4]) -> i64 {
        let mut result = number;
        let [first, second, third, fourth] = arguments;
        macro_rules! call {
            ($instruction:literal) => {
                // SAFETY: there is a Xen that is asked in this way (`find`, `set_pv`), and it is called as
                // public/arch-x86/xen-x86_64.h says: RAX the number, RDI, RSI, RDX, R10 the arguments, which it may
                // destroy; SYSCALL destroys RCX and R11 too.
                unsafe {
                    asm!(
                        $instruction,
                        inout("rax") result,
                        inout("rdi") first => _,
                        inout("rsi") second => _,
                        inout("rdx") third => _,
                        inout("r10") fourth => _,
                        out("rcx") _,
                        out("r11") _,
                        options(nostack)
                    )
                }
            };
        }
        match self {
            Self::Vmcall => call!("vmcall"),
            Self::Vmmcall => call!("vmmcall"),
            Self::Syscall => call!("syscall"),
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
        let result = unsafe { self.call(HYPERVISOR_MEMORY_OP, [XENMEM_MEMORY_MAP, request_address, 0, 0]) };
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

    /// A parameter of an HVM domain, or `None` if Xen does not tell.
    pub fn hvm_param(self, index: u32) -> Option<u64> {
        let mut param = HvmParam::own(index);
        let address = (&raw mut param).expose_provenance() as u64;
        // SAFETY: `param` is writable and lives until the hypercall returns.
        let result = unsafe { self.call(HYPERVISOR_HVM_OP, [HVMOP_GET_PARAM, address, 0, 0]) };
        // SAFETY: `param` is a live variable that the hypercall may have written.
        let value = unsafe { (&raw const param.value).read_volatile() };
        (result == 0).then_some(value)
    }

    /// Puts `shared_info` at a frame of a PVH domain's that has no memory; false if Xen does not.
    pub fn show_shared_info(self, frame: u64) -> bool {
        let place = AddToPhysmap { domid: DOMID_SELF, size: 0, space: XENMAPSPACE_SHARED_INFO, index: 0, frame };
        let address = (&raw const place).expose_provenance() as u64;
        // SAFETY: the hypercall reads `place`; no Rust code has memory at the frame.
        unsafe { self.call(HYPERVISOR_MEMORY_OP, [XENMEM_ADD_TO_PHYSMAP, address, 0, 0]) == 0 }
    }

    /// Takes away again what was put at a frame.
    pub fn hide(self, frame: u64) {
        let place = RemoveFromPhysmap { domid: DOMID_SELF, frame };
        let address = (&raw const place).expose_provenance() as u64;
        // SAFETY: the hypercall reads `place`; no Rust code has memory at the frame.
        unsafe { self.call(HYPERVISOR_MEMORY_OP, [XENMEM_REMOVE_FROM_PHYSMAP, address, 0, 0]) };
    }

    /// Writes to Xen's own console: the initial domain's.
    pub fn console_write(self, text: &[u8]) {
        // SAFETY: the hypercall reads `text`.
        unsafe {
            self.call(
                HYPERVISOR_CONSOLE_IO,
                [CONSOLEIO_WRITE, text.len() as u64, text.as_ptr().expose_provenance() as u64, 0],
            )
        };
    }

    /// Tells the other end of an event channel.
    pub fn notify(self, port: u32) {
        let address = (&raw const port).expose_provenance() as u64;
        // SAFETY: the hypercall reads `port` (struct evtchn_send).
        unsafe { self.call(HYPERVISOR_EVENT_CHANNEL_OP, [EVTCHNOP_SEND, address, 0, 0]) };
    }

    /// Lets other domains run.
    pub fn yield_now(self) {
        // SAFETY: the hypercall touches no memory.
        unsafe { self.call(HYPERVISOR_SCHED_OP, [SCHEDOP_YIELD, 0, 0, 0]) };
    }

    /// Ends the domain as crashed.
    pub fn crash(self) {
        let reason = SHUTDOWN_CRASH;
        let reason_address = (&raw const reason).expose_provenance() as u64;
        // SAFETY: `reason` is what the hypercall reads: one 32-bit number (struct sched_shutdown).
        unsafe { self.call(HYPERVISOR_SCHED_OP, [SCHEDOP_SHUTDOWN, reason_address, 0, 0]) };
    }
}
