//! The domain as its start_info describes it, and the window to frames that are not mapped.

use core::cell::UnsafeCell;

use probe::{TABLE_PAGE, Table};
use shared::xen::pv::{SIF_INITDOMAIN, SIF_MOD_START_PFN, StartInfo};
use zerocopy::FromBytes;

use crate::entry::{State, Work};
use crate::hypercall::{self, MachPhys};
use crate::memory::{self, PAGE};

/// Where a page table entry has its frame.
pub(crate) const FRAME_MASK: u64 = 0x000f_ffff_ffff_f000;
/// Present and accessed, as builders write it.
const READABLE: u64 = 0x21;
/// Present, writable and accessed.
const WRITABLE: u64 = 0x23;

/// The host's table, which only the loaded image holds.
#[repr(C, align(4096))]
struct TablePage([u8; TABLE_PAGE]);
#[unsafe(link_section = ".table")]
#[used]
static TABLE: TablePage = TablePage([0; TABLE_PAGE]);

/// A page of .bss whose address the window takes.
static WINDOW: Work<[u8; PAGE as usize]> = Work(UnsafeCell::new([0; PAGE as usize]));

/// One virtual address at which any frame can be looked at.
pub(crate) struct Window {
    pub(crate) virt: u64,
    /// The entry that it had.
    pub(crate) original: u64,
}

impl Window {
    /// Maps a machine frame read-only.
    pub(crate) fn map(&self, frame: u64) -> bool {
        hypercall::update_window(self.virt, (frame * PAGE) | READABLE) == 0
    }

    /// Tries to map a machine frame writable: Xen refuses tables, descriptor tables, and what is not the domain's.
    pub(crate) fn map_writable(&self, frame: u64) -> i64 {
        hypercall::update_window(self.virt, (frame * PAGE) | WRITABLE)
    }

    /// Maps what was there.
    pub(crate) fn restore(&self) {
        hypercall::update_window(self.virt, self.original);
    }
}

/// Everything by which frames and addresses are found.
pub(crate) struct Domain {
    pub(crate) table: Table,
    pub(crate) start_info: StartInfo,
    pub(crate) window: Window,
    machphys: MachPhys,
}

impl Domain {
    /// Reads start_info and the table.
    pub(crate) fn find(state: &State) -> Option<Self> {
        let mut page = [0; size_of::<Table>()];
        memory::copy(&raw const TABLE as u64, &mut page);
        let table = Table::read_from_bytes(&page).ok()?;
        let start_info = memory::read::<StartInfo, { size_of::<StartInfo>() }>(state.start_info())?;
        let virt = WINDOW.0.get() as u64;
        let machphys = hypercall::machphys();
        let mut domain = Self { table, start_info, window: Window { virt, original: 0 }, machphys };
        domain.window.original = domain.leaf(virt)?;
        Some(domain)
    }

    /// Whether this is the initial domain, whose console is Xen's own.
    pub(crate) fn is_initial(&self) -> bool {
        self.start_info.flags.get() & SIF_INITDOMAIN != 0
    }

    /// Whether `mod_start` is a frame.
    pub(crate) fn is_module_by_frame(&self) -> bool {
        self.start_info.flags.get() & SIF_MOD_START_PFN != 0
    }

    /// The virtual address of a pseudo-physical frame in the builder's linear mapping.
    pub(crate) fn virt(&self, pfn: u64) -> u64 {
        self.table.virt_base.wrapping_add(pfn * PAGE)
    }

    /// The machine frame that the P2M list has for a frame; `None` beyond the list and for holes.
    pub(crate) fn mfn(&self, pfn: u64) -> Option<u64> {
        let known = pfn < self.start_info.nr_pages.get();
        let entry = known.then(|| memory::read_u64(self.start_info.mfn_list.get().wrapping_add(pfn * 8)))?;
        (entry <= self.machphys.max).then_some(entry)
    }

    /// What Xen's own list says that a machine frame is to its owner.
    pub(crate) fn pfn(&self, mfn: u64) -> Option<u64> {
        let pfn = (mfn <= self.machphys.max).then(|| memory::read_u64(self.machphys.start + mfn * 8))?;
        (pfn < self.start_info.nr_pages.get()).then_some(pfn)
    }

    /// The entry of level 1 by which `virt` is mapped, found in the linear mapping.
    fn leaf(&self, virt: u64) -> Option<u64> {
        let mut table = self.start_info.pt_base.get();
        for shift in [39, 30, 21] {
            let entry = memory::read_u64(table + (virt >> shift & 511) * 8);
            table = self.virt(self.pfn((entry & FRAME_MASK) / PAGE)?);
        }
        Some(memory::read_u64(table + (virt >> 12 & 511) * 8))
    }
}
