//! Lines on COM1 and port 0xE9.

use core::fmt::{self, Arguments, Write};

const COM1: u16 = 0x3f8;
const LINE_STATUS: u16 = COM1 + 5;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// How often the line status is read before a byte is written anyway: where there is no COM1 nothing ever changes.
const PATIENCE: u32 = 10_000;
/// XEN_HVM_DEBUGCONS_IOPORT of Xen's public/hvm/hvm_op.h, QEMU's `isa-debugcon` too.
const DEBUG_CONSOLE: u16 = 0xe9;

struct Ports;

impl Write for Ports {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let ready = |_: &u32| inb(LINE_STATUS) & TRANSMITTER_EMPTY != 0;
            let _ = (0..PATIENCE).find(ready);
            outb(COM1, byte);
            outb(DEBUG_CONSOLE, byte);
        }
        Ok(())
    }
}

/// Reads one byte from an I/O port.
fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: the one port read so is COM1's line status, whose reading changes nothing that memory holds.
    unsafe { core::arch::asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes one byte to an I/O port.
pub(crate) fn outb(port: u16, value: u8) {
    // SAFETY: the ports written so are COM1, the debug console and isa-debug-exit: none changes memory.
    unsafe { core::arch::asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

/// One line. Writing to the ports cannot fail.
pub(crate) fn line(text: Arguments<'_>) {
    let _ = Ports.write_fmt(format_args!("{text}\n"));
}
