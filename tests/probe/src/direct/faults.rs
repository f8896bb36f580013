//! What may not be done, done.

use core::cell::UnsafeCell;

use probe::DirectTable;

use crate::entry::{EFER_NXE, State, Try};
use crate::report::info;

/// The vector of page faults.
const PAGE_FAULT: usize = 14;
/// Present, level 0, 64-bit interrupt gate (Intel SDM volume 3, figure 6-8).
const INTERRUPT_GATE: u128 = 0x8e << 40;
/// Bytes of the stack, and how far below its end a 64-bit kernel's pointer is.
const STACK: u64 = 64 << 10;
const USED: u64 = 24;

struct Idt(UnsafeCell<[u128; PAGE_FAULT + 1]>);
// SAFETY: only `dump` touches it, once, on the one CPU.
unsafe impl Sync for Idt {}
static IDT: Idt = Idt(UnsafeCell::new([0; PAGE_FAULT + 1]));

unsafe extern "C" {
    safe fn probe_page_fault();
    fn probe_try(at: u64, jump: u32) -> u32;
}

/// A write to what cannot be written, at its own address and 1:1; a jump to data; a write below the stack.
pub(crate) fn dump(state: &State, table: &DirectTable) {
    if state.width == 32 {
        // Its entry has done so, in its own mode.
        return state.tries.iter().zip(NAMES).for_each(|(done, name)| print(name, done));
    }
    catch();
    let [own, alias, data] = table.to_try;
    let below = state.stack().wrapping_add(USED).wrapping_sub(STACK + 1);
    let tries = [(own, 0), (alias, 0), (data, 1), (below, 0)];
    for (name, (at, jump)) in NAMES.into_iter().zip(tries) {
        if jump == 1 && state.efer & EFER_NXE == 0 {
            // Data would be executed.
            print(name, &Try { faulted: 0, code: 0, address: 0 });
            continue;
        }
        // SAFETY: what does not fault writes a byte that nobody needs any more, or fails the test by a jump to anything.
        let faulted = unsafe { probe_try(at, jump) };
        // SAFETY: the handler has written it, behind the compiler's back.
        let noted = unsafe { (&raw const state.tries[0]).read_volatile() };
        print(name, &Try { faulted: faulted.into(), ..noted });
    }
}

const NAMES: [&str; 4] = ["write", "write-1:1", "jump", "write-below-stack"];

fn print(name: &str, done: &Try) {
    let (faulted, code, address) = (done.faulted != 0, done.code, done.address);
    info(format_args!("fault.{name}"), format_args!("{faulted} code {code:#x} at {address:#x}"));
}

/// Catches page faults.
fn catch() {
    let handler = probe_page_fault as *const () as u128;
    let selector: u16;
    // SAFETY: reading CS changes nothing.
    unsafe { core::arch::asm!("mov {0:x}, cs", out(reg) selector, options(nomem, nostack, preserves_flags)) };
    let gate = handler & 0xffff
        | u128::from(selector) << 16
        | INTERRUPT_GATE
        | (handler >> 16 & 0xffff) << 48
        | (handler >> 32 & 0xffff_ffff) << 64;
    let mut register = [0; 10];
    register[..2].copy_from_slice(&((size_of::<[u128; PAGE_FAULT + 1]>() - 1) as u16).to_le_bytes());
    register[2..].copy_from_slice(&(IDT.0.get() as u64).to_le_bytes());
    // SAFETY: 1. nothing else refers to the table; 2. its gate names code that goes back to `probe_try`, the only code that
    // faults; 3. the register's value is the table's place and limit.
    unsafe {
        (*IDT.0.get())[PAGE_FAULT] = gate;
        core::arch::asm!("lidt [{}]", in(reg) &raw const register, options(readonly, nostack, preserves_flags));
    }
}
