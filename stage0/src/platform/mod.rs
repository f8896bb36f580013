//! What kind of domain this is: what it was handed, its memory, its consoles, its end.

#[cfg(all(target_arch = "x86_64", not(miri)))]
pub mod blake3;
#[cfg(all(target_arch = "x86_64", not(miri), any(test, target_os = "none")))]
mod copy;
pub mod handed;
pub mod pv;

#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub(crate) mod cpuid;
#[cfg(target_os = "none")]
mod events;
#[cfg(target_os = "none")]
pub mod fault;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
mod paging;
#[cfg(target_os = "none")]
pub mod pvh;
#[cfg(target_os = "none")]
mod ring;
#[cfg(target_os = "none")]
pub mod shutdown;
#[cfg(target_os = "none")]
pub mod vectors;
#[cfg(target_os = "none")]
pub mod xen;

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use shared::memory::{Arrangement, PhysRange};

use crate::load::{Clock, Memory};

/// The virtual address of physical 0, or pseudo-physical 0, in the image; stage0.ld has the same number, and the linker compares them.
pub const VIRT_BASE: u64 = 0xffff_ffff_8000_0000;

/// What a domain whose kernel cannot be started writes to QEMU's isa-debug-exit; QEMU's exit status is twice this, and one: 33.
pub const DEBUG_EXIT_FAILED: u8 = 16;

/// Whether the processor executes all that is mapped, for want of no-execute pages.
static EXECUTES_ALL: AtomicBool = AtomicBool::new(false);

/// Asks the processor for no-execute pages; called before any table is written.
#[cfg(target_os = "none")]
pub(crate) fn ask_for_no_execute() {
    EXECUTES_ALL.store(!cpuid::no_execute(), Relaxed);
}

/// The bit in a page table's entry that forbids execution (AMD64 manual volume 2, 5.6.1). 0 where the processor has no such
/// pages: the bit is reserved there, and Xen refuses it.
pub(crate) fn no_execute() -> u64 {
    if EXECUTES_ALL.load(Relaxed) { 0 } else { 1 << 63 }
}

/// A domain's machine, as far as loading changes it.
pub trait Machine {
    /// Its memory.
    type Memory: Memory;
    /// Its clock.
    type Clock: Clock;

    /// Its memory.
    fn memory(&mut self) -> &mut Self::Memory;

    /// Its clock.
    fn clock(&self) -> Self::Clock;

    /// Is told that stage0 decodes into `range` from now on, to look at it. Only a machine that watches what stage0 writes to does
    /// anything.
    fn use_scratch(&mut self, _range: PhysRange) {}

    /// Moves stage0 to where the arrangement has it, and runs on page tables there from now on.
    fn relocate(&mut self, arrangement: &Arrangement);
}
