//! The assembly entries, and the notes by which builders find them.

mod pv;
mod pvh;
mod unpack;

use shared::memory::Phys;
use shared::memory::Virt;

pub(crate) use pvh::{VIRT_BASE, WINDOW};
pub(crate) use pvh::{image_layout, image_place};

/// Where the entry of a PVH domain goes on, in 64-bit mode, on a stack.
extern "C" fn main_pvh(start_info: u32) -> ! {
    crate::start::pvh(Phys(start_info.into()))
}

/// Where the entry of a PV domain goes on, on a stack.
extern "C" fn main_pv(start_info: u64, stack_end: u64) -> ! {
    crate::start::pv(Virt(start_info), Virt(stack_end))
}
