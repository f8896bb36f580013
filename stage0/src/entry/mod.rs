//! The assembly entries, and the notes by which builders find them.

mod pv;
mod pvh;
mod unpack;

use core::{ptr, slice};

use shared::memory::Phys;
use shared::memory::Virt;
use shared::trust::TrustSlot;

pub(crate) use pvh::{EFER_LME, EFER_NXE, WINDOW};
pub(crate) use pvh::{image_layout, image_place};
pub(crate) use unpack::started;

unsafe extern "C" {
    static __image_start: u8;
    static __bss_start: u8;
}

/// Where the entry of a PVH domain goes on, in 64-bit mode, on a stack.
extern "C" fn main_pvh(start_info: u32) -> ! {
    crate::start::pvh(Phys(start_info.into()))
}

/// Where the entry of a PV domain goes on, on a stack.
extern "C" fn main_pv(start_info: u64, stack_end: u64) -> ! {
    crate::start::pv(Virt(start_info), Virt(stack_end))
}

/// Where an ELF64 file whose program headers follow its header has `p_filesz` of the first (System V ABI, figure 5-1).
const FILE_LEN_AT: usize = 64 + 32;

/// The slot for keys; what is in it is written into the finished image.
#[used]
#[unsafe(link_section = ".trust")]
static TRUST: TrustSlot = TrustSlot::EMPTY;

/// What of stage0's file is loaded.
pub(crate) fn file() -> &'static [u8] {
    let (start, end) = (&raw const __image_start, &raw const __bss_start);
    // SAFETY: between the two symbols there is what the builder has put into memory of the file, which begins with the ELF
    // header and the program headers, and zeros; all tables of stage0's map it for reading, and nothing ever writes to it. The
    // length is read as in `trust`: it is written into the finished image.
    unsafe {
        let len = ptr::read_volatile(start.add(FILE_LEN_AT).cast::<u64>());
        let most = end.offset_from_unsigned(start);
        slice::from_raw_parts(start, usize::try_from(len).unwrap_or(most).min(most))
    }
}

/// The keys in the image.
pub(crate) fn trust() -> TrustSlot {
    // SAFETY: an initialised static, which nothing writes while it runs. Volatile, because the compiler knows only what it
    // was built with.
    unsafe { ptr::read_volatile(&raw const TRUST) }
}
