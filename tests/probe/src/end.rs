//! The end of the probe, wherever it runs.

use core::arch::x86_64::__cpuid;

use shared::xen::{
    CPUID_FIRST, CPUID_LAST, CPUID_SIGNATURE, CPUID_STEP, HYPERVISOR_SCHED_OP, SCHEDOP_SHUTDOWN, SHUTDOWN_CRASH,
    SHUTDOWN_POWEROFF,
};

use crate::{console, report};

/// QEMU's `-device isa-debug-exit,iobase=0xf4`.
const DEBUG_EXIT: u16 = 0xf4;

/// The last line, and the end of the machine.
pub(crate) fn end() -> ! {
    let failures = report::end();
    console::outb(DEBUG_EXIT, if failures == 0 { probe::EXIT_OK } else { probe::EXIT_NOT_OK });
    if is_xen() {
        shut_down(if failures == 0 { SHUTDOWN_POWEROFF } else { SHUTDOWN_CRASH });
    }
    loop {
        // SAFETY: halting changes nothing.
        unsafe { core::arch::asm!("hlt", options(nomem, nostack)) };
    }
}

/// Whether a hypervisor announces itself as Xen.
fn is_xen() -> bool {
    (CPUID_FIRST..=CPUID_LAST).step_by(CPUID_STEP as usize).any(|base| {
        let leaf = __cpuid(base);
        [leaf.ebx, leaf.ecx, leaf.edx] == CPUID_SIGNATURE
    })
}

/// SCHEDOP_shutdown. Comes back only where there is no such hypercall.
fn shut_down(reason: u32) {
    let intel = __cpuid(0).ebx == u32::from_le_bytes(*b"Genu");
    let argument = &raw const reason;
    // SAFETY: 1. this is a Xen domain, so the instruction for its vendor is a hypercall; 2. the argument is a
    // sched_shutdown in mapped memory; 3. registers that the hypercall may change are given as clobbered.
    unsafe {
        if intel {
            core::arch::asm!("vmcall", inout("rax") HYPERVISOR_SCHED_OP => _, in("rdi") SCHEDOP_SHUTDOWN, in("rsi") argument);
        } else {
            core::arch::asm!("vmmcall", inout("rax") HYPERVISOR_SCHED_OP => _, in("rdi") SCHEDOP_SHUTDOWN, in("rsi") argument);
        }
    }
}
