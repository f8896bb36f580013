//! A PV domain's machine: its memory is seen through the window, and what moves is renamed.

use core::ptr;

use shared::memory::{Arrangement, PAGE_SIZE, Pfn, Phys, PhysRange, Ram, Virt};
use shared::xen::pv::{
    FLAT_KERNEL_SS64, HYPERVISOR_SET_TRAP_TABLE, HYPERVISOR_STACK_SWITCH, MMUEXT_PIN_L4_TABLE, MmuextOp, StartInfo,
};

use super::calls::{self, ByXen};
use super::frames::{Frames, Mfn, PAGE, View, frame};
use super::handed::{PvHanded, PvHandedError};
use super::room::{Place, Room};
use super::tables::{Builders, Filler, fill_window, hook_window, scratch};
use crate::entry::{image_layout, image_place};
use crate::platform::clock::TimeStampCounter;
use crate::platform::memory::PhysicalMemory;
use crate::platform::xen::Xen;
use crate::platform::{Machine, VIRT_BASE, events, ring};

/// The register by which Xen fills a hypercall page (public/arch-x86/cpuid.h: leaf 2, EBX; without Viridian).
const HYPERCALL_MSR: u32 = 0x4000_0000;

/// The machine of a PV domain.
#[derive(Debug)]
pub struct Pv {
    memory: PhysicalMemory,
    image: PhysRange,
    /// Where the builder's structures are now.
    structures: PhysRange,
    builders: Builders,
    place: Place,
    /// The frame of the page whose address shows other frames for a while.
    own: Mfn,
}

impl Pv {
    /// The machine, and its RAM as far as stage0 reaches it, without its own tables.
    ///
    /// # Safety
    /// Called once, by the PV entry, on the builder's tables, with what the builder handed over.
    pub unsafe fn new(handed: &PvHanded) -> Result<(Self, Ram), PvHandedError> {
        let info = &handed.info;
        let list = ptr::with_exposed_provenance_mut::<u64>(handed.list().0 as usize);
        let len = usize::try_from(handed.domain.nr_pages).unwrap_or(0);
        // SAFETY: the builder maps the list, which has an entry for each frame of the domain; nobody else refers to it.
        let list = unsafe { core::slice::from_raw_parts_mut(list, len) };

        let (image, structures) = (image_place(), handed.structures);
        let Room { ram, frames, place } = Room::find(list, image, handed)?;
        let too_small = PvHandedError::NoRoom { found: handed.domain.nr_pages * PAGE_SIZE };

        let base = Virt(info.pt_base.get());
        let builders = Builders { base, first: pfn_of(base), count: info.nr_pt_frames.get() };
        let own = frame(list, pfn_of(scratch())).ok_or(too_small)?;
        let window = {
            let filler = Filler::new(list, own);
            fill_window(&filler, &place, frames, &[image, structures])
        };
        let guard = image_layout().stack_guard.0.wrapping_sub(VIRT_BASE);
        let below = PhysRange::new(image.start(), Phys(guard)).unwrap_or(image);
        let above = PhysRange::new(Phys(guard + PAGE_SIZE), image.end()).unwrap_or(image);
        // Before the tables are in use: they may lie in the builder's mapping.
        builders.keep_only(list, &[below, above, structures]);
        if !hook_window(list, &builders, window) {
            return Err(too_small);
        }
        // SAFETY: 1. called once; 2. the window shows all frames of RAM up to its end, writable, but for what is hidden;
        // 3. all that Rust code holds is within the image or the builder's structures.
        let mut memory = unsafe { PhysicalMemory::new(image, Phys(frames * PAGE_SIZE)) };
        // SAFETY: as above, for both.
        unsafe { memory.set_place(image, structures) };
        memory.rename_by(Frames::new(list, place.range.start().pfn(), ByXen));
        Ok((Self { memory, image, structures, builders, place, own }, ram))
    }

    /// Where stage0's image lies.
    pub const fn image(&self) -> PhysRange {
        self.image
    }

    /// Where the builder's structures are.
    pub const fn structures(&self) -> PhysRange {
        self.structures
    }

    /// Maps the frame `pfn` at `at` in the tables that are in use; false if stage0's own things are there.
    ///
    /// # Safety
    /// Nobody needs what is at this address any more.
    pub unsafe fn map_at(&mut self, at: Virt, pfn: Pfn) -> bool {
        let Some(frames) = self.memory.frames() else { return false };
        let mfn = frames.mfn(pfn).filter(|_| self.builders.reach(frames.list(), self.own, &self.place, at));
        let Some(mfn) = mfn else { return false };
        // SAFETY: promised by the caller; `reach` keeps stage0's own tables.
        unsafe { calls::map(at, mfn.entry(PAGE)) };
        true
    }

    /// Lets Xen check the tables below `top`, and keep them.
    ///
    /// # Safety
    /// The tables are in no use, and the window shows none of them.
    pub unsafe fn pin(&mut self, top: Mfn) {
        let pin = MmuextOp { cmd: MMUEXT_PIN_L4_TABLE, mfn: top.0, ..MmuextOp::default() };
        // SAFETY: promised by the caller.
        unsafe { calls::mmuext(&pin) };
    }

    /// Lets Xen fill the hypercall page in this frame.
    ///
    /// # Safety
    /// The frame holds nothing that anybody still needs.
    pub unsafe fn fill_hypercall_page(&mut self, page: Mfn) {
        // SAFETY: promised by the caller; Xen takes the frame's machine address (measured).
        unsafe { x86::msr::wrmsr(HYPERCALL_MSR, page.0 << 12) };
    }

    /// The builder's top table.
    pub fn old_top(&mut self) -> Option<Mfn> {
        self.memory.frames()?.mfn(self.builders.first)
    }

    /// Takes back all that the domain has from stage0: handlers, kernel stack, traces of the console.
    pub fn leave(&mut self, stack: Virt, info: &StartInfo) {
        ring::drain(Xen::Syscall);
        if let Some(port) = ring::used() {
            self.forget_events(port, info.shared_info.get());
        }
        // SAFETY: without handlers nothing of stage0's is used; a stack is only used by them.
        unsafe {
            Xen::Syscall.call(HYPERVISOR_SET_TRAP_TABLE, [0; 4]);
            Xen::Syscall.call(HYPERVISOR_STACK_SWITCH, [FLAT_KERNEL_SS64, stack.0, 0, 0]);
        }
    }

    /// Clears what the console's events left in `shared_info`, once they are over.
    fn forget_events(&mut self, port: u32, shared_info: u64) {
        let at = scratch();
        // SAFETY: the scratch page is nobody's, and its address shows `shared_info` meanwhile.
        unsafe { calls::map(at, Mfn(shared_info >> 12).entry(PAGE)) };
        let page = ptr::with_exposed_provenance_mut::<u8>(at.0 as usize);
        // SAFETY: the page is mapped.
        unsafe { events::clear(Xen::Syscall, page, port) };
        // SAFETY: the page gets its own frame again.
        unsafe { calls::map(at, self.own.entry(PAGE)) };
    }
}

impl Machine for Pv {
    type Memory = PhysicalMemory;
    type Clock = TimeStampCounter;

    fn memory(&mut self) -> &mut PhysicalMemory {
        &mut self.memory
    }

    fn clock(&self) -> TimeStampCounter {
        TimeStampCounter
    }

    fn relocate(&mut self, arrangement: &Arrangement) {
        let (image, structures) = (arrangement.stage0, arrangement.structures);
        if let Some(frames) = self.memory.frames() {
            frames.relocate(self.image, image, View::Hidden);
            frames.relocate(self.structures, structures, View::Hidden);
        }
        // SAFETY: stage0 stands on the same frames as before, which have these numbers now.
        unsafe { self.memory.set_place(image, structures) };
        let moved = structures.start().pfn().0.wrapping_sub(self.structures.start().pfn().0);
        self.builders.first = Pfn(self.builders.first.0.wrapping_add(moved));
        (self.image, self.structures) = (image, structures);
    }
}

/// Finds the console ring in the builder's linear mapping, for lines of stage0.
///
/// # Safety
/// Called before anything moved, with what the builder handed over.
pub unsafe fn set_console(handed: &PvHanded, mfn: u64, port: u32) {
    let list = ptr::with_exposed_provenance::<u64>(handed.list().0 as usize);
    let frames = handed.structures.start().pfn().0..handed.structures.end().pfn().0.min(handed.domain.nr_pages);
    for pfn in frames {
        // SAFETY: the builder maps the list, which has an entry for each frame.
        if unsafe { list.add(pfn as usize).read() } == mfn {
            let page = VIRT_BASE.wrapping_add(pfn * PAGE_SIZE);
            // SAFETY: the builder maps the frame here, and no Rust code holds it.
            unsafe { ring::set(ptr::with_exposed_provenance_mut(page as usize), port) };
        }
    }
}

/// The number of the frame that the builder mapped at `at`.
const fn pfn_of(at: Virt) -> Pfn {
    Pfn(at.0.wrapping_sub(VIRT_BASE) / PAGE_SIZE)
}
