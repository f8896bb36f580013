//! The way in, and what it leaves behind for the checks.

use core::cell::UnsafeCell;
use core::mem::offset_of;

use crate::vectors::Fpu;

/// The CPU as the builder left it.
#[repr(C, align(4096))]
pub(crate) struct State {
    /// In the order of [`REGISTERS`].
    pub(crate) registers: [u64; 16],
    pub(crate) flags: u64,
    /// In the order of [`SELECTORS`].
    pub(crate) selectors: [u64; 6],
    /// Virtual address of the first quad word of .bss that was not zero, or 0.
    pub(crate) bss_nonzero: u64,
    /// As `fxsave64` stores it.
    pub(crate) fpu: Fpu,
}

/// Names of the registers.
pub(crate) const REGISTERS: [&str; 16] =
    ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
/// Names of the selectors.
pub(crate) const SELECTORS: [&str; 6] = ["cs", "ds", "es", "fs", "gs", "ss"];

impl State {
    /// The start_info's virtual address.
    pub(crate) fn start_info(&self) -> u64 {
        self.registers[4]
    }

    /// The stack's.
    pub(crate) fn stack(&self) -> u64 {
        self.registers[7]
    }
}

/// Memory that assembly or the hypervisor writes.
#[repr(C, align(4096))]
pub(crate) struct Work<T>(pub(crate) UnsafeCell<T>);

// SAFETY: there is one vCPU and no event; the entry writes before `main` runs, and `main` lends each out once.
unsafe impl<T> Sync for Work<T> {}

const STACK_SIZE: usize = 64 * 1024;
static STACK: Work<[u8; STACK_SIZE]> = Work(UnsafeCell::new([0; STACK_SIZE]));

/// In the file, where .bss need not be looked at to write it.
#[unsafe(link_section = ".state")]
static STATE: Work<[u8; 4096]> = Work(UnsafeCell::new([0; 4096]));
const _: () = assert!(size_of::<State>() == 4096);

/// The page that a HYPERCALL_PAGE note names.
#[unsafe(link_section = ".hypercall")]
static HYPERCALL_PAGE: Work<[u8; 4096]> = Work(UnsafeCell::new([0; 4096]));

core::arch::global_asm!(
    include_str!("entry.s"),
    STACK = sym STACK,
    STACK_SIZE = const STACK_SIZE,
    STATE = sym STATE,
    REGISTERS = const offset_of!(State, registers),
    FLAGS = const offset_of!(State, flags),
    SELECTORS = const offset_of!(State, selectors),
    BSS_NONZERO = const offset_of!(State, bss_nonzero),
    FPU = const offset_of!(State, fpu),
    MAIN = sym crate::main,
);

/// What the entry noted.
pub(crate) fn state() -> &'static State {
    // SAFETY: 1. the memory is as large and as aligned as a State; 2. every bit pattern is a State; 3. the entry wrote it
    // before `main`, and nothing writes it since.
    unsafe { &*STATE.0.get().cast::<State>() }
}

/// Virtual address of the hypercall page.
pub(crate) fn hypercall_page() -> u64 {
    HYPERCALL_PAGE.0.get() as u64
}
