//! The assembly entries, and the notes by which builders find them.

mod pvh;

use shared::memory::Phys;

pub(crate) use pvh::{VIRT_BASE, WINDOW};
pub(crate) use pvh::{image_layout, image_place};

/// Where the entry of a PVH domain goes on, in 64-bit mode, on a stack.
extern "C" fn main_pvh(start_info: u32) -> ! {
    crate::start::pvh(Phys(start_info.into()))
}
