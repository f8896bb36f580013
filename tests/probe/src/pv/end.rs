//! The end of the probe.

use shared::xen::{SHUTDOWN_CRASH, SHUTDOWN_POWEROFF};

use crate::{console, hypercall, report};

/// QEMU's `-device isa-debug-exit,iobase=0xf4`.
const DEBUG_EXIT: u16 = 0xf4;

/// The last line, and the end of the domain, or of the machine where this domain is the initial one.
pub(crate) fn end(is_initial: bool) -> ! {
    let failures = report::end();
    console::flush();
    if is_initial {
        hypercall::set_iopl();
        let value = if failures == 0 { probe::EXIT_OK } else { probe::EXIT_NOT_OK };
        // SAFETY: the port is isa-debug-exit, which changes no memory; the domain was let use ports.
        unsafe { core::arch::asm!("out dx, al", in("dx") DEBUG_EXIT, in("al") value, options(nomem, nostack)) };
    }
    hypercall::shut_down(if failures == 0 { SHUTDOWN_POWEROFF } else { SHUTDOWN_CRASH });
    loop {
        hypercall::yield_now();
    }
}

#[panic_handler]
fn panic(panic: &core::panic::PanicInfo<'_>) -> ! {
    report::check(false, "panic", format_args!("{panic}"));
    end(false)
}
