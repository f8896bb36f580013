//! The end of the probe, wherever it runs.

use shared::xen::{HYPERVISOR_SCHED_OP, SCHEDOP_SHUTDOWN, SHUTDOWN_CRASH, SHUTDOWN_POWEROFF};

use crate::call::{call, is_xen};
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

/// SCHEDOP_shutdown. Comes back only where there is no such hypercall.
fn shut_down(reason: u32) {
    let argument = &raw const reason as u64;
    // SAFETY: this is a Xen domain; the argument is a sched_shutdown in mapped memory.
    unsafe { call(HYPERVISOR_SCHED_OP, [SCHEDOP_SHUTDOWN, argument, 0, 0]) };
}
