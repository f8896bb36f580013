//! Every console that a domain may have: the ring that the toolstack reads; Xen's own, for the initial domain; COM1 and the
//! debug port 0xE9 (Xen's log; QEMU's isa-debugcon) outside PV domains.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use x86::io::{inb, outb};

use super::{ring, xen::Xen};

/// The first serial port's data register (IBM PC).
pub(crate) const COM1: u16 = 0x3f8;
/// Its line status register, and the bit that says that it takes a byte (16550 data sheet: THRE).
pub(crate) const COM1_STATUS: u16 = COM1 + 5;
pub(crate) const READY: u8 = 1 << 5;
/// Reads of the status before a port counts as deaf. At 115200 baud a byte takes 87 microseconds.
pub(crate) const PATIENCE: u32 = 100_000;
/// The debug port (Xen's public/arch-x86/hvm: XEN_HVM_DEBUGCONS_IOPORT).
pub(crate) const DEBUG_PORT: u16 = 0xe9;

/// Whether COM1 has stopped taking bytes, or is not there.
static COM1_DEAF: AtomicBool = AtomicBool::new(false);

/// All consoles at once.
#[derive(Clone, Copy, Debug)]
pub struct Console;

impl Console {
    fn put(byte: u8) {
        // SAFETY: 1. the port is a console's where there is one, and nothing listens where there is none: Xen's HVM ABI
        // and QEMU's isa-debugcon give it no other use; 2. no memory is touched.
        unsafe { outb(DEBUG_PORT, byte) };
        if COM1_DEAF.load(Relaxed) {
            return;
        }
        for _ in 0..PATIENCE {
            // SAFETY: reading a serial port's line status touches no memory.
            let status = unsafe { inb(COM1_STATUS) };
            if status == 0xff {
                break;
            }
            if status & READY != 0 {
                // SAFETY: writing a serial port's data register touches no memory.
                unsafe { outb(COM1, byte) };
                return;
            }
        }
        COM1_DEAF.store(true, Relaxed);
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(xen) = Xen::find() {
            ring::write(xen, text.as_bytes());
            // Xen takes the text from the initial domain, or if it was built so.
            xen.console_write(text.as_bytes());
            if xen == Xen::Syscall {
                // Ports are not a PV domain's to use.
                return Ok(());
            }
        }
        for byte in text.bytes() {
            if byte == b'\n' {
                Self::put(b'\r');
            }
            Self::put(byte);
        }
        Ok(())
    }
}
