//! How much memory a domain must have: the smallest for which [`arrange`] succeeds, found by running it.

use core::fmt;

use super::arrange::{ArrangeError, Found, Wanted, arrange, first_scratch};
use super::claims::span;
use super::{GIB, MIB, PAGE_SIZE, Phys, PhysRange, Ram, Region, RegionKind};

/// Whose habits a simulated domain follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Builder {
    /// Xen's toolstack (libxenguest): one range of RAM from 0 on; the pack right behind stage0.
    Xen,
    /// QEMU: RAM interrupted below 1 MiB, and its top taken by ACPI tables; the pack below that.
    Qemu,
}

/// RAM at the top of low memory that QEMU keeps for ACPI tables and SeaBIOS (hw/i386/x86-common.c: the ramdisk's limit;
/// measured 0x20000 and 0x21000 at 64 MiB to 3 GiB).
const QEMU_TOP: u64 = 0x21000;

/// Where low memory ends at the latest: libxl below its MMIO hole, QEMU's pc machine with more than 3.5 GiB. Nothing is ever put
/// higher, so that a larger domain is of no more use.
const LOW_MAX: u64 = 3 * GIB;

/// No domain of any size will do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeedError {
    /// Why the largest that was tried does not.
    pub cause: ArrangeError,
}

impl fmt::Display for NeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no amount of memory is enough: {}", self.cause)
    }
}

impl core::error::Error for NeedError {}

/// What a simulated domain is started with, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Started {
    /// stage0's place.
    pub stage0: PhysRange,
    /// The pack's length.
    pub pack_len: u64,
}

/// The smallest memory, a whole number of MiB in bytes, of a domain of `builder`'s in which `wanted` finds its place. The largest that
/// is of use is tried first: where it does not do, no other does.
pub fn memory_need(builder: Builder, started: &Started, wanted: &Wanted<'_>) -> Result<u64, NeedError> {
    simulate(builder, LOW_MAX, started, wanted).map_err(|cause| NeedError { cause })?;
    let kernel: u64 = wanted.kernel.iter().map(PhysRange::len).sum();
    let least = kernel.saturating_add(started.pack_len) / MIB * MIB;
    let mut memory = least.max(MIB);
    while memory < LOW_MAX && simulate(builder, memory, started, wanted).is_err() {
        memory += MIB;
    }
    Ok(memory.min(LOW_MAX))
}

/// Runs what stage0 runs, in a domain of `memory` bytes.
fn simulate(builder: Builder, memory: u64, started: &Started, wanted: &Wanted<'_>) -> Result<(), ArrangeError> {
    let (ram, pack) = simulated_domain(builder, memory, started)?;
    let found =
        Found { ram: &ram, stage0: started.stage0, pack, modules: &[], structures: PhysRange::EMPTY, rsdp: None };
    first_scratch(&found, wanted.scratch)?;
    arrange(&found, wanted)?;
    Ok(())
}

/// What a domain of `memory` bytes of `builder`'s is like when stage0 begins: its RAM, and where the pack lies. Refused is
/// one in which the two do not fit.
pub fn simulated_domain(builder: Builder, memory: u64, started: &Started) -> Result<(Ram, PhysRange), ArrangeError> {
    let low = memory.min(LOW_MAX);
    let high = memory - low;
    let pack_len = started.pack_len.next_multiple_of(PAGE_SIZE);
    let no_pack = ArrangeError::Claim(super::ClaimError::NoRoom {
        holder: super::Holder::Pack,
        len: pack_len,
        within: span_of(0, low),
    });
    let (low_ram, pack_start) = match builder {
        Builder::Xen => ([span_of(0, low), PhysRange::default()], Some(started.stage0.end().0)),
        Builder::Qemu => {
            let top = low.saturating_sub(QEMU_TOP) / PAGE_SIZE * PAGE_SIZE;
            ([span(0, 0x9f000), span_of(MIB, top)], top.checked_sub(pack_len))
        }
    };
    let regions = low_ram.into_iter().chain([span_of(4 * GIB, 4 * GIB + high)]);
    let ram = Ram::from_regions(regions.map(|range| Region { range, kind: RegionKind::Ram })).unwrap_or_default();
    let pack = pack_start.and_then(|start| PhysRange::sized(Phys(start).align_up(PAGE_SIZE)?, pack_len).ok());
    let pack = pack.filter(|pack| ram.covers(pack) && !pack.overlaps(&started.stage0)).ok_or(no_pack)?;
    if !ram.covers(&started.stage0) {
        return Err(no_pack);
    }
    Ok((ram, pack))
}

fn span_of(start: u64, end: u64) -> PhysRange {
    PhysRange::new(Phys(start), Phys(end)).unwrap_or_default()
}
