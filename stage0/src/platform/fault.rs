//! Exceptions inside stage0: reported like any other error.

use core::arch::global_asm;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use shared::xen::pv::{FLAT_KERNEL_CS64, HYPERVISOR_SET_TRAP_TABLE, TrapInfo};
use x86::Ring;
use x86::bits64::task::TaskStateSegment;
use x86::dtables::{DescriptorTablePointer, lgdt, lidt};
use x86::segmentation::SegmentSelector;
use x86::task::load_tr;

use super::xen::Xen;
use crate::load::Phase;
use crate::start::fail;

/// Vectors that the architecture defines exceptions for (Intel SDM volume 3, 6.3.1).
const VECTORS: usize = 32;
/// Bytes from one stub to the next.
const STUB_LEN: usize = 16;
/// The 64-bit code segment, as in entry/pvh.s.
const CODE: SegmentSelector = SegmentSelector::new(3, Ring::Ring0);
/// The task segment.
const TASK: SegmentSelector = SegmentSelector::new(4, Ring::Ring0);

global_asm!(include_str!("fault.s"), report = sym report, stub_len = const STUB_LEN, options(att_syntax));

unsafe extern "C" {
    static stage0_fault_stubs: u8;
    static stage0_pv_fault_stubs: u8;
}

/// A descriptor of 16 bytes, low half first.
type Descriptor = [u64; 2];

/// The gate of a handler at `address`: an interrupt gate, present, on the first stack of the task segment (Intel SDM volume 3,
/// 6.14.1).
const fn gate(address: u64) -> Descriptor {
    let (low, middle) = (address & 0xffff, address >> 16 & 0xffff);
    [low | (CODE.bits() as u64) << 16 | 1 << 32 | 0x8e << 40 | middle << 48, address >> 32]
}

/// The descriptor of a task segment at `address`: available, present (Intel SDM volume 3, 8.2.3).
const fn task_descriptor(address: u64) -> Descriptor {
    let limit = size_of::<TaskStateSegment>() as u64 - 1;
    [limit | (address & 0xff_ffff) << 16 | 0x89 << 40 | (address >> 24 & 0xff) << 56, address >> 32]
}

/// The segments of entry/pvh.s, in its order, and the task segment.
#[repr(C)]
struct Gdt {
    null: u64,
    code32: u64,
    data: u64,
    code64: u64,
    task: Descriptor,
}

impl Gdt {
    const EMPTY: Self = Self { null: 0, code32: 0, data: 0, code64: 0, task: [0; 2] };
}

/// Flat segments, accessed, ring 0 (Intel SDM volume 3, 3.4.5).
pub(crate) const CODE_32: u64 = 0x00cf_9b00_0000_ffff;
pub(crate) const DATA: u64 = 0x00cf_9300_0000_ffff;
pub(crate) const CODE_64: u64 = 0x00af_9b00_0000_ffff;

/// Everything that the processor needs to report a fault, also one of the stack.
#[repr(C, align(16))]
struct Tables {
    idt: [Descriptor; VECTORS],
    gdt: Gdt,
    task: TaskStateSegment,
    stack: [u8; 8192],
}

static mut TABLES: Tables =
    Tables { idt: [[0; 2]; VECTORS], gdt: Gdt::EMPTY, task: TaskStateSegment::new(), stack: [0; 8192] };

/// The phase that stage0 is in, for the report.
static PHASE: AtomicUsize = AtomicUsize::new(Phase::Find as usize);

/// Notes which phase begins.
pub fn enter(phase: Phase) {
    PHASE.store(phase as usize, Relaxed);
}

/// An exception inside stage0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Its vector.
    pub vector: u32,
    /// Its error code, or 0.
    pub code: u64,
    /// Where it happened.
    pub instruction: u64,
    /// For a page fault, what was accessed.
    pub accessed: u64,
    /// The phase in which it happened.
    pub phase: &'static str,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "exception in stage0: phase {}, expected none, found vector {} (code {:#x}) at {:#x}",
            self.phase, self.vector, self.code, self.instruction
        )?;
        if self.vector == PAGE_FAULT { write!(f, ", accessing {:#x}", self.accessed) } else { Ok(()) }
    }
}

/// The vector of page faults.
const PAGE_FAULT: u32 = 14;

/// Where each stub goes.
extern "C" fn report(vector: u32, code: u64, instruction: u64) -> ! {
    // SAFETY: reading CR2 has no effect.
    let accessed = unsafe { x86::controlregs::cr2() } as u64;
    let phase = Phase::ALL.get(PHASE.load(Relaxed)).map_or("unknown", |phase| phase.name());
    fail(&Fault { vector, code, instruction, accessed, phase })
}

/// Sets up exceptions.
///
/// # Safety
/// Called once, by an entry, before anything that may fault.
pub unsafe fn install() {
    let tables = &raw mut TABLES;
    // SAFETY: called once (promised by the caller), so that nobody else has a reference to the tables.
    let tables = unsafe { &mut *tables };
    let stubs = (&raw const stage0_fault_stubs).expose_provenance() as u64;
    for (vector, gate) in tables.idt.iter_mut().enumerate() {
        *gate = self::gate(stubs + (vector * STUB_LEN) as u64);
    }
    tables.task.set_ist(0, (&raw const tables.stack).expose_provenance() as u64 + tables.stack.len() as u64);
    let task_address = (&raw const tables.task).expose_provenance() as u64;
    tables.gdt =
        Gdt { code32: CODE_32, data: DATA, code64: CODE_64, task: task_descriptor(task_address), ..Gdt::EMPTY };
    // SAFETY: 1. the tables are static, so that they outlive this; 2. the segments in use have the same descriptors in
    // the new GDT as in the entry's; 3. all handlers end the domain; 4. the task segment is available.
    unsafe {
        lgdt(&DescriptorTablePointer::new(&tables.gdt));
        lidt(&DescriptorTablePointer::new(&tables.idt));
        load_tr(TASK);
    }
}

/// Sets up exceptions in a PV domain.
///
/// # Safety
/// As for [`install`].
pub unsafe fn install_pv() {
    let stubs = (&raw const stage0_pv_fault_stubs).expose_provenance() as u64;
    // One more, of address 0, ends the table.
    let mut table = [TrapInfo::default(); VECTORS + 1];
    for (vector, entry) in (0..VECTORS as u8).zip(&mut table) {
        let address = stubs + u64::from(vector) * STUB_LEN as u64;
        *entry = TrapInfo { vector, flags: 0, cs: FLAT_KERNEL_CS64, address };
    }
    let address = table.as_ptr().expose_provenance() as u64;
    // SAFETY: 1. Xen copies the table; 2. all handlers end the domain.
    unsafe { Xen::Syscall.call(HYPERVISOR_SET_TRAP_TABLE, [address, 0, 0, 0]) };
}
