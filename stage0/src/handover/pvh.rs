//! The jump of the PVH protocol, and of the direct one, which goes on from there.

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use shared::memory::{PAGE_SIZE, Phys, PhysRange};
use x86::controlregs::{Cr0, Cr4};
use zerocopy::{Immutable, IntoBytes};

use super::HandOverError;
use crate::entry::{EFER_LME, EFER_NXE};
use crate::load::Memory;
use crate::platform::fault::{CODE_32, CODE_64, DATA};
use crate::platform::no_execute;

/// Offsets in the trampoline's page.
const GDT: usize = 0x800;
const GDT_POINTER: usize = 0x840;
const IDT_POINTER: usize = 0x850;

/// Selectors in the trampoline's GDT.
const SELECTOR_32: u32 = 0x08;
const SELECTOR_64: u32 = 0x20;

/// Bytes of a 32-bit task segment (Intel SDM volume 3, 8.2.1). The protocol puts it at 0, where nothing needs to be: nobody
/// switches tasks before the kernel has a task segment of its own.
const TASK_LEN: u64 = 104;
/// Type and presence of an available 32-bit task segment; loading it makes it busy.
const TASK_AVAILABLE: u64 = 0x89;

/// `CR0.PE` and `CR0.ET`, which is 1 on every processor with long mode.
const CR0: u32 = Cr0::CR0_PROTECTED_MODE.bits() as u32 | 1 << 4;

/// What the kernel is entered with, as the trampoline reads it.
#[derive(Clone, Copy, Debug, Default, IntoBytes, Immutable)]
#[repr(C, packed)]
pub struct Registers {
    cr0: u32,
    cr3: u32,
    cr4: u32,
    efer: u32,
    sp: u32,
    /// Where the trampoline jumps, and by which selector.
    target: [u32; 2],
    /// In 64-bit mode: where it jumps then.
    entry: u64,
}

impl Registers {
    /// For a kernel that is entered by PVH, at `entry`.
    pub fn pvh(entry: u64) -> Self {
        Self { cr0: CR0, target: [entry as u32, SELECTOR_32], ..Self::default() }
    }

    /// For one that is entered by the direct protocol, on the tables at `tables`; in 64-bit mode if `wide`.
    pub fn direct(entry: u64, wide: bool, tables: u32, sp: u32) -> Self {
        let cr0 = CR0 | (Cr0::CR0_WRITE_PROTECT | Cr0::CR0_ENABLE_PAGING).bits() as u32;
        let cr4 = Cr4::CR4_ENABLE_PAE.bits() as u32;
        let nxe = if no_execute() == 0 { 0 } else { EFER_NXE };
        let (efer, selector) = if wide { (nxe | EFER_LME, SELECTOR_64) } else { (nxe, SELECTOR_32) };
        Self { cr0, cr3: tables, cr4, efer, sp, target: [entry as u32, selector], entry }
    }
}

global_asm!(
    include_str!("pvh.s"),
    gdt_pointer = const GDT_POINTER,
    idt_pointer = const IDT_POINTER,
    cr0 = const CR0,
    efer = const x86::msr::IA32_EFER,
    cr0_at = const offset_of!(Registers, cr0),
    cr3_at = const offset_of!(Registers, cr3),
    cr4_at = const offset_of!(Registers, cr4),
    efer_at = const offset_of!(Registers, efer),
    sp_at = const offset_of!(Registers, sp),
    entry_at = const offset_of!(Registers, entry),
    registers_len = const size_of::<Registers>(),
    options(att_syntax)
);

unsafe extern "C" {
    static stage0_trampoline: u8;
    static stage0_trampoline_jump: u8;
    static stage0_trampoline_long: u8;
    static stage0_trampoline_registers: u8;
    static stage0_trampoline_end: u8;
}

/// Writes the trampoline's page, for a kernel that is entered with `registers`.
pub fn write_trampoline<M: Memory>(
    memory: &mut M,
    page: PhysRange,
    mut registers: Registers,
) -> Result<(), HandOverError> {
    let bytes = memory.bytes_mut(page).ok_or(HandOverError::Unreachable { range: page })?;
    let start = &raw const stage0_trampoline;
    // SAFETY: the symbols are in one piece of code in the image, which is never written, and the last ends it.
    let (code, jump, long, at) = unsafe {
        let len = (&raw const stage0_trampoline_end).offset_from_unsigned(start);
        let jump = (&raw const stage0_trampoline_jump).offset_from_unsigned(start);
        let long = (&raw const stage0_trampoline_long).offset_from_unsigned(start);
        let at = (&raw const stage0_trampoline_registers).offset_from_unsigned(start);
        (core::slice::from_raw_parts(start, len), jump, long, at)
    };
    if code.len() > GDT || page.len() != PAGE_SIZE {
        return Err(HandOverError::TooLong { block: page });
    }
    bytes.fill(0);
    bytes[..code.len()].copy_from_slice(code);
    // Below 4 GiB, where 32-bit code reaches.
    let base = page.start().0 as u32;
    bytes[jump..][..4].copy_from_slice(&(base + (at + offset_of!(Registers, target)) as u32).to_le_bytes());
    if registers.target[1] == SELECTOR_64 {
        registers.target[0] = base + long as u32;
    }
    bytes[at..][..size_of::<Registers>()].copy_from_slice(registers.as_bytes());

    let task_descriptor = (TASK_LEN - 1) | TASK_AVAILABLE << 40;
    for (n, descriptor) in [0, CODE_32, DATA, task_descriptor, CODE_64].into_iter().enumerate() {
        bytes[GDT + n * 8..][..8].copy_from_slice(&u64::to_le_bytes(descriptor));
    }
    // Limit and base; the base of 64 bits is read whole in 64-bit mode, and its low half in 32-bit mode.
    bytes[GDT_POINTER..][..2].copy_from_slice(&(5 * 8 - 1u16).to_le_bytes());
    bytes[GDT_POINTER + 2..][..8].copy_from_slice(&u64::from(base + GDT as u32).to_le_bytes());
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
