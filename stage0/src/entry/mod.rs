//! The assembly entries, and the notes by which builders find them.

#[cfg(feature = "pv")]
mod pv;
mod pvh;

use core::{ptr, slice};

use shared::memory::Phys;
#[cfg(feature = "pv")]
use shared::memory::Virt;
use shared::trust::TrustSlot;

pub(crate) use pvh::{VIRT_BASE, WINDOW};
pub(crate) use pvh::{image_layout, image_place};

unsafe extern "C" {
    static __image_start: u8;
    static __file_end: u8;
}

/// Where the entry of a PVH domain goes on, in 64-bit mode, on a stack.
extern "C" fn main_pvh(start_info: u32) -> ! {
    crate::start::pvh(Phys(start_info.into()))
}

/// Where the entry of a PV domain goes on, on a stack.
#[cfg(feature = "pv")]
extern "C" fn main_pv(start_info: u64, stack_end: u64) -> ! {
    crate::start::pv(Virt(start_info), Virt(stack_end))
}

/// The slot for keys; what is in it is written into the finished image.
#[used]
#[unsafe(link_section = ".trust")]
static TRUST: TrustSlot = TrustSlot::EMPTY;

/// What of stage0's file is loaded.
pub(crate) fn file() -> &'static [u8] {
    let (start, end) = (&raw const __image_start, &raw const __file_end);
    // SAFETY: the two symbols delimit the loaded part of the file, which the builder has put into memory, which all tables of
    // stage0's map for reading, and which nothing ever writes.
    unsafe { slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

/// The keys in the image.
pub(crate) fn trust() -> TrustSlot {
    // SAFETY: an initialised static, which nothing writes while it runs. Volatile, because the compiler knows only what it
    // was built with.
    unsafe { ptr::read_volatile(&raw const TRUST) }
}
