//! The ways in, and what they leave behind.

use core::cell::UnsafeCell;
use core::mem::offset_of;

use probe::{DirectTable, TABLE_PAGE};
use zerocopy::FromBytes;

use crate::report::info;

/// `EFER`.
const MSR_EFER: u32 = 0xc000_0080;
/// Its bit for no-execute pages.
pub(crate) const EFER_NXE: u64 = 1 << 11;
/// Tries of the 32-bit entry.
pub(crate) const TRIES: usize = 4;

/// What was tried, and how it ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Try {
    /// Error code.
    pub(crate) code: u64,
    /// CR2.
    pub(crate) address: u64,
    /// Whether it was a page fault at all.
    pub(crate) faulted: u64,
}

/// The processor as stage0 left it.
#[repr(C, align(4096))]
pub(crate) struct State {
    /// In the order of [`REGISTERS`].
    registers: [u64; 16],
    flags: u64,
    cr0: u64,
    pub(crate) cr3: u64,
    cr4: u64,
    pub(crate) efer: u64,
    /// What the stack says to return to.
    return_to: u64,
    /// 32-bit: the argument that lies above that.
    argument: u64,
    /// 32 or 64.
    pub(crate) width: u64,
    try_stack: u64,
    pub(crate) tries: [Try; TRIES],
    gates: [u64; 16],
    selectors: [u32; 6],
    gdt: [u8; 16],
    idt: [u8; 16],
}

/// Names of the registers.
const REGISTERS: [&str; 16] =
    ["ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
/// Names of the selectors.
const SELECTORS: [&str; 6] = ["cs", "ds", "es", "fs", "gs", "ss"];

impl State {
    /// The stack pointer.
    pub(crate) const fn stack(&self) -> u64 {
        self.registers[7]
    }

    /// Where start_info is said to be.
    pub(crate) const fn start_info(&self) -> u64 {
        self.registers[if self.width == 32 { 1 } else { 5 }]
    }

    /// All of it.
    pub(crate) fn dump(&self) {
        info("width", format_args!("{}", self.width));
        for (name, value) in REGISTERS.iter().zip(self.registers) {
            info(name, format_args!("{value:#x}"));
        }
        let numbers = [
            ("flags", self.flags),
            ("cr0", self.cr0),
            ("cr4", self.cr4),
            ("efer", self.efer),
            ("return", self.return_to),
            ("argument", self.argument),
        ];
        for (name, value) in numbers {
            info(name, format_args!("{value:#x}"));
        }
        for (name, selector) in SELECTORS.iter().zip(self.selectors) {
            match self.descriptor(selector) {
                Some(descriptor) => info(name, format_args!("{descriptor:#018x}")),
                None => info(name, format_args!("none")),
            }
        }
        info("idt.limit", format_args!("{:#x}", u16::from_le_bytes([self.idt[0], self.idt[1]])));
    }

    /// What the GDT says of a selector.
    fn descriptor(&self, selector: u32) -> Option<u64> {
        let wide = self.width == 64;
        let [_, _, low @ .., _, _, _, _, _, _] = self.gdt;
        let base = u64::from_le_bytes(low) & if wide { u64::MAX } else { u64::from(u32::MAX) };
        crate::handed::read(self, base + u64::from(selector & !7))
    }
}

/// Memory that assembly writes.
#[repr(C, align(4096))]
struct Work<T>(UnsafeCell<T>);

// SAFETY: there is one vCPU and no event; the entries write before `main` runs.
unsafe impl<T> Sync for Work<T> {}

#[unsafe(link_section = ".state")]
static STATE: Work<[u8; 4096]> = Work(UnsafeCell::new([0; 4096]));
const _: () = assert!(size_of::<State>() == 4096);

/// The host's table.
#[repr(C, align(4096))]
struct TablePage([u8; TABLE_PAGE]);
#[unsafe(link_section = ".table")]
#[used]
static TABLE: TablePage = TablePage([0; TABLE_PAGE]);

macro_rules! entry {
    ($file:literal, $($more:tt)*) => {
        core::arch::global_asm!(
            include_str!($file),
            STATE = sym STATE,
            REGISTERS = const offset_of!(State, registers),
            FLAGS = const offset_of!(State, flags),
            CR0 = const offset_of!(State, cr0),
            CR3 = const offset_of!(State, cr3),
            CR4 = const offset_of!(State, cr4),
            EFER = const offset_of!(State, efer),
            RETURN = const offset_of!(State, return_to),
            WIDTH = const offset_of!(State, width),
            TRY_STACK = const offset_of!(State, try_stack),
            TRIES = const offset_of!(State, tries),
            SELECTORS = const offset_of!(State, selectors),
            GDT = const offset_of!(State, gdt),
            IDT = const offset_of!(State, idt),
            MSR_EFER = const MSR_EFER,
            MAIN = sym crate::main,
            $($more)*
            options(att_syntax)
        );
    };
}

entry!("entry64.s",);
entry!(
    "entry32.s",
    ARGUMENT = const offset_of!(State, argument),
    GATES = const offset_of!(State, gates),
    EFER_NXE = const EFER_NXE,
    TABLE = sym TABLE,
    // In what stage0 leaves behind, the tables follow start_info.
    TABLES = const shared::memory::START_INFO_LEN,
    PLACES = const offset_of!(DirectTable, places),
    TO_TRY = const offset_of!(DirectTable, to_try),
);

/// What the host says about the kernel.
pub(crate) fn table() -> &'static DirectTable {
    // What the host wrote is not what the compiler sees.
    let page = core::hint::black_box(&TABLE);
    match DirectTable::ref_from_prefix(&page.0) {
        Ok((table, _)) => table,
        Err(_) => unreachable!("the page is aligned and long enough"),
    }
}
