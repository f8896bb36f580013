//! The way in: what jumps here, and what it leaves behind for the checks.

use core::cell::UnsafeCell;
use core::mem::offset_of;

use probe::{EXIT_NOT_OK, IMAGE_VIRT};
use shared::xen::START_INFO_MAGIC;

/// A segment register as the entry found it.
#[repr(C)]
pub(crate) struct SegmentRegister {
    /// The selector.
    pub(crate) selector: u32,
    /// What `lar` says of it; 0 if nothing.
    pub(crate) rights: u32,
    /// What `lsl` says of it, in bytes; 0 if nothing.
    pub(crate) limit: u32,
}

/// The CPU as the builder left it.
#[repr(C)]
pub(crate) struct State {
    pub(crate) eflags: u32,
    /// EBX: physical address of the start_info.
    pub(crate) start_info: u32,
    /// Physical address that the image was found at.
    pub(crate) image: u32,
    /// Physical address of the first double word of .bss that was not zero, or 0.
    pub(crate) bss_nonzero: u32,
    pub(crate) cr0: u32,
    pub(crate) cr4: u32,
    pub(crate) efer: u64,
    /// CS, DS, ES, SS, TR.
    pub(crate) segments: [SegmentRegister; 5],
    /// One bit for each of CS, DS, ES, SS by which the image was found where EIP says, and 4 GiB reached.
    pub(crate) used: u32,
    /// Limit and base as `sgdt` stores them.
    pub(crate) gdtr: [u8; 6],
}

/// Memory that assembly or the CPU writes.
#[repr(C, align(4096))]
struct Work<T>(UnsafeCell<T>);

// SAFETY: there is one CPU and no interrupt; the entry writes before `main` runs, and nothing writes after.
unsafe impl<T> Sync for Work<T> {}

const STACK_SIZE: usize = 64 * 1024;
/// The nine tables that the entry fills: one of level 4, two of level 3, five of level 2, one of level 1.
const TABLES: usize = 9;

static STATE: Work<[u8; size_of::<State>()]> = Work(UnsafeCell::new([0; size_of::<State>()]));
static STACK: Work<[u8; STACK_SIZE]> = Work(UnsafeCell::new([0; STACK_SIZE]));
static PAGE_TABLES: Work<[u8; TABLES * 4096]> = Work(UnsafeCell::new([0; TABLES * 4096]));

/// Selector of 64-bit code in the entry's GDT.
pub(crate) const CODE: u16 = 8;
/// Selector of data in the entry's GDT.
const DATA: u16 = 16;

core::arch::global_asm!(
    include_str!("entry.s"),
    MAGIC = const START_INFO_MAGIC,
    OFFSET = const IMAGE_VIRT.wrapping_neg(),
    STACK = sym STACK,
    STACK_SIZE = const STACK_SIZE,
    STATE = sym STATE,
    TABLES = sym PAGE_TABLES,
    EFLAGS = const offset_of!(State, eflags),
    START_INFO = const offset_of!(State, start_info),
    IMAGE = const offset_of!(State, image),
    BSS_NONZERO = const offset_of!(State, bss_nonzero),
    CR0 = const offset_of!(State, cr0),
    CR4 = const offset_of!(State, cr4),
    EFER = const offset_of!(State, efer),
    SEGMENTS = const offset_of!(State, segments),
    USED = const offset_of!(State, used),
    GDTR = const offset_of!(State, gdtr),
    // The image begins with `cmp dword ptr [ebx], START_INFO_MAGIC`: 81 3b and the magic's low half.
    FIRST_BYTES = const (START_INFO_MAGIC << 16) | 0x3b81,
    MSR_EFER = const 0xc000_0080_u32,
    PRESENT_WRITABLE = const 3,
    LARGE = const 1 << 7,
    CR4_PAE = const 1 << 5,
    EFER_LME = const 1 << 8,
    CR0_PG = const 1_u32 << 31,
    GDT_LIMIT = const 3 * 8 - 1,
    CODE = const CODE,
    DATA = const DATA,
    EXIT_NOT_OK = const EXIT_NOT_OK,
    MAIN = sym crate::main,
    EXCEPTION = sym crate::exception::report,
);

/// What the entry noted.
pub(crate) fn state() -> &'static State {
    // SAFETY: 1. the memory is as large as a State and page aligned; 2. every bit pattern is a State; 3. the entry wrote
    // it before `main`, and nothing writes it since.
    unsafe { &*STATE.0.get().cast::<State>() }
}
