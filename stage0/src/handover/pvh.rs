//! The jump of the PVH protocol.

use core::arch::{asm, global_asm};

use shared::memory::{PAGE_SIZE, Phys, PhysRange};
use x86::controlregs::Cr0;

use super::HandOverError;
use crate::load::Memory;
use crate::platform::fault::{CODE_32, DATA};

/// Offsets in the trampoline's page.
const GDT: usize = 0x800;
const GDT_POINTER: usize = 0x840;
const IDT_POINTER: usize = 0x850;

/// Bytes of a 32-bit task segment (Intel SDM volume 3, 8.2.1). The protocol puts it at 0, where nothing needs to be: nobody
/// switches tasks before the kernel has a task segment of its own.
const TASK_LEN: u64 = 104;
/// Type and presence of an available 32-bit task segment; loading it makes it busy.
const TASK_AVAILABLE: u64 = 0x89;

/// `CR0.ET`, which is 1 on every processor with long mode.
const CR0_EXTENSION_TYPE: usize = 1 << 4;

global_asm!(
    include_str!("pvh.s"),
    gdt_pointer = const GDT_POINTER,
    idt_pointer = const IDT_POINTER,
    cr0 = const Cr0::CR0_PROTECTED_MODE.bits() | CR0_EXTENSION_TYPE,
    efer = const x86::msr::IA32_EFER,
    options(att_syntax)
);

unsafe extern "C" {
    static stage0_trampoline: u8;
    static stage0_trampoline_jump: u8;
    static stage0_trampoline_end: u8;
}

/// Writes the trampoline's page, for a kernel that is entered at `entry`.
pub fn write_trampoline<M: Memory>(memory: &mut M, page: PhysRange, entry: Phys) -> Result<(), HandOverError> {
    let bytes = memory.bytes_mut(page).ok_or(HandOverError::Unreachable { range: page })?;
    let start = &raw const stage0_trampoline;
    // SAFETY: the three symbols delimit one piece of code in the image, which is never written.
    let (code, jump) = unsafe {
        let len = (&raw const stage0_trampoline_end).offset_from_unsigned(start);
        let jump = (&raw const stage0_trampoline_jump).offset_from_unsigned(start);
        (core::slice::from_raw_parts(start, len), jump)
    };
    if code.len() > GDT || page.len() != PAGE_SIZE {
        return Err(HandOverError::TooLong { block: page });
    }
    bytes.fill(0);
    bytes[..code.len()].copy_from_slice(code);
    // The jump is relative to its own end, which is the code's; modulo 2^32, as the processor adds it.
    let base = page.start().0;
    let displacement = entry.0.wrapping_sub(base + code.len() as u64) as u32;
    bytes[jump..][..4].copy_from_slice(&displacement.to_le_bytes());

    let task_descriptor = (TASK_LEN - 1) | TASK_AVAILABLE << 40;
    for (n, descriptor) in [0, CODE_32, DATA, task_descriptor].into_iter().enumerate() {
        bytes[GDT + n * 8..][..8].copy_from_slice(&u64::to_le_bytes(descriptor));
    }
    // Limit and base; the base of 64 bits is read whole in 64-bit mode, and its low half in 32-bit mode.
    bytes[GDT_POINTER..][..2].copy_from_slice(&(4 * 8 - 1u16).to_le_bytes());
    bytes[GDT_POINTER + 2..][..8].copy_from_slice(&(base + GDT as u64).to_le_bytes());
    Ok(())
}

/// Enters the kernel.
///
/// # Safety
/// `page` has been written by [`write_trampoline`] and is mapped 1:1, executable, below 4 GiB; start_info and kernel are
/// in place. Nothing of stage0 is used again.
pub unsafe fn enter(page: PhysRange, start_info: Phys) -> ! {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "mov rbx, {start_info}",
            "jmp rdi",
            start_info = in(reg) start_info.0,
            in("rdi") page.start().0,
            options(noreturn)
        )
    }
}
