//! Addresses, ranges, the memory map, who holds which part of it, and where everything goes.
//!
//! Nothing here touches memory: it is the arithmetic that stage0 acts upon, and that the host runs beforehand.

mod address;
mod arrange;
#[cfg(test)]
mod arrange_tests;
mod claims;
mod need;
mod ram;

pub use address::{FileRange, PAGE_SIZE, Pfn, Phys, PhysRange, RangeError, Virt, VirtRange};
pub use arrange::{
    ArrangeError, Arrangement, Direct, Found, Low, MAX_MODULE_CMDLINE_LEN, MAX_MODULES, Room, START_INFO_LEN,
    TABLES_LEN, VIEW_LEN, Wanted, arrange, first_scratch, lowest_place, shifted,
};
pub use claims::{Claim, ClaimError, Claims, Holder};
pub use need::{Builder, NeedError, Started, memory_need, simulated_domain};
pub use ram::{MAX_REGIONS, Ram, Region, RegionKind, TooManyRegions};

/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;
/// Bytes in a gibibyte.
pub const GIB: u64 = 1 << 30;
