//! A PVH domain's machine.

use core::arch::naked_asm;

use shared::memory::{Arrangement, GIB, PAGE_SIZE, Phys, PhysRange, Ram};
use shared::xen::{HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN};

use super::clock::TimeStampCounter;
use super::memory::{PhysicalMemory, pointer};
use super::xen::Xen;
use super::{Machine, events, paging, ring};
use crate::entry::image_place;

/// Pages that libxenguest has for rings and the like, a power of two (xg_dom_x86.c).
const SPECIAL_PAGES: u64 = 8;

/// The machine of a PVH domain.
#[derive(Debug)]
pub struct Pvh {
    memory: PhysicalMemory,
    image: PhysRange,
}

impl Pvh {
    /// The machine.
    ///
    /// # Safety
    /// Called once, by the PVH entry, on the tables that it wrote.
    pub unsafe fn new() -> Self {
        let image = image_place();
        // SAFETY: 1. promised by the caller, so that this is the only one; 2. the entry's tables have the window; 3. all
        // that Rust code holds is within the image, the entry's tables too.
        let memory = unsafe { PhysicalMemory::new(image, Phys(4 * GIB)) };
        Self { memory, image }
    }

    /// Where stage0's image lies.
    pub const fn image(&self) -> PhysRange {
        self.image
    }
}

/// Finds the ring that the toolstack made for the domain's console, for lines of stage0; gives its page. The initial domain has
/// none.
pub fn set_console(xen: Xen) -> Option<PhysRange> {
    let (frame, port) = (xen.hvm_param(HVM_PARAM_CONSOLE_PFN), xen.hvm_param(HVM_PARAM_CONSOLE_EVTCHN));
    let (frame, port) = frame.zip(port).filter(|(frame, port)| *frame != 0 && *port != 0)?;
    let page = PhysRange::sized(Phys(frame.saturating_mul(PAGE_SIZE)), PAGE_SIZE);
    let page = page.ok().filter(|page| page.end() <= Phys(4 * GIB))?;
    let port = u32::try_from(port).ok()?;
    // SAFETY: the window shows the page, writable, on each of stage0's tables; where it is RAM after all, to which something
    // may be put, it is forgotten before that.
    unsafe { ring::set(pointer(page.start()), port) };
    Some(page)
}

/// There is no such ring from now on.
pub fn forget_console() {
    ring::forget();
}

/// Waits until the console's lines were read: those of the kernel follow in the same ring. Then takes back what its events
/// left, by way of a page that is not `ram`.
pub fn leave(ram: &Ram) {
    let Some(xen) = Xen::find() else { return };
    ring::drain(xen);
    let (Some(port), Some(frame)) = (ring::used(), xen.hvm_param(HVM_PARAM_CONSOLE_PFN)) else { return };
    // Nothing is there in a domain without a device model (xg_dom_x86.c: the pages for one are below the special ones).
    let free = (frame & !(SPECIAL_PAGES - 1)).wrapping_sub(1);
    let place = PhysRange::sized(Phys(free.saturating_mul(PAGE_SIZE)), PAGE_SIZE).ok();
    let place = place.filter(|place| place.end() <= Phys(4 * GIB) && !ram.overlaps(place));
    if let Some(place) = place.filter(|_| xen.show_shared_info(free)) {
        // SAFETY: the window shows the page, which is `shared_info` now.
        unsafe { events::clear(xen, pointer(place.start()), port) };
        xen.hide(free);
    }
}

impl Machine for Pvh {
    type Memory = PhysicalMemory;
    type Clock = TimeStampCounter;

    fn memory(&mut self) -> &mut PhysicalMemory {
        &mut self.memory
    }

    fn clock(&self) -> TimeStampCounter {
        TimeStampCounter
    }

    fn relocate(&mut self, arrangement: &Arrangement) {
        let tables = arrangement.tables;
        // SAFETY: the arrangement has claimed the tables' place for them, below 4 GiB.
        unsafe { paging::write(tables, arrangement.stage0.start(), arrangement.trampoline.start()) };
        // The image is whole pages, as stage0.ld asserts.
        let words = if arrangement.stage0 == self.image { 0 } else { self.image.len() / 8 };
        let (from, to) = (pointer(self.image.start()), pointer(arrangement.stage0.start()));
        // SAFETY: 1. the new tables map the image at the same addresses, to the place that gets its copy; 2. that place
        // is claimed and does not overlap the old one; 3. nothing that PhysicalMemory lent is in use: `self` is
        // borrowed mutably.
        unsafe {
            move_and_switch(to, from, words, tables.start().0);
            self.memory.set_place(arrangement.stage0, tables);
        }
        self.image = arrangement.stage0;
    }
}

/// Copies `words` words and goes on with the tables `cr3`. No byte is written between the two: the stack that this
/// returns on is the copy, as it was before.
///
/// # Safety
/// The copy is of all that the image's addresses show, the tables map these addresses to the copy, and what else the
/// caller uses to the same memory as before.
#[unsafe(naked)]
unsafe extern "C" fn move_and_switch(to: *mut u8, from: *const u8, words: u64, cr3: u64) {
    naked_asm!("mov r8, rcx", "mov rcx, rdx", "rep movsq", "mov cr3, r8", "ret",)
}
