//! The end of a domain whose kernel cannot be started.

use core::arch::asm;

use x86::io::outb;

use super::xen::Xen;
use super::{DEBUG_EXIT_FAILED, ring};

/// QEMU's isa-debug-exit at the place that tests use; nothing on any other PC.
pub(crate) const DEBUG_EXIT_PORT: u16 = 0xf4;

/// Ends the domain: as crashed under Xen, by isa-debug-exit under QEMU, by halting elsewhere.
pub fn failed() -> ! {
    if let Some(xen) = Xen::find() {
        // Who sees that the domain has crashed finds in the console's log why.
        ring::drain(xen);
        xen.crash();
    }
    // SAFETY: writing to the port ends QEMU or does nothing; no memory is touched.
    unsafe { outb(DEBUG_EXIT_PORT, DEBUG_EXIT_FAILED) };
    loop {
        // SAFETY: interrupts stay off, so that the processor stops here.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
