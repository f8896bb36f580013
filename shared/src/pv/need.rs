//! How much memory a PV domain must have, found by laying out and arranging as its builder and stage0 do.

use core::fmt;

use super::tables::window_len;
use super::{PvBuilder, PvDomain, PvError, StartOfDay};
use crate::kernel::PvLayout;
use crate::memory::{
    ArrangeError, Arrangement, Found, GIB, Low, MIB, PAGE_SIZE, Phys, PhysRange, Ram, Region, RegionKind, Room,
    Started, Wanted, arrange, first_scratch,
};

/// Most memory that is tried, bytes: as much as of other domains.
const MAX_TRIED: u64 = 16 * GIB;

/// A kernel, and what a PV domain is started with for it, bytes.
#[derive(Clone, Copy, Debug)]
pub struct PvWanted<'a> {
    /// stage0's own layout.
    pub own: &'a PvLayout,
    /// stage0 and the pack.
    pub started: Started,
    /// The kernel's layout.
    pub layout: &'a PvLayout,
    /// The kernel's place.
    pub kernel: PhysRange,
    /// Its module; 0 if there is none.
    pub module: u64,
    /// Scratch.
    pub scratch: u64,
    /// Who builds the domain.
    pub builder: PvBuilder,
}

/// What a PV domain is like when stage0 begins, and where everything goes in it.
#[derive(Clone, Debug)]
pub struct SimulatedPv {
    /// Its RAM without stage0's tables, which are at its end.
    pub ram: Ram,
    /// The pack, which its builder laid out as stage0's module.
    pub pack: PhysRange,
    /// What the builder put behind both.
    pub structures: PhysRange,
    /// What the kernel is started with.
    pub start_of_day: StartOfDay,
    /// Where everything goes, or why it has no place.
    pub arrangement: Result<Arrangement, ArrangeError>,
}

/// A domain of `memory` bytes: stage0 is laid out in it as any PV kernel is, the pack being its module.
pub fn simulated_pv(wanted: &PvWanted<'_>, memory: u64) -> Result<SimulatedPv, PvError> {
    let domain = PvDomain { nr_pages: memory / PAGE_SIZE, builder: wanted.builder };
    let Started { stage0, pack_len } = wanted.started;
    let first = StartOfDay::new(wanted.own, stage0, pack_len, &domain)?;
    let start = first.p2m.start().min(first.start_info.start()).min(first.tables_at.start());
    let structures = PhysRange::new(start, first.stack.end()).unwrap_or_default();

    let all = PhysRange::new(Phys(0), Phys(memory)).unwrap_or_default();
    let window = window_len(domain.nr_pages);
    let too_small = PvError::TooSmall { needed: first.end.0.saturating_add(window), found: memory };
    let window = all.end().checked_sub(window).filter(|start| *start >= first.end).ok_or(too_small)?;
    let window = PhysRange::new(window, all.end()).unwrap_or_default();
    let regions = [(all, RegionKind::Ram), (window, RegionKind::Other(0))];
    let regions = regions.map(|(range, kind)| Region { range, kind });
    let ram = Ram::from_regions(regions.into_iter()).unwrap_or_default();

    let start_of_day = StartOfDay::new(wanted.layout, wanted.kernel, wanted.module, &domain)?;
    start_of_day.check_module(&ram)?;
    let areas = start_of_day.areas();
    let found = Found { ram: &ram, stage0, pack: first.module, modules: &[], structures, rsdp: None };
    let wanted = Wanted {
        kernel: &areas,
        relocation: None,
        scratch: wanted.scratch,
        room: Room::PV,
        direct: None,
        low: Low::default(),
    };
    let arrangement = first_scratch(&found, wanted.scratch).and_then(|_| arrange(&found, &wanted));
    Ok(SimulatedPv { ram, pack: first.module, structures, start_of_day, arrangement })
}

/// Why no PV domain of any size will do: why the largest that was tried does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PvNeedError {
    /// Something cannot lie where it must.
    Arrange(ArrangeError),
    /// The kernel, or stage0, cannot be laid out.
    Layout(PvError),
}

impl fmt::Display for PvNeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrange(error) => error.fmt(f),
            Self::Layout(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PvNeedError {}

/// The smallest memory, a whole number of MiB in bytes, of a PV domain in which everything finds its place.
pub fn pv_memory_need(wanted: &PvWanted<'_>) -> Result<u64, PvNeedError> {
    let least = wanted.kernel.end().0.saturating_add(wanted.started.pack_len);
    let mut memory = (least / MIB * MIB).max(MIB);
    loop {
        let error = match simulated_pv(wanted, memory) {
            Ok(SimulatedPv { arrangement: Ok(_), .. }) => return Ok(memory),
            Ok(SimulatedPv { arrangement: Err(error), .. }) => PvNeedError::Arrange(error),
            Err(error @ PvError::TooSmall { .. }) => PvNeedError::Layout(error),
            Err(error) => return Err(PvNeedError::Layout(error)),
        };
        if memory >= MAX_TRIED {
            return Err(error);
        }
        memory += MIB;
    }
}
