//! Going over from the old page tables to the new ones, and to the kernel.

use core::arch::{asm, global_asm};
use core::iter;

use shared::memory::{PAGE_SIZE, Pfn, Phys, PhysRange, Virt};
use shared::pv::StartOfDay;
use shared::xen::DOMID_SELF;
use shared::xen::pv::{HYPERVISOR_MMUEXT_OP, MMUEXT_NEW_BASEPTR, MMUEXT_UNPIN_TABLE, MmuextOp};

use crate::entry::image_layout;
use crate::handover::HandOverError;
use crate::load::Memory;
use crate::platform::VIRT_BASE;
use crate::platform::pv::Mfn;

/// Where the count of operations that were carried out is in the page.
const DONE: usize = 2 * size_of::<MmuextOp>();

global_asm!(
    include_str!("hinge.s"),
    done = const DONE,
    self = const DOMID_SELF,
    mmuext_op = const HYPERVISOR_MMUEXT_OP,
    options(att_syntax)
);

unsafe extern "C" {
    static stage0_hinge: u8;
    static stage0_hinge_end: u8;
}

/// The page from which the kernel is entered.
#[derive(Clone, Copy, Debug)]
pub struct Hinge {
    /// The page, of the kernel's memory.
    pub page: Phys,
    /// Its address in the new tables.
    pub at: Virt,
    /// The first instruction.
    code: Virt,
}

impl Hinge {
    /// The boot stack's page, or where stage0 or the builder's `structures` are at that address, the last page behind it
    /// that is mapped and where they are not; `None` if there is none. stage0's file and its copy of the manifest are needed no
    /// more.
    pub fn of(day: &StartOfDay, structures: PhysRange) -> Option<Self> {
        let layout = image_layout();
        let is_free = |page: &Phys| {
            let at = day.virt(*page);
            let is_held = at >= layout.held && at < layout.image.end();
            !is_held && !structures.contains(Phys(at.0.wrapping_sub(VIRT_BASE)))
        };
        let behind = day.stack.end().pfn().0..day.mapped_end.pfn().0;
        let pages = behind.rev().filter_map(|n| Pfn(n).phys());
        let page = iter::once(day.stack.start()).chain(pages).find(is_free)?;
        let at = day.virt(page);
        Some(Self { page, at, code: Virt(at.0.wrapping_add(PAGE_SIZE).wrapping_sub(code().len() as u64)) })
    }

    /// Writes it, for a kernel that is entered at `entry` on the tables below `new`.
    pub fn write<M: Memory>(&self, memory: &mut M, new: Mfn, old: Mfn, entry: Virt) -> Result<(), HandOverError> {
        let page = PhysRange::sized(self.page, PAGE_SIZE).unwrap_or_default();
        let bytes = memory.bytes_mut(page).ok_or(HandOverError::Unreachable { range: page })?;
        bytes.fill(0);
        for (n, (cmd, mfn)) in [(MMUEXT_NEW_BASEPTR, new), (MMUEXT_UNPIN_TABLE, old)].into_iter().enumerate() {
            let at = n * size_of::<MmuextOp>();
            bytes[at..][..4].copy_from_slice(&cmd.to_le_bytes());
            bytes[at + 8..][..8].copy_from_slice(&mfn.0.to_le_bytes());
        }
        let start = bytes.len() - code().len();
        bytes[start..].copy_from_slice(code());
        // The jump is relative to its own end, which is the page's.
        let distance = entry.0.wrapping_sub(self.at.0.wrapping_add(PAGE_SIZE)).cast_signed();
        let distance = i32::try_from(distance).map_err(|_| HandOverError::EntryTooFar { entry })?;
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&distance.to_le_bytes());
        Ok(())
    }
}

/// The code that is copied to the page's end.
fn code() -> &'static [u8] {
    let start = &raw const stage0_hinge;
    // SAFETY: the two symbols delimit one piece of code in the image, which is never written.
    unsafe { core::slice::from_raw_parts(start, (&raw const stage0_hinge_end).offset_from_unsigned(start)) }
}

/// Goes over to the new tables and enters the kernel; comes back with Xen's answer if it refuses.
///
/// # Safety
/// The hinge has been written, and both tables map it at its address, executable; the kernel and all that it is handed are in
/// place. Nothing of stage0 is used again.
pub unsafe fn enter(hinge: &Hinge, start_info: Virt, stack_end: Virt) -> i64 {
    let result;
    // SAFETY: promised by the caller: there is the code of hinge.s at this address, which changes no other registers when it
    // returns, and uses the stack for nothing but that.
    unsafe {
        asm!("call {}", in(reg) hinge.code.0, in("rdi") hinge.at.0, in("rsi") start_info.0, in("rdx") stack_end.0,
            lateout("rax") result, out("r12") _, out("r13") _, out("r14") _, clobber_abi("sysv64"));
    }
    result
}
