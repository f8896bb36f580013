//! The plan: where each byte of a kernel goes and where it is entered, for one protocol.
//!
//! Of the addresses that an ELF file has, these decide:
//!
//! 1. A segment's place is `p_paddr - paddr_offset`. `p_vaddr` decides neither where memory goes nor how much is needed.
//! 2. `paddr_offset` is 0 for PVH. For PV and direct it is the PADDR_OFFSET note, else 0 with notes, else
//!    ELF_PADDR_OFFSET of `__xen_guest`, else VIRT_BASE there.
//! 3. A kernel without any of these whose every `p_paddr` is its `p_vaddr`, in the upper half, is loaded only with a
//!    virtual base that a person gave; that is then the offset.
//! 4. Entry: PHYS32_ENTRY for PVH. ENTRY or VIRT_ENTRY for PV, else `e_entry`, virtual. For direct `e_entry`, virtual if
//!    it lies in a segment's `p_vaddr` range, else physical if in a `p_paddr` range.
//! 5. A static PIE, a file of type DYN, is entered by direct wherever there is room: one bias, a multiple of 2 MiB and of its
//!    largest `p_align`, is added to every `p_paddr`, and one to every `p_vaddr`. It is mapped 1:1, or from a virtual base that a
//!    person gave.

mod choose;
mod direct;
mod error;
mod pie;
mod pv;
mod pvh;

pub(crate) use direct::{CANONICAL, END_32};
pub use error::{Decision, PlanError};

use super::features::Features;
use super::metadata::{Pae, Source};
use super::segment::{Access, MAX_SEGMENTS, Segment};
use super::symbols::SYMBOL_HEADERS;
use super::{Class, Decisions, Kernel, Pie, Protocol};
use crate::memory::{FileRange, Phys, PhysRange, Virt};

/// The most bytes from a kernel's first byte in memory to its last: what 32-bit PVH code can reach at all, and far more
/// than any kernel of today (the largest known takes 300 MiB).
pub const MAX_KERNEL_AREA: u64 = 4 << 30;

/// Where a segment goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Number of the program header.
    pub index: u16,
    /// Its bytes in the file: they go to the start of `memory`; what is left of `memory` is zero.
    pub file: FileRange,
    /// Its place; may be empty.
    pub memory: PhysRange,
    /// `p_vaddr`: where the direct protocol and [`Mapping::Segments`](super::Mapping::Segments) map it.
    pub virt: Virt,
    /// Access that it asks for.
    pub access: Access,
}

/// Where a kernel is entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// At a physical address. With the direct protocol: through the 1:1 map.
    Physical(Phys),
    /// At a virtual address.
    Virtual(Virt),
}

/// By how much a PVH kernel may be moved, as a whole: PHYS32_RELOC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relocation {
    /// The start is to be a multiple of this, bytes; a power of two, at least a page.
    pub align: u64,
    /// Lowest start.
    pub min: Phys,
    /// Highest last byte.
    pub max: Phys,
}

/// Most ranges that are mapped beside the linear mapping: several times what any known kernel has segments.
pub const MAX_SEGMENT_MAP: usize = 16;

/// Memory that is mapped at an address of its own.
pub type SegmentMap = heapless::Vec<(Virt, PhysRange), MAX_SEGMENT_MAP>;

/// What a PV builder needs beside the placements.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PvLayout {
    /// Virtual address of pseudo-physical 0.
    pub virt_base: Virt,
    /// What was taken off every `p_paddr`.
    pub paddr_offset: u64,
    /// Virtual address of the kernel's lowest byte.
    pub virt_kstart: Virt,
    /// Virtual address behind its last, the symbol table included.
    pub virt_kend: Virt,
    /// Where it is entered.
    pub virt_entry: Virt,
    /// The page that the hypervisor fills.
    pub hypercall_page: Option<Virt>,
    /// Where it wants the list of its frames.
    pub init_p2m: Option<Virt>,
    /// Lowest address for the hypervisor (32-bit).
    pub hv_start_low: Option<Virt>,
    /// The initrd need not be mapped.
    pub mod_start_pfn: bool,
    /// What it says of features.
    pub features: Features,
    /// Kinds of page tables (32-bit).
    pub pae: Pae,
    /// What is mapped beside the linear mapping: whole pages, first address and place of each.
    pub segments: SegmentMap,
}

/// The symbol table that goes behind the kernel (BSD_SYMTAB).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SymbolPlan {
    /// Its first bytes: size word and headers.
    pub headers: [u8; SYMBOL_HEADERS],
    /// Where these go.
    pub headers_at: PhysRange,
    /// The symbols' bytes in the file.
    pub symbols: FileRange,
    /// Where these go.
    pub symbols_at: PhysRange,
    /// The strings' bytes in the file.
    pub strings: FileRange,
    /// Where these go.
    pub strings_at: PhysRange,
}

/// Where each byte of a kernel goes and where it is entered, for one protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The protocol.
    pub protocol: Protocol,
    /// Width of the file: for direct it decides the mode in which the kernel is entered.
    pub class: Class,
    /// From the lowest byte to behind the last, symbol table included: libelf's `pstart` and `pend`, less the offset.
    pub extent: PhysRange,
    /// What to claim and to zero before anything is placed: whole pages, sorted, without overlap. PVH and PV: one, around
    /// [`extent`](Self::extent). Direct: the pages of each segment.
    pub areas: heapless::Vec<PhysRange, MAX_SEGMENTS>,
    /// The segments, in program-header order: where two overlap, the later one's bytes and zeros win.
    pub placements: heapless::Vec<Placement, MAX_SEGMENTS>,
    /// The symbol table, placed after all segments.
    pub symbols: Option<SymbolPlan>,
    /// Where it is entered.
    pub entry: Entry,
    /// By how much it may be moved (PVH).
    pub relocation: Option<Relocation>,
    /// What PV needs beside.
    pub pv: Option<PvLayout>,
    /// Whether it is a Linux.
    pub linux: bool,
    /// What a static PIE is relocated by (direct).
    pub pie: Option<Pie>,
}

impl Kernel {
    /// The plan for `protocol`, or why there is none. What mstrap refuses beyond libelf is refused here.
    pub fn plan(&self, protocol: Protocol, decisions: &Decisions) -> Result<Plan, PlanError> {
        match protocol {
            Protocol::Pvh => self.plan_pvh(decisions),
            Protocol::Pv => self.plan_pv(decisions),
            Protocol::Direct => self.plan_direct(decisions),
        }
    }

    /// What [`plan`](Self::plan) says for every protocol.
    pub fn protocols(&self, decisions: &Decisions) -> [(Protocol, Result<(), PlanError>); 3] {
        [Protocol::Pvh, Protocol::Pv, Protocol::Direct]
            .map(|protocol| (protocol, self.plan(protocol, decisions).map(drop)))
    }

    /// Whether the kernel says nothing to Xen and every segment's `p_paddr` is its `p_vaddr`, in the upper half of the
    /// addresses that its class has.
    fn has_virtual_paddrs(&self) -> bool {
        let upper_half: u64 = match self.class {
            Class::Elf32 => 1 << 31,
            Class::Elf64 => 1 << 63,
        };
        let is_virtual = |segment: &Segment| segment.paddr == segment.vaddr.0 && segment.paddr >= upper_half;
        self.xen.source == Source::None && self.segments.iter().all(is_virtual)
    }

    /// What to take off every `p_paddr`, for PV and direct.
    fn paddr_offset(&self, decisions: &Decisions) -> Result<u64, PlanError> {
        let virt_base = decisions.virt_base.or(self.xen.virt_base).unwrap_or_default().0;
        match self.xen.source {
            Source::Segments | Source::Sections => Ok(self.xen.paddr_offset.unwrap_or(0)),
            Source::GuestString => Ok(self.xen.paddr_offset.unwrap_or(virt_base)),
            Source::None if !self.has_virtual_paddrs() => Ok(0),
            Source::None if decisions.virt_base.is_some() => Ok(virt_base),
            Source::None => Err(PlanError::VirtualPaddr { paddr: self.lowest_paddr() }),
        }
    }

    fn lowest_paddr(&self) -> u64 {
        self.segments.iter().map(|segment| segment.paddr).min().unwrap_or(0)
    }

    /// From the lowest `p_paddr` to behind the last, symbol table included.
    fn paddr_bounds(&self) -> Result<(u64, u64), PlanError> {
        let start = self.lowest_paddr();
        let end = self.segments.iter().map(Segment::paddr_end).max().unwrap_or(0);
        let end = match &self.symbols {
            Some(symbols) => symbols.layout(end).ok_or(PlanError::AreaTooLarge { start, end })?.end,
            None => end,
        };
        Ok((start, end))
    }

    /// Places every segment at its `p_paddr - offset`, modulo 2^64 if it `wraps`.
    fn placements(&self, offset: u64, wraps: bool) -> Result<heapless::Vec<Placement, MAX_SEGMENTS>, PlanError> {
        let place = |segment: &Segment| {
            let paddr = segment.paddr;
            let below = || PlanError::BelowOffset { index: segment.index, paddr, offset };
            let start = paddr.checked_sub(offset).or_else(|| wraps.then(|| paddr.wrapping_sub(offset)));
            let start = start.ok_or_else(below)?;
            let too_large = || PlanError::AreaTooLarge { start, end: segment.paddr_end() };
            Ok(Placement {
                index: segment.index,
                file: segment.file,
                memory: PhysRange::sized(Phys(start), segment.memory_len).map_err(|_| too_large())?,
                virt: segment.vaddr,
                access: segment.access,
            })
        };
        self.segments.iter().map(place).collect()
    }

    /// Refuses INIT_P2M in the kernel. libelf does so for PVH too, where it means nothing.
    fn check_p2m(&self, start: Virt, end: Virt) -> Result<(), PlanError> {
        match self.xen.init_p2m {
            Some(p2m) if start <= p2m && p2m < end => Err(PlanError::P2mInside { p2m, start, end }),
            _ => Ok(()),
        }
    }

    /// A plan whose segments lie in one area, as a builder of Xen allocates them.
    fn in_one_area(&self, protocol: Protocol, offset: u64, entry: Entry) -> Result<Plan, PlanError> {
        let (start, end) = self.paddr_bounds()?;
        let too_large = || PlanError::AreaTooLarge { start, end };
        let placements = self.placements(offset, false)?;
        let place = |paddr: u64| paddr.checked_sub(offset).map(Phys).ok_or_else(too_large);
        let extent = PhysRange::new(place(start)?, place(end)?).map_err(|_| too_large())?;
        let symbols = self.symbol_plan(offset)?;
        let area = extent.page_hull().ok().filter(|area| area.len() <= MAX_KERNEL_AREA).ok_or_else(too_large)?;
        let symbols_end = symbols.as_ref().map_or(area.end(), |symbols| symbols.strings_at.end());
        if symbols_end > area.end() {
            return Err(PlanError::SymbolsOutside { end: symbols_end, area: area.end() });
        }
        self.check_placed(area.len())?;
        let areas = core::iter::once(area).collect();
        let (class, linux, pie) = (self.class, self.xen.is_linux(), None);
        Ok(Plan { protocol, class, extent, areas, placements, symbols, entry, relocation: None, pv: None, linux, pie })
    }

    /// Refuses segments that share memory more than twice over: what is written there again and again, or mapped at ever more
    /// addresses, takes time and tables. `area` is the bytes of all that they cover.
    fn check_placed(&self, area: u64) -> Result<(), PlanError> {
        let placed = self.segments.iter().fold(0u64, |sum, segment| sum.saturating_add(segment.memory_len));
        if placed > area.saturating_mul(2) { Err(PlanError::PlacedTooOften { placed, area }) } else { Ok(()) }
    }

    /// Where the symbol table goes.
    fn symbol_plan(&self, offset: u64) -> Result<Option<SymbolPlan>, PlanError> {
        let Some(symbols) = &self.symbols else { return Ok(None) };
        let end = self.segments.iter().map(Segment::paddr_end).max().unwrap_or(0);
        let too_large = || PlanError::AreaTooLarge { start: self.lowest_paddr(), end };
        let layout = symbols.layout(end).ok_or_else(too_large)?;
        let place = |paddr: u64, len: u64| {
            let start = paddr.checked_sub(offset).map(Phys);
            start.and_then(|start| PhysRange::sized(start, len).ok()).ok_or_else(too_large)
        };
        Ok(Some(SymbolPlan {
            headers: symbols.headers(&layout),
            headers_at: place(layout.start, SYMBOL_HEADERS as u64)?,
            symbols: symbols.symbols,
            symbols_at: place(layout.symbols, symbols.symbols.len())?,
            strings: symbols.strings,
            strings_at: place(layout.strings, symbols.strings.len())?,
        }))
    }

    /// Refuses a feature that the kernel must have and that has no name, as libelf does.
    fn check_features(&self) -> Result<(), PlanError> {
        match &self.xen.features.unknown {
            Some(name) => Err(PlanError::UnknownFeature { name: name.clone() }),
            None => Ok(()),
        }
    }
}
