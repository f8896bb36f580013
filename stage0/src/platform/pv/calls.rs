//! What stage0 asks Xen for in a PV domain: changes of page tables, and of numbers of frames.

use core::fmt;

use shared::memory::Virt;
use shared::xen::DOMID_SELF;
use shared::xen::pv::{
    HYPERVISOR_MMU_UPDATE, HYPERVISOR_MMUEXT_OP, HYPERVISOR_UPDATE_VA_MAPPING, MMUEXT_TLB_FLUSH_LOCAL, MmuUpdate,
    MmuextOp, UVMF_INVLPG,
};

use super::frames::Updates;
use crate::platform::xen::Xen;
use crate::start::fail;

/// Xen refused what stage0 asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The hypercall.
    pub call: &'static str,
    /// What it returned.
    pub result: i64,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hypercall refused: {}, expected 0, found {}", self.call, self.result)
    }
}

/// Frames whose numbers Xen is told, and whose window is in page tables that are in use.
#[derive(Clone, Copy, Debug)]
pub struct ByXen;

impl Updates for ByXen {
    fn update(&mut self, updates: &[MmuUpdate]) {
        // SAFETY: the updates are of numbers of frames, and of entries of the window for frames that nobody holds.
        unsafe { update(updates) };
    }

    fn flush(&mut self) {
        let flush = MmuextOp { cmd: MMUEXT_TLB_FLUSH_LOCAL, ..MmuextOp::default() };
        // SAFETY: the operation changes no memory.
        unsafe { mmuext(&flush) };
    }
}

/// Writes entries of page tables, or numbers of machine frames.
///
/// # Safety
/// What they change is no memory that Rust code holds.
pub(super) unsafe fn update(updates: &[MmuUpdate]) {
    let address = updates.as_ptr().expose_provenance() as u64;
    // SAFETY: the hypercall reads the updates; what they do is promised by the caller.
    let result =
        unsafe { Xen::Syscall.call(HYPERVISOR_MMU_UPDATE, [address, updates.len() as u64, 0, DOMID_SELF.into()]) };
    check("mmu_update", result);
}

/// Changes the entry for `at` in the tables in use.
///
/// # Safety
/// As for [`update`].
pub(super) unsafe fn map(at: Virt, entry: u64) {
    // SAFETY: promised by the caller.
    let result = unsafe { Xen::Syscall.call(HYPERVISOR_UPDATE_VA_MAPPING, [at.0, entry, UVMF_INVLPG, 0]) };
    check("update_va_mapping", result);
}

/// One operation on page tables as a whole.
///
/// # Safety
/// As for [`update`].
pub(super) unsafe fn mmuext(operation: &MmuextOp) {
    let address = core::ptr::from_ref(operation).expose_provenance() as u64;
    // SAFETY: the hypercall reads the operation; what it does is promised by the caller.
    let result = unsafe { Xen::Syscall.call(HYPERVISOR_MMUEXT_OP, [address, 1, 0, DOMID_SELF.into()]) };
    check("mmuext_op", result);
}

fn check(call: &'static str, result: i64) {
    if result != 0 {
        fail(&Refused { call, result });
    }
}
