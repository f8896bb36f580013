//! Exceptions: none is expected, each is reported.

use core::cell::UnsafeCell;

use crate::{end, entry, report};

const VECTORS: usize = 32;
/// Present, level 0, 64-bit interrupt gate (Intel SDM volume 3, figure 6-8).
const INTERRUPT_GATE: u128 = 0x8e << 40;

struct Idt(UnsafeCell<[u128; VECTORS]>);
// SAFETY: only `catch_all` touches it, once, on the one CPU.
unsafe impl Sync for Idt {}
static IDT: Idt = Idt(UnsafeCell::new([0; VECTORS]));

unsafe extern "C" {
    safe fn probe_exception();
}

/// Points every vector to the entry's `probe_exception`.
pub(crate) fn catch_all() {
    let handler = probe_exception as *const () as u128;
    let gate = handler & 0xffff
        | u128::from(entry::CODE) << 16
        | INTERRUPT_GATE
        | (handler >> 16 & 0xffff) << 48
        | (handler >> 32 & 0xffff_ffff) << 64;
    let mut register = [0; 10];
    register[..2].copy_from_slice(&((size_of::<[u128; VECTORS]>() - 1) as u16).to_le_bytes());
    register[2..].copy_from_slice(&(IDT.0.get() as u64).to_le_bytes());
    // SAFETY: 1. nothing else refers to the table; 2. its gates name code that is always mapped and never returns;
    // 3. the register's value is the table's place and limit.
    unsafe {
        *IDT.0.get() = [gate; VECTORS];
        core::arch::asm!("lidt [{}]", in(reg) &raw const register, options(readonly, nostack, preserves_flags));
    }
}

/// Called by the entry's `probe_exception` with the stack as the CPU left it: an error code or not, RIP, CS, ...
pub(crate) extern "C" fn report(stack: *const u64, cr2: u64) -> ! {
    // SAFETY: the CPU pushed at least five words onto the probe's stack.
    let words = unsafe { [*stack, *stack.add(1)] };
    report::check(false, "exception", format_args!("top of stack {:#x} {:#x}, CR2 {cr2:#x}", words[0], words[1]));
    end::end()
}

#[panic_handler]
fn panic(panic: &core::panic::PanicInfo<'_>) -> ! {
    report::check(false, "panic", format_args!("{panic}"));
    end::end()
}
