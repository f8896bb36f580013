//! What kind of domain this is: what it was handed, its memory, its consoles, its end.

pub mod handed;
pub mod heap;
pub mod pv;

#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod console;
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
pub mod xen;

use shared::memory::{Arrangement, PhysRange};

use crate::load::{Clock, Memory};

/// The virtual address of physical 0, or pseudo-physical 0, in the image; stage0.ld has the same number, and the linker compares them.
pub const VIRT_BASE: u64 = 0xffff_ffff_8000_0000;

/// What a domain whose kernel cannot be started writes to QEMU's isa-debug-exit; QEMU's exit status is twice this, and one: 33.
pub const DEBUG_EXIT_FAILED: u8 = 16;

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

    /// Gives `range` to the decoders. Nothing that they allocated before is alive.
    fn use_scratch(&mut self, range: PhysRange);

    /// Moves stage0 to where the arrangement has it, and runs on page tables there from now on.
    fn relocate(&mut self, arrangement: &Arrangement);
}
