//! Hypercalls of a 64-bit PV domain, by `syscall` itself: the hypercall page is among what is looked at.
//!
//! Numbers and structures are those of Xen's public headers: xen.h, memory.h, event_channel.h, grant_table.h, vcpu.h, sched.h.

use shared::xen::{DOMID_SELF, HYPERVISOR_MEMORY_OP, HYPERVISOR_SCHED_OP, SCHEDOP_SHUTDOWN};

use crate::call::call;

const GET_DEBUGREG: u64 = 9;
const UPDATE_VA_MAPPING: u64 = 14;
const CONSOLE_IO: u64 = 18;
const GRANT_TABLE_OP: u64 = 20;
const VCPU_OP: u64 = 24;
const MMUEXT_OP: u64 = 26;
const EVENT_CHANNEL_OP: u64 = 32;
const PHYSDEV_OP: u64 = 33;

const UVMF_INVLPG: u64 = 2;
const SCHEDOP_YIELD: u64 = 0;
const CONSOLEIO_WRITE: u64 = 0;
const EVTCHNOP_SEND: u64 = 4;
const XENMEM_CURRENT_RESERVATION: u64 = 3;
const XENMEM_MAXIMUM_RESERVATION: u64 = 4;
const XENMEM_MACHPHYS_MAPPING: u64 = 12;
const VCPUOP_REGISTER_VCPU_INFO: u64 = 10;
const GNTTABOP_SETUP_TABLE: u64 = 2;
const PHYSDEVOP_SET_IOPL: u64 = 6;

/// MMUEXT_PIN_L1_TABLE; that of level n is n - 1 more.
const MMUEXT_PIN_L1_TABLE: u32 = 0;
const MMUEXT_UNPIN_TABLE: u32 = 4;

/// The address of a structure that Xen reads and writes.
fn address<T>(argument: &mut T) -> u64 {
    &raw mut *argument as u64
}

/// Makes `entry` the page table entry of the window's address.
pub(crate) fn update_window(virt: u64, entry: u64) -> i64 {
    // SAFETY: the window's page is reached by `memory::copy` alone, page by page as it is mapped.
    unsafe { call(UPDATE_VA_MAPPING, [virt, entry, UVMF_INVLPG, 0]) }
}

/// Tries to make the page at `virt`, which is mapped read-only, writable; where that works it makes no difference to Rust.
pub(crate) fn try_writable(virt: u64, entry: u64) -> i64 {
    // SAFETY: the same frame stays mapped there.
    unsafe { call(UPDATE_VA_MAPPING, [virt, entry, UVMF_INVLPG, 0]) }
}

/// `struct mmuext_op`.
#[repr(C)]
struct MmuextOp {
    command: u32,
    frame: u64,
    unused: u64,
}

/// Pins the machine frame as a table of `level`.
pub(crate) fn pin(frame: u64, level: u32) -> i64 {
    mmuext(MMUEXT_PIN_L1_TABLE + level - 1, frame)
}

/// Unpins it.
pub(crate) fn unpin(frame: u64) -> i64 {
    mmuext(MMUEXT_UNPIN_TABLE, frame)
}

fn mmuext(command: u32, frame: u64) -> i64 {
    let mut operation = MmuextOp { command, frame, unused: 0 };
    // SAFETY: types of frames are no contents.
    unsafe { call(MMUEXT_OP, [address(&mut operation), 1, 0, u64::from(DOMID_SELF)]) }
}

/// Writes to the hypervisor's own console, which only the initial domain may.
pub(crate) fn console_write(text: &[u8]) -> i64 {
    // SAFETY: Xen reads the text.
    unsafe { call(CONSOLE_IO, [CONSOLEIO_WRITE, text.len() as u64, text.as_ptr() as u64, 0]) }
}

/// Lets other domains run.
pub(crate) fn yield_now() {
    // SAFETY: no memory is involved.
    unsafe { call(HYPERVISOR_SCHED_OP, [SCHEDOP_YIELD, 0, 0, 0]) };
}

/// Ends the domain.
pub(crate) fn shut_down(reason: u32) {
    let mut argument = reason;
    // SAFETY: Xen reads the argument.
    unsafe { call(HYPERVISOR_SCHED_OP, [SCHEDOP_SHUTDOWN, address(&mut argument), 0, 0]) };
}

/// Notifies whoever is at the other end of an event channel.
pub(crate) fn send(port: u32) -> i64 {
    let mut argument = port;
    // SAFETY: Xen reads the argument; pending bits are in no memory of Rust's.
    unsafe { call(EVENT_CHANNEL_OP, [EVTCHNOP_SEND, address(&mut argument), 0, 0]) }
}

/// Frames that the domain has, and may have.
pub(crate) fn reservations() -> [i64; 2] {
    [XENMEM_CURRENT_RESERVATION, XENMEM_MAXIMUM_RESERVATION].map(|command| {
        let mut domain = u64::from(DOMID_SELF);
        // SAFETY: Xen reads the argument.
        unsafe { call(HYPERVISOR_MEMORY_OP, [command, address(&mut domain), 0, 0]) }
    })
}

/// `struct xen_machphys_mapping`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct MachPhys {
    /// Virtual address of the list of pseudo-physical frame numbers by machine frame number.
    pub(crate) start: u64,
    end: u64,
    /// The highest machine frame number in it.
    pub(crate) max: u64,
}

/// Where the list is by which Xen tells what a machine frame is to its domain.
pub(crate) fn machphys() -> MachPhys {
    let mut argument = MachPhys::default();
    // SAFETY: Xen writes the argument.
    unsafe { call(HYPERVISOR_MEMORY_OP, [XENMEM_MACHPHYS_MAPPING, address(&mut argument), 0, 0]) };
    argument
}

/// Moves vCPU 0's part of shared_info to the beginning of the machine frame; works once in a domain's life.
pub(crate) fn register_vcpu_info(frame: u64) -> i64 {
    let mut argument = [frame, 0];
    // SAFETY: Xen reads the argument; the frame is the caller's to give.
    unsafe { call(VCPU_OP, [VCPUOP_REGISTER_VCPU_INFO, 0, address(&mut argument), 0]) }
}

/// A debug register.
pub(crate) fn debug_register(number: u64) -> i64 {
    // SAFETY: no memory is involved.
    unsafe { call(GET_DEBUGREG, [number, 0, 0, 0]) }
}

/// The machine frame of the grant table's first page.
pub(crate) fn grant_frame() -> Option<u64> {
    let mut frame = 0_u64;
    let mut argument = [u64::from(DOMID_SELF) | 1 << 32, 0, address(&mut frame)];
    // SAFETY: Xen writes the argument (domain and count, status, list of frames) and the one frame.
    let result = unsafe { call(GRANT_TABLE_OP, [GNTTABOP_SETUP_TABLE, address(&mut argument), 1, 0]) };
    (result == 0 && argument[1] as u16 == 0).then_some(frame)
}

/// Lets the kernel use I/O ports, which only a domain with hardware may.
pub(crate) fn set_iopl() {
    let mut argument = 1_u32;
    // SAFETY: Xen reads the argument.
    unsafe { call(PHYSDEV_OP, [PHYSDEVOP_SET_IOPL, address(&mut argument), 0, 0]) };
}
