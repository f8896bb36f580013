//! What a PV domain's kernel is started with: where a builder puts everything around it. The rules are those of libxenguest
//! for a domU (Xen's tools/libs/guest: xg_dom_core.c, xg_dom_x86.c) and of Xen's dom0 builder for the initial domain
//! and under pvshim (xen/arch/x86/pv/dom0_build.c).

mod ends;
mod error;
mod need;
pub mod tables;

pub use error::PvError;
pub use need::{PvNeedError, PvWanted, SimulatedPv, pv_memory_need, simulated_pv};

use crate::kernel::PvLayout;
use crate::memory::{GIB, PAGE_SIZE, Pfn, Phys, PhysRange, Ram, Virt};
use ends::{toolstack_end, xen_end};
use tables::{Order, Tables, exist, table_count};

/// Bytes of a frame's entry in the list of frames.
const P2M_ENTRY: u64 = 8;
/// Most frames of a domain: 16 TiB, which is what Xen supports (SUPPORT.md); the list of frames then takes 32 GiB.
pub const MAX_PAGES: u64 = 16 * 1024 * GIB / PAGE_SIZE;

/// Who builds a PV domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PvBuilder {
    /// libxenguest.
    Toolstack,
    /// Xen itself: the initial domain, or the one under pvshim, which has rings for console and xenstore.
    Xen {
        /// Whether there are such rings.
        rings: bool,
    },
}

/// A PV domain as far as its size and its builder decide on the layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PvDomain {
    /// Its frames; at most [`MAX_PAGES`].
    pub nr_pages: u64,
    /// Who built it.
    pub builder: PvBuilder,
}

/// Where everything is when a PV kernel starts. Ranges are whole pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartOfDay {
    /// The virtual address of pseudo-physical 0; all up to `mapped_end` is mapped from here on.
    pub virt_base: Virt,
    /// The module; empty if there is none.
    pub module: PhysRange,
    /// Whether the module is mapped, else it lies behind what is.
    pub module_mapped: bool,
    /// The list of frames.
    pub p2m: PhysRange,
    /// Its virtual address.
    pub p2m_virt: Virt,
    /// Page tables for the list alone, behind it; empty where it lies in the linear mapping.
    pub p2m_tables: PhysRange,
    /// start_info's page.
    pub start_info: PhysRange,
    /// Ring for xenstore; empty in the initial domain.
    pub xenstore: PhysRange,
    /// Ring for the console; empty in the initial domain.
    pub console: PhysRange,
    /// The page tables of the linear mapping, the top one first.
    pub tables_at: PhysRange,
    /// Page tables of everything.
    pub tables: Tables,
    /// The page of the boot stack.
    pub stack: PhysRange,
    /// End of the linear mapping.
    pub mapped_end: Phys,
    /// End of all that was laid out.
    pub end: Phys,
    /// First frame of the list where it is not in the linear mapping. Otherwise libxenguest says 0, and Xen how many frames it had
    /// given out by then.
    pub first_p2m: Pfn,
}

/// Hands out pages upwards.
struct Cursor {
    next: u64,
    limit: u64,
}

impl Cursor {
    fn take(&mut self, len: u64) -> Result<PhysRange, PvError> {
        let too_small = || PvError::TooSmall { needed: self.next.saturating_add(len), found: self.limit };
        let len = len.checked_next_multiple_of(PAGE_SIZE).ok_or_else(too_small)?;
        let end = self.next.checked_add(len).filter(|end| *end <= self.limit).ok_or_else(too_small)?;
        let range = PhysRange::new(Phys(self.next), Phys(end)).map_err(|_| too_small())?;
        self.next = end;
        Ok(range)
    }
}

impl StartOfDay {
    /// The layout around a kernel that takes `kernel` (whole pages), with a module of `module` bytes (0: none).
    pub fn new(pv: &PvLayout, kernel: PhysRange, module: u64, domain: &PvDomain) -> Result<Self, PvError> {
        // As libxenguest and Xen's dom0 builder, the shim's apart, refuse a kernel.
        match domain.builder {
            PvBuilder::Xen { rings: false } if pv.features.is_never_for_dom0() => return Err(PvError::NeverDom0),
            PvBuilder::Toolstack if pv.features.is_for_dom0_alone() => return Err(PvError::OnlyDom0),
            _ => {}
        }
        let nr_pages = domain.nr_pages.min(MAX_PAGES);
        let mut cursor = Cursor { next: kernel.end().0, limit: nr_pages * PAGE_SIZE };
        cursor.take(0)?;
        let module_mapped = !pv.mod_start_pfn;
        let module_at = if module_mapped { cursor.take(module)? } else { PhysRange::EMPTY };
        let (rings, order) = match domain.builder {
            PvBuilder::Toolstack => (true, Order::ByLevel),
            PvBuilder::Xen { rings } => (rings, Order::ByUse),
        };
        // libxenguest takes no notice of an address that it cannot use; Xen's dom0 builder uses any.
        let usable = |at: &Virt| at.0 < pv.virt_base.0 && at.is_aligned(PAGE_SIZE);
        let init_p2m = pv.init_p2m.filter(|at| usable(at));
        let p2m_len = nr_pages * P2M_ENTRY;
        let p2m = if init_p2m.is_none() { cursor.take(p2m_len)? } else { PhysRange::EMPTY };
        let start_info = cursor.take(PAGE_SIZE)?;
        let ring = if rings { PAGE_SIZE } else { 0 };
        let (xenstore, console) = (cursor.take(ring)?, cursor.take(ring)?);

        // Tables for segments lie among those of the linear mapping, behind its own.
        let more = |(virt, memory): &(Virt, PhysRange)| (table_count(*virt, memory.len()) - 1) * PAGE_SIZE;
        let used = cursor.next.saturating_add(pv.segments.iter().map(more).sum());
        let mapped_end = match domain.builder {
            PvBuilder::Toolstack => toolstack_end(pv.virt_base, used)?,
            PvBuilder::Xen { .. } => xen_end(pv.virt_base, used)?,
        };
        let not_there = |base, used| Err(PvError::BeyondAddresses { base, used });
        if !exist(pv.virt_base, mapped_end.0) {
            return not_there(pv.virt_base, cursor.next);
        }
        let linear = PhysRange::new(Phys(0), mapped_end).unwrap_or_default();
        let tables_at = cursor.take(table_count(pv.virt_base, linear.len()) * PAGE_SIZE)?;
        let mut tables = Tables::new(order, tables_at.start().pfn(), pv.virt_base, linear);
        for (virt, memory) in &pv.segments {
            if meets(*virt, memory.len(), pv.virt_base, mapped_end.0) {
                return not_there(*virt, memory.len());
            }
            let more = cursor.take(tables.missing(*virt, memory.len()) * PAGE_SIZE)?;
            tables.add(*virt, *memory, more.start().pfn());
        }
        let tables_at = PhysRange::new(tables_at.start(), Phys(cursor.next)).unwrap_or(tables_at);
        let stack = cursor.take(PAGE_SIZE)?;
        cursor.take(mapped_end.0 - cursor.next)?;
        let mut day = Self {
            virt_base: pv.virt_base,
            module: module_at,
            module_mapped,
            p2m,
            p2m_virt: Virt(pv.virt_base.0.wrapping_add(p2m.start().0)),
            p2m_tables: PhysRange::EMPTY,
            start_info,
            xenstore,
            console,
            tables_at,
            tables,
            stack,
            mapped_end,
            end: mapped_end,
            first_p2m: Pfn(0),
        };
        let is_xen = matches!(domain.builder, PvBuilder::Xen { .. });
        // Xen allocates what it maps, but for the module, as one piece of memory, and numbers the rest behind it.
        let whole = if is_xen { mapped_end.0.next_power_of_two() } else { mapped_end.0 };
        if !module_mapped && module != 0 {
            cursor.next = whole;
            day.module = cursor.take(module)?;
            day.end = day.module.end();
        }
        if is_xen {
            day.first_p2m = Phys(whole + day.module.len()).pfn();
        }
        if let Some(at) = init_p2m {
            day.place_list(&mut cursor, pv, at, p2m_len, is_xen)?;
        }
        Ok(day)
    }

    /// Places the list of frames, `len` bytes, and the tables that map it at `at`, behind all that is mapped.
    fn place_list(
        &mut self,
        cursor: &mut Cursor,
        pv: &PvLayout,
        at: Virt,
        len: u64,
        is_xen: bool,
    ) -> Result<(), PvError> {
        let meets_segment = |(virt, memory): &(Virt, PhysRange)| meets(*virt, memory.len(), at, len);
        // The linear mapping begins above.
        if !exist(at, len) || len > pv.virt_base.0.saturating_sub(at.0) || pv.segments.iter().any(meets_segment) {
            return Err(PvError::BeyondAddresses { base: at, used: len });
        }
        let tables_len = self.tables.missing(at, len) * PAGE_SIZE;
        if is_xen {
            cursor.next = self.first_p2m.0 * PAGE_SIZE;
            self.p2m_tables = cursor.take(tables_len)?;
            self.p2m = cursor.take(len)?;
        } else {
            self.p2m = cursor.take(len)?;
            self.p2m_tables = cursor.take(tables_len)?;
            self.first_p2m = self.p2m.start().pfn();
        }
        self.tables.add(at, self.p2m, self.p2m_tables.start().pfn());
        (self.p2m_virt, self.end) = (at, Phys(cursor.next));
        Ok(())
    }

    /// The virtual address of `at`, in the linear mapping.
    pub const fn virt(&self, at: Phys) -> Virt {
        Virt(self.virt_base.0.wrapping_add(at.0))
    }

    /// Refuses a place for the module that is not RAM, or where `ram` leaves out what is in use: Xen numbers it far behind all else.
    pub fn check_module(&self, ram: &Ram) -> Result<(), PvError> {
        if self.module.is_empty() || ram.covers(&self.module) {
            return Ok(());
        }
        Err(PvError::TooSmall { needed: self.module.end().0, found: ram.total() })
    }

    /// What must be free of all else while the kernel is put together: everything but the module, whose frames take their
    /// place last.
    pub fn areas(&self) -> heapless::Vec<PhysRange, 3> {
        let inside = if self.module_mapped { self.module } else { PhysRange::EMPTY };
        let split = if inside.is_empty() { self.mapped_end } else { inside.start() };
        let parts = [
            PhysRange::new(Phys(0), split),
            PhysRange::new(inside.end().max(split), self.mapped_end),
            Ok(if self.p2m_tables.is_empty() { PhysRange::EMPTY } else { self.p2m.hull(&self.p2m_tables) }),
        ];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect()
    }

    /// First frame behind what was laid out.
    pub const fn end_pfn(&self) -> Pfn {
        self.end.pfn()
    }
}

/// Whether addresses in a row, `len` bytes from `first` on, have any in common with `other_len` from `other` on.
const fn meets(first: Virt, len: u64, other: Virt, other_len: u64) -> bool {
    first.0.wrapping_sub(other.0) < other_len || other.0.wrapping_sub(first.0) < len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Features;
    use crate::memory::{MIB, Started};

    fn laid_out(virt_base: u64, init_p2m: Option<u64>) -> Result<StartOfDay, PvError> {
        with_segments(virt_base, init_p2m, &[])
    }

    fn with_segments(
        virt_base: u64,
        init_p2m: Option<u64>,
        segments: &[(u64, u64, u64)],
    ) -> Result<StartOfDay, PvError> {
        let range = |start, len| PhysRange::sized(Phys(start), len).unwrap();
        let segments = segments.iter().map(|(virt, start, len)| (Virt(*virt), range(*start, *len)));
        let layout = PvLayout {
            virt_base: Virt(virt_base),
            paddr_offset: 0,
            virt_kstart: Virt(0),
            virt_kend: Virt(0),
            virt_entry: Virt(0),
            hypercall_page: None,
            init_p2m: init_p2m.map(Virt),
            hv_start_low: None,
            mod_start_pfn: true,
            features: Features::default(),
            pae: Default::default(),
            segments: segments.collect(),
        };
        let kernel = PhysRange::sized(Phys(MIB), MIB).unwrap();
        let domain = PvDomain { nr_pages: 64 * MIB / PAGE_SIZE, builder: PvBuilder::Toolstack };
        StartOfDay::new(&layout, kernel, 0, &domain)
    }

    /// OpenSolaris': three levels for the two together, one of level 1 for each 2 MiB.
    #[test]
    fn tables_of_segments_are_counted_with_the_others() {
        let base = 0x4000_0000;
        let alone = laid_out(base, None).unwrap();
        let segments = [(0xffff_ffff_fb80_0000, MIB, 0x39_b000), (0xffff_ffff_fbc0_0000, 6 * MIB, 0xe_4000)];
        let day = with_segments(base, None, &segments).unwrap();
        let tables = |day: &StartOfDay| day.tables.all().count() as u64 + 1;
        assert_eq!(tables(&day), tables(&alone) + 2 + 2 + 1);
        assert_eq!(day.tables_at.len(), tables(&day) * PAGE_SIZE);
        assert!(day.tables.all().all(|(.., table)| day.tables_at.contains(table.phys().unwrap())));
        assert!(day.mapped_end >= day.stack.end() && day.stack.start() == day.tables_at.end());

        // Where the linear mapping is, and where the list of frames is.
        for (virt, init_p2m) in [(base + 0x1000, None), (0x1000_0000, Some(0x1000_1000))] {
            let found = with_segments(base, init_p2m, &[(virt, MIB, 0x2000)]);
            assert!(matches!(found, Err(PvError::BeyondAddresses { .. })), "{virt:#x}: {found:?}");
        }
    }

    /// As Xen 4.20's shim was seen to number them.
    #[test]
    fn xen_numbers_module_and_list_behind_a_power_of_two() {
        let (virt_base, init_p2m) = (Virt(0xffff_ffff_8000_0000), Some(Virt(0x80_0000_0000)));
        let layout = PvLayout { virt_base, init_p2m, mod_start_pfn: true, ..PvLayout::default() };
        let kernel = PhysRange::sized(Phys(16 * MIB), 6 * MIB).unwrap();
        let domain = PvDomain { nr_pages: 27104, builder: PvBuilder::Xen { rings: true } };
        let day = StartOfDay::new(&layout, kernel, 1_000_003, &domain).unwrap();
        assert_eq!(day.mapped_end, Phys(24 * MIB));
        assert_eq!((day.module.start().pfn(), day.first_p2m), (Pfn(0x2000), Pfn(0x20f5)));
        assert_eq!((day.p2m_tables.start().pfn(), day.p2m.start().pfn()), (Pfn(0x20f5), Pfn(0x20f8)));
        assert_eq!(day.end_pfn(), Pfn(0x20f8 + 53));
    }

    /// Xen numbers it so far behind the rest that it would reach into stage0's own tables, at the end of RAM.
    #[test]
    fn a_module_has_its_place_in_ram() {
        let own = PvLayout { virt_base: Virt(0xffff_ffff_8000_0000), ..PvLayout::default() };
        let range = |start, len| PhysRange::sized(Phys(start), len).unwrap();
        let wanted = PvWanted {
            own: &own,
            started: Started { stage0: range(MIB, 0xca000), pack_len: 13 * MIB },
            layout: &PvLayout { mod_start_pfn: true, ..own.clone() },
            kernel: range(16 * MIB, 50 * MIB),
            module: MIB - 0x10000,
            scratch: 5 * MIB,
            builder: PvBuilder::Xen { rings: true },
        };
        assert_eq!(pv_memory_need(&wanted), Ok(130 * MIB));
        assert!(
            matches!(simulated_pv(&wanted, 129 * MIB), Err(PvError::TooSmall { needed, .. }) if needed == 0x80f_0000)
        );
        let day = simulated_pv(&wanted, 130 * MIB).unwrap();
        assert!(day.arrangement.is_ok() && day.ram.covers(&day.start_of_day.module));
    }

    #[test]
    fn addresses_that_do_not_exist_are_refused() {
        let base = 0xffff_ffff_8000_0000;
        assert!(laid_out(base, Some(0x80_0000_0000)).is_ok());
        for (base, init_p2m) in [
            (0xffff_ffff_f000, None),
            (0x7fff_ffe0_0000, None),
            (0x8000_0000_0000, None),
            (base + 0x33, None),
            (base, Some(0x7fff_ffff_f000)),
            (base, Some(0xffff_0000_0000)),
            // The list would reach into the linear mapping.
            (base, Some(base - PAGE_SIZE)),
        ] {
            let found = laid_out(base, init_p2m);
            assert!(matches!(found, Err(PvError::BeyondAddresses { .. })), "{base:#x} {init_p2m:x?}: {found:?}");
        }
    }
}
