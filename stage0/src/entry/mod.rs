//! The assembly entries, and the notes by which builders find them.

mod pv;
mod pvh;
mod unpack;

use core::ptr;

use shared::memory::Phys;
use shared::memory::Virt;
use shared::trust::TrustSlot;

pub(crate) use pvh::{VIRT_BASE, WINDOW};
pub(crate) use pvh::{image_layout, image_place};
pub(crate) use unpack::started;

/// Where the entry of a PVH domain goes on, in 64-bit mode, on a stack.
extern "C" fn main_pvh(start_info: u32) -> ! {
    crate::start::pvh(Phys(start_info.into()))
}

/// Where the entry of a PV domain goes on, on a stack.
extern "C" fn main_pv(start_info: u64, stack_end: u64) -> ! {
    crate::start::pv(Virt(start_info), Virt(stack_end))
}

/// The slot for keys; what is in it is written into the finished image.
#[used]
#[unsafe(link_section = ".trust")]
static TRUST: TrustSlot = TrustSlot::EMPTY;

/// The keys in the image.
pub(crate) fn trust() -> TrustSlot {
    // SAFETY: an initialised static, which nothing writes while it runs. Volatile, because the compiler knows only what it
    // was built with.
    unsafe { ptr::read_volatile(&raw const TRUST) }
}
