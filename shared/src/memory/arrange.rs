//! Where everything goes, before anything is moved or written.
//!
//! A kernel lies where it was linked, so whatever is there now has to leave: stage0 itself, the pack, the builder's
//! other modules. What [`arrange`] returns is carried out in this order, and is right only in this order:
//!
//! 1. stage0's page tables are written, and stage0 moves itself, and in a PV domain what else it stands on;
//! 2. the pack moves, then the builder's modules in their order, each as `memmove` does;
//! 3. the scratch is used, the kernel is decoded into place;
//! 4. start_info and trampoline are written, and the kernel is entered.

use core::fmt;

use super::claims::{Claim, ClaimError, Claims, Holder, span};
use super::{GIB, MIB, Phys, PhysRange, Ram};
use crate::direct::{Block, shadows};
use crate::kernel::{Plan, Protocol, Relocation};

/// Most modules that the builder may pass beside the pack. libxl passes one besides, QEMU and Xen's dom0 builder none.
pub const MAX_MODULES: usize = 8;

/// Bytes of the page tables on which stage0 loads: one top level; a window on the first 4 GiB in pages of 2 MiB (one
/// and four); stage0 itself in pages of 4 KiB (one, one, and two); the trampoline 1:1 (one, one, and one).
pub const TABLES_LEN: u64 = 13 * 4096;

/// Bytes of what a PVH kernel is handed: start_info, modules with their command lines, 128 regions of memory map, the
/// longest command line.
pub const START_INFO_LEN: u64 = 6 * 4096;

/// Most bytes of a module's own command line: libxl gives each 1024 with the NUL.
pub const MAX_MODULE_CMDLINE_LEN: usize = 1023;

/// Bytes into which the parts of an ELF file are decoded that a plan needs.
pub const VIEW_LEN: u64 = 256 << 10;

/// What lies where when stage0 begins.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The domain's RAM.
    pub ram: &'a Ram,
    /// stage0's image with its unpacked code, stack and tables.
    pub stage0: PhysRange,
    /// The pack, up to its last page's end.
    pub pack: PhysRange,
    /// The modules that the builder passed beside the pack; at most [`MAX_MODULES`].
    pub modules: &'a [PhysRange],
    /// What a PV builder put behind them, on which stage0 stands as on its image: the list of frames, rings, page
    /// tables. Empty in other domains.
    pub structures: PhysRange,
    /// ACPI's root pointer, if there is one.
    pub rsdp: Option<PhysRange>,
}

/// What is to come.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The kernel's areas, each to be claimed as a whole.
    pub kernel: &'a [PhysRange],
    /// Where else the kernel could lie.
    pub relocation: Option<Relocation>,
    /// Bytes of scratch.
    pub scratch: u64,
    /// Room for what is made beside the kernel.
    pub room: Room,
    /// For the direct protocol: what decides on the page tables that the kernel gets.
    pub direct: Option<Direct<'a>>,
    /// Which modules leave where they are for a lower place.
    pub low: Low,
}

/// Which modules lie as low behind what the kernel is handed as moving allows. Some kernels take their memory from behind the
/// highest of them (FreeBSD, sys/x86/xen/pv.c: `physfree`); a Linux finds an initrd anywhere below 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Low {
    /// Those in the pack, and so the pack.
    pub pack: bool,
    /// The builder's.
    pub modules: bool,
}

impl Low {
    /// For the kernel of `plan`, in a pack of which it is handed something if `hands`.
    pub fn of(plan: &Plan, hands: bool) -> Self {
        let low = plan.protocol != Protocol::Pv && !plan.linux;
        Self { pack: low && hands, modules: low }
    }
}

/// What decides on the page tables that a kernel gets by the direct protocol.
#[derive(Clone, Copy, Debug)]
pub struct Direct<'a> {
    /// The kernel's plan.
    pub plan: &'a Plan,
    /// Whether the processor has pages of 1 GiB.
    pub gib_pages: bool,
}

/// Bytes of what stage0 makes for itself and for the kernel. What takes none gets an empty range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// Page tables.
    pub tables: u64,
    /// What the kernel is handed.
    pub start_info: u64,
    /// Where the kernel is entered from.
    pub trampoline: u64,
}

impl Room {
    /// For the PVH protocol.
    pub const PVH: Self = Self { tables: TABLES_LEN, start_info: START_INFO_LEN, trampoline: super::PAGE_SIZE };
    /// For the direct protocol, where the kernel keeps a [`Block`] in which all but stage0's tables lies.
    pub const DIRECT: Self = Self { tables: TABLES_LEN, start_info: 0, trampoline: 0 };
    /// For PV, where all this is part of what is laid out around the kernel, or was set aside before.
    pub const PV: Self = Self { tables: 0, start_info: 0, trampoline: 0 };
}

/// Where everything goes.
#[derive(Clone, Debug)]
pub struct Arrangement {
    /// How far up the kernel lies from where it was linked, modulo 2^64.
    pub shift: u64,
    /// stage0's image.
    pub stage0: PhysRange,
    /// Its page tables.
    pub tables: PhysRange,
    /// Scratch.
    pub scratch: PhysRange,
    /// The pack.
    pub pack: PhysRange,
    /// The builder's modules.
    pub modules: heapless::Vec<PhysRange, MAX_MODULES>,
    /// A PV builder's structures.
    pub structures: PhysRange,
    /// What the kernel is handed.
    pub start_info: PhysRange,
    /// The page from which the kernel is entered.
    pub trampoline: PhysRange,
    /// What the kernel keeps of stage0 by the direct protocol; start_info and trampoline are in there.
    pub block: Block,
    /// All of the above, and the kernel.
    pub claims: Claims,
}

/// Why not everything finds its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArrangeError {
    /// Something cannot lie where it must, or anywhere.
    Claim(ClaimError),
    /// The kernel's place is beyond what stage0 maps.
    TooHigh {
        /// The kernel's place.
        kernel: PhysRange,
    },
    /// More modules than are kept.
    TooManyModules {
        /// How many there are.
        found: usize,
    },
}

impl From<ClaimError> for ArrangeError {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

impl fmt::Display for ArrangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(error) => error.fmt(f),
            Self::TooHigh { kernel } => {
                write!(f, "kernel lies too high: kernel, expected a place below {:#x}, found {kernel}", 4 * GIB)
            }
            Self::TooManyModules { found } => {
                write!(f, "too many modules: builder, expected at most {MAX_MODULES} beside the pack, found {found}")
            }
        }
    }
}

impl core::error::Error for ArrangeError {}

/// Where stage0's own things may go: above the first mebibyte, which firmware and builders use, and where 32-bit code
/// reaches.
const REACHABLE: PhysRange = span(MIB, 4 * GIB);
/// Where a Linux reads start_info while only the first gibibyte is mapped (arch/x86/platform/pvh/head.S).
const FIRST_GIB: PhysRange = span(MIB, GIB);

/// A place for `len` bytes of scratch while nothing is known of the kernel yet.
pub fn first_scratch(found: &Found<'_>, len: u64) -> Result<PhysRange, ArrangeError> {
    let mut claims = Claims::default();
    if let Some(rsdp) = found.rsdp {
        claims.claim(rsdp, Holder::Rsdp)?;
    }
    let mut avoid: heapless::Vec<PhysRange, { MAX_MODULES + 3 }> = heapless::Vec::new();
    for range in [found.stage0, found.pack, found.structures].iter().chain(found.modules) {
        avoid.push(*range).map_err(|_| ArrangeError::TooManyModules { found: found.modules.len() })?;
    }
    Ok(claims.allocate(found.ram, len, REACHABLE, Holder::Scratch, &avoid)?)
}

/// By how much a kernel that may lie anywhere is to be moved up, in steps of `align` bytes: to the lowest place that is RAM
/// and free of what cannot be moved. Where there is none, the error says why it cannot lie where `areas` have it.
pub fn lowest_place(found: &Found<'_>, areas: &[PhysRange], align: u64) -> Result<u64, ArrangeError> {
    let mut claims = Claims::default();
    if let Some(rsdp) = found.rsdp {
        claims.claim(rsdp, Holder::Rsdp)?;
    }
    let first_error = match claim_shifted(&mut claims, found.ram, areas, 0) {
        Ok(()) => return Ok(0),
        Err(error) => error,
    };
    // What is to lie below 4 GiB has at most so many places.
    let places = (1..4 * GIB / align.max(MIB)).map(|place| place * align);
    for shift in places {
        claims.release(Holder::Kernel);
        if claim_shifted(&mut claims, found.ram, areas, shift).is_ok() {
            return Ok(shift);
        }
    }
    Err(first_error)
}

/// Finds a place for everything.
pub fn arrange(found: &Found<'_>, wanted: &Wanted<'_>) -> Result<Arrangement, ArrangeError> {
    match arranged(found, wanted, false) {
        // Between what sinks and where it lies there may be no place left for stage0, which moves before it.
        Err(error) if wanted.low.pack || wanted.low.modules => arranged(found, wanted, true).map_err(|_| error),
        done => done,
    }
}

/// The same; stage0 and its tables, where they move, lie right behind what the kernel is handed if `first`.
pub(super) fn arranged(found: &Found<'_>, wanted: &Wanted<'_>, first: bool) -> Result<Arrangement, ArrangeError> {
    if found.modules.len() > MAX_MODULES {
        return Err(ArrangeError::TooManyModules { found: found.modules.len() });
    }
    let ram = found.ram;
    let mut claims = Claims::default();
    if let Some(rsdp) = found.rsdp {
        claims.claim(rsdp, Holder::Rsdp)?;
    }
    let shift = claim_kernel(&mut claims, ram, wanted)?;
    let room = wanted.room;

    // What the kernel is handed comes first: it is written last, so that whatever is there now can move.
    claim_shadows(&mut claims, wanted)?;
    let (behind, mut block) = (claims.end_of(Holder::Kernel), Block::NONE);
    if let Some(Direct { plan, gib_pages }) = wanted.direct {
        let len = Block::len(plan, ram, gib_pages);
        block = Block::at(claims.allocate_behind(ram, len, behind, REACHABLE, Holder::Block, &[])?);
    }
    let mut start_info = claims.allocate_behind(ram, room.start_info, behind, FIRST_GIB, Holder::StartInfo, &[])?;
    claims.release(Holder::Shadow);
    let behind = behind.max(start_info.end()).max(block.range().end());

    // What can stay stays, and is in nobody's way; what cannot is in the way of others until it has moved.
    let mut movers = Movers::default();
    movers.stay_or_move(&mut claims, found.stage0, Holder::Stage0)?;
    movers.stay_or_move(&mut claims, found.structures, Holder::Structures)?;
    claim_shadows(&mut claims, wanted)?;
    let low = |is_low: bool| is_low.then_some(behind);
    let (pack_low, modules_low) = (low(wanted.low.pack), low(wanted.low.modules));
    movers.stay_or_sink(&mut claims, found.pack, Holder::Pack, pack_low)?;
    for (n, module) in found.modules.iter().enumerate() {
        movers.stay_or_sink(&mut claims, *module, Holder::Module(n), modules_low)?;
    }
    let (mut stage0, mut tables) = (PhysRange::EMPTY, PhysRange::EMPTY);
    if first {
        stage0 = movers.destination(&mut claims, ram, found.stage0, Holder::Stage0, Some(behind))?;
        let avoid = movers.all();
        tables = claims.allocate_behind(ram, room.tables, behind, REACHABLE, Holder::PageTables, &avoid)?;
    }
    let pack = movers.destination(&mut claims, ram, found.pack, Holder::Pack, pack_low)?;
    let mut modules = heapless::Vec::new();
    for (n, module) in found.modules.iter().enumerate() {
        let place = movers.destination(&mut claims, ram, *module, Holder::Module(n), modules_low)?;
        modules.push(place).map_err(|_| ArrangeError::TooManyModules { found: found.modules.len() })?;
    }
    let structures = movers.destination(&mut claims, ram, found.structures, Holder::Structures, None)?;
    if !first {
        stage0 = movers.destination(&mut claims, ram, found.stage0, Holder::Stage0, None)?;
    }
    claims.release(Holder::Shadow);
    if !first {
        tables = claims.allocate(ram, room.tables, REACHABLE, Holder::PageTables, &movers.all())?;
    }
    let mut trampoline = claims.allocate(ram, room.trampoline, FIRST_GIB, Holder::Trampoline, &[])?;
    let scratch = claims.allocate(ram, wanted.scratch, REACHABLE, Holder::Scratch, &[])?;
    if wanted.direct.is_some() {
        (start_info, trampoline) = (block.start_info(), block.trampoline());
    }
    Ok(Arrangement { shift, stage0, tables, scratch, pack, modules, structures, start_info, trampoline, block, claims })
}

/// What has to leave its place, in the order in which it does.
#[derive(Default)]
struct Movers {
    list: heapless::Vec<Claim, { MAX_MODULES + 3 }>,
}

impl Movers {
    fn stay_or_move(&mut self, claims: &mut Claims, range: PhysRange, holder: Holder) -> Result<(), ClaimError> {
        if claims.held(&range).is_none() {
            return if range.is_empty() { Ok(()) } else { claims.claim(range, holder) };
        }
        self.list.push(Claim { range, holder }).map_err(|_| ClaimError::TooMany)
    }

    /// The same; what shall lie low moves in any case.
    fn stay_or_sink(
        &mut self,
        claims: &mut Claims,
        range: PhysRange,
        holder: Holder,
        low: Option<Phys>,
    ) -> Result<(), ClaimError> {
        match low {
            None => self.stay_or_move(claims, range, holder),
            Some(_) => self.list.push(Claim { range, holder }).map_err(|_| ClaimError::TooMany),
        }
    }

    /// The places of all that has not moved while `holder` does. stage0 moves first, each other after those before it;
    /// only stage0 and what it stands on may not overlap the place that they leave.
    fn in_the_way(&self, holder: Holder) -> heapless::Vec<PhysRange, { MAX_MODULES + 3 }> {
        let at = self.list.iter().position(|claim| claim.holder == holder);
        let stands = matches!(holder, Holder::Stage0 | Holder::Structures);
        let from = at.map_or(0, |at| if stands { 0 } else { at + 1 });
        self.list.iter().skip(from).map(|claim| claim.range).collect()
    }

    fn all(&self) -> heapless::Vec<PhysRange, { MAX_MODULES + 3 }> {
        self.list.iter().map(|claim| claim.range).collect()
    }

    fn destination(
        &self,
        claims: &mut Claims,
        ram: &Ram,
        range: PhysRange,
        holder: Holder,
        low: Option<Phys>,
    ) -> Result<PhysRange, ClaimError> {
        if !self.list.iter().any(|claim| claim.holder == holder) {
            return Ok(range);
        }
        let avoid = self.in_the_way(holder);
        match low {
            None => claims.allocate(ram, range.len(), REACHABLE, holder, &avoid),
            Some(from) => claims.allocate_behind(ram, range.len(), from, REACHABLE, holder, &avoid),
        }
    }
}

/// Claims, for nobody, what the kernel does not see by the 1:1 map.
fn claim_shadows(claims: &mut Claims, wanted: &Wanted<'_>) -> Result<(), ClaimError> {
    let mut shadows = wanted.direct.iter().flat_map(|direct| shadows(direct.plan));
    shadows.try_for_each(|shadow| claims.shadow(shadow))
}

/// Claims the kernel's areas where it was linked or, if that cannot be and it allows it, elsewhere.
fn claim_kernel(claims: &mut Claims, ram: &Ram, wanted: &Wanted<'_>) -> Result<u64, ArrangeError> {
    let first_error = match claim_shifted(claims, ram, wanted.kernel, 0) {
        Ok(()) => return Ok(0),
        Err(error) => error,
    };
    let Some(relocation) = wanted.relocation else { return Err(first_error) };
    claims.release(Holder::Kernel);
    let hull = wanted.kernel.iter().fold(PhysRange::default(), |hull, area| hull.hull(area));
    let behind_rsdp: heapless::Vec<_, 1> = claims.list().iter().take(1).map(|claim| claim.range.end()).collect();
    let starts = ram.ranges().iter().map(PhysRange::start).chain(behind_rsdp.iter().copied());
    let places = starts
        .filter_map(|start| start.0.max(relocation.min.0).max(MIB).checked_next_multiple_of(relocation.align.max(1)))
        .filter(|place| place.checked_add(hull.len()).is_some_and(|end| end - 1 <= relocation.max.0));
    // Each place once, the lowest first.
    let mut last = None;
    while let Some(place) = places.clone().filter(|place| Some(*place) > last).min() {
        let shift = place.wrapping_sub(hull.start().0);
        if claim_shifted(claims, ram, wanted.kernel, shift).is_ok() {
            return Ok(shift);
        }
        claims.release(Holder::Kernel);
        last = Some(place);
    }
    Err(first_error)
}

fn claim_shifted(claims: &mut Claims, ram: &Ram, areas: &[PhysRange], shift: u64) -> Result<(), ArrangeError> {
    for area in areas {
        let place = shifted(area, shift).filter(|place| place.end().0 <= 4 * GIB);
        let place = place.ok_or(ArrangeError::TooHigh { kernel: *area })?;
        claims.claim_ram(ram, place, Holder::Kernel)?;
    }
    Ok(())
}

/// `range`, moved up by `shift` modulo 2^64; `None` where that wraps around within the range.
pub fn shifted(range: &PhysRange, shift: u64) -> Option<PhysRange> {
    let start = Phys(range.start().0.wrapping_add(shift));
    PhysRange::sized(start, range.len()).ok()
}
