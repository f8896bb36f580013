use core::arch::global_asm;

use shared::memory::{Phys, PhysRange, Virt, VirtRange};
use shared::trust::TrustSlot;
use x86::controlregs::{Cr0, Cr4};

use crate::platform::fault::{CODE_32, CODE_64, DATA};
use crate::platform::shutdown::DEBUG_EXIT_PORT;
use crate::platform::{DEBUG_EXIT_FAILED, VIRT_BASE, console, cpuid};

/// Where physical memory is seen: physical 0 is here. A slot of its own of the top table, which no kernel is known to want:
/// a PV kernel's addresses are mapped beside it for a moment.
pub(crate) const WINDOW: Virt = Virt(0xffff_c800_0000_0000);

/// `EFER`, its bits for long mode and for no-execute (AMD64 manual volume 2, 3.1.7).
pub(crate) const EFER_LME: u32 = 1 << 8;
pub(crate) const EFER_NXE: u32 = 1 << 11;

/// `EFLAGS.ID`, which can be changed where there is CPUID (AMD64 manual volume 2, 3.1.6).
const FLAG_ID: u32 = 1 << 21;
/// CPUID leaf 1, EDX: TSC, MSR, PAE (AMD64 manual volume 3, appendix E.3.2). All else that stage0 uses comes with long mode.
const FEATURES: u32 = 1 << 4 | 1 << 5 | 1 << 6;

/// What is said where any of these is missing.
#[unsafe(link_section = ".rodata.entry")]
static UNFIT: [u8; 95] =
    *b"stage0: error: unfit processor: CPUID, expected x86-64 (long mode, PAE, MSR, TSC), found less\r\n";

/// Pages of the tables that the entry fills.
const TABLE_PAGES: usize = 7;

/// The tables on which stage0 begins.
#[repr(C, align(4096))]
struct EntryTables([[u64; 512]; TABLE_PAGES]);

static mut ENTRY_TABLES: EntryTables = EntryTables([[0; 512]; TABLE_PAGES]);

global_asm!(
    include_str!("pvh.s"),
    virt_base = const VIRT_BASE,
    trust_offset = const TrustSlot::OFFSET,
    tables = sym ENTRY_TABLES,
    window_slot = const WINDOW.0 >> 39 & 511,
    main = sym super::main_pvh,
    unpack = sym super::unpack::unpack,
    cr4 = const Cr4::CR4_ENABLE_PAE.bits(),
    efer = const x86::msr::IA32_EFER,
    unfit = sym UNFIT,
    flag_id = const FLAG_ID,
    features = const FEATURES,
    extended = const cpuid::EXTENDED,
    long_mode = const cpuid::LONG_MODE,
    no_execute = const cpuid::NO_EXECUTE,
    lme = const EFER_LME,
    nxe = const EFER_NXE.trailing_zeros(),
    com1 = const console::COM1,
    com1_status = const console::COM1_STATUS,
    ready = const console::READY,
    patience = const console::PATIENCE,
    debug_port = const console::DEBUG_PORT,
    debug_exit = const DEBUG_EXIT_PORT,
    failed = const DEBUG_EXIT_FAILED,
    cr0 = const Cr0::CR0_PROTECTED_MODE.bits() | Cr0::CR0_WRITE_PROTECT.bits() | Cr0::CR0_ENABLE_PAGING.bits(),
    code32 = const CODE_32,
    data = const DATA,
    code64 = const CODE_64,
    note_phys32_entry = const shared::kernel::notes::kind::PHYS32_ENTRY,
    options(att_syntax)
);

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __bss_start: u8;
    static __held: u8;
    static __stack_guard: u8;
    static __bss_end: u8;
    static __text_end: u8;
}

/// Where the image's parts are linked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageLayout {
    /// All of it, to the end of its constants.
    pub image: VirtRange,
    /// What is written; before it there is the file.
    pub written: VirtRange,
    /// What is needed until the kernel is entered, to the image's end.
    pub held: Virt,
    /// The page below the stack.
    pub stack_guard: Virt,
    /// Code, from what is written on; behind it there are constants.
    pub text_end: Virt,
}

/// Where the linker put the image.
pub(crate) fn image_layout() -> ImageLayout {
    let at = |symbol: *const u8| Virt(symbol as u64);
    let between = |start, end| VirtRange::new(at(start), at(end)).unwrap_or_default();
    ImageLayout {
        image: between(&raw const __image_start, &raw const __image_end),
        written: between(&raw const __bss_start, &raw const __bss_end),
        held: at(&raw const __held),
        stack_guard: at(&raw const __stack_guard),
        text_end: at(&raw const __text_end),
    }
}

/// Where the builder put the image.
pub(crate) fn image_place() -> PhysRange {
    let image = image_layout().image;
    PhysRange::sized(Phys(image.start().0.wrapping_sub(VIRT_BASE)), image.len()).unwrap_or_default()
}
