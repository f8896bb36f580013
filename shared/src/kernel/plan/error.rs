//! Why a kernel cannot be entered by a protocol.

use core::fmt;

use crate::kernel::{FeatureName, MAX_KERNEL_AREA, Name, Protocol};
use crate::memory::{GIB, PAGE_SIZE, Phys, Virt};

/// A decision that a person can make, as error messages name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// `--map segments`.
    MapSegments,
    /// `--entry virtual`.
    EntryVirtual,
    /// `--virt-base`.
    VirtBase,
}

impl Decision {
    const fn option(self) -> &'static str {
        match self {
            Self::MapSegments => "--map segments",
            Self::EntryVirtual => "--entry virtual",
            Self::VirtBase => "--virt-base",
        }
    }
}

/// Why a kernel cannot be entered by a protocol. Segments go by the number of their program header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlanError {
    /// PVH: no PHYS32_ENTRY, but all that PV needs.
    PvOnly,
    /// PV: not what PV needs, but PHYS32_ENTRY.
    PvhOnly,
    /// A Linux without PHYS32_ENTRY, and without all that PV needs.
    LinuxWithoutPvh,
    /// No Xen note and no `__xen_guest`.
    NotXen,
    /// Xen notes, but neither PHYS32_ENTRY nor all that PV needs.
    NoPvhEntry,
    /// A protocol that a PV domain does not have.
    NotInPv {
        /// The protocol that was recorded.
        protocol: Protocol,
    },
    /// A 32-bit PV kernel, which no hypervisor of today starts without an emulated one.
    Pv32,
    /// PV: LOADER is not generic, and GUEST_OS not linux.
    Loader {
        /// LOADER.
        loader: Name,
        /// GUEST_OS.
        guest_os: Name,
    },
    /// PV: XEN_VERSION is not xen-3.0.
    XenVersion {
        /// XEN_VERSION.
        found: Name,
    },
    /// A feature is required that has no name in Xen.
    UnknownFeature {
        /// Its name.
        name: FeatureName,
    },
    /// PV: a feature is required that no such domain has.
    NotInPvDomain {
        /// Its name.
        name: FeatureName,
    },
    /// PV: PADDR_OFFSET without VIRT_BASE.
    OffsetWithoutBase,
    /// No note says how to read a `p_paddr` that is virtual.
    VirtualPaddr {
        /// The lowest `p_paddr`.
        paddr: u64,
    },
    /// A `p_paddr` below what is to be taken off.
    BelowOffset {
        /// Segment.
        index: u16,
        /// `p_paddr`.
        paddr: u64,
        /// The offset.
        offset: u64,
    },
    /// From the kernel's first byte to its last it is further than the bound, or further than 64 bits.
    AreaTooLarge {
        /// Lowest address.
        start: u64,
        /// Highest address.
        end: u64,
    },
    /// The segments together are more than twice the memory that they lie in, which libelf refuses too.
    PlacedTooOften {
        /// Bytes of all segments.
        placed: u64,
        /// Bytes that they lie in.
        area: u64,
    },
    /// PV: the kernel does not lie at or above its base.
    VirtBounds {
        /// VIRT_BASE.
        base: Virt,
        /// Start of the kernel.
        start: Virt,
        /// End of the kernel.
        end: Virt,
    },
    /// The entry is not in the kernel.
    EntryOutside {
        /// The entry.
        entry: u64,
        /// Start of the kernel.
        start: u64,
        /// End of the kernel.
        end: u64,
    },
    /// PVH: PHYS32_ENTRY has more than 32 bits.
    EntryTooHigh {
        /// The entry.
        entry: u64,
    },
    /// Direct: `e_entry` is in no segment's range of the kind that was decided, or of either.
    EntryNowhere {
        /// `e_entry`.
        entry: u64,
    },
    /// Direct: `e_entry` is physical, and a segment is mapped at that address, of other memory.
    EntryShadowed {
        /// `e_entry`.
        entry: u64,
        /// Segment.
        index: u16,
    },
    /// Direct: `e_entry` is in a segment that is not executable.
    EntryData {
        /// `e_entry`.
        entry: u64,
        /// Segment.
        index: u16,
    },
    /// The symbol table does not fit into what libelf counts for it, which happens in ELF32 only.
    SymbolsOutside {
        /// End of the strings.
        end: Phys,
        /// End of the kernel's pages.
        area: Phys,
    },
    /// INIT_P2M lies in the kernel.
    P2mInside {
        /// INIT_P2M.
        p2m: Virt,
        /// Start of the kernel.
        start: Virt,
        /// End of the kernel.
        end: Virt,
    },
    /// PV: the kernel does not start at a page, which the builder needs.
    StartUnaligned {
        /// Start of the kernel.
        start: Phys,
    },
    /// Direct: a `p_align` of a static PIE is no power of two.
    PieAlign {
        /// `p_align`.
        align: u64,
    },
    /// Direct: a static PIE cannot be mapped from the virtual base on that a person gave.
    PieBase {
        /// The virtual base.
        base: Virt,
        /// What it should be a multiple of.
        align: u64,
    },
    /// A decision that has no meaning for the protocol.
    Meaningless {
        /// The decision.
        decision: Decision,
        /// The protocol.
        protocol: Protocol,
    },
    /// A segment to be mapped at a `p_vaddr` that lies otherwise in its page than its place does.
    Incongruent {
        /// Segment.
        index: u16,
        /// `p_vaddr`.
        virt: Virt,
        /// Place.
        phys: Phys,
    },
    /// A segment to be mapped where no page table can.
    NotCanonical {
        /// Segment.
        index: u16,
        /// `p_vaddr`.
        virt: Virt,
    },
    /// A segment of an ELF32 beyond 4 GiB.
    Beyond32 {
        /// Segment.
        index: u16,
        /// `p_vaddr`.
        virt: Virt,
        /// Place.
        phys: Phys,
    },
    /// PV: a segment to be mapped in the hypervisor's own range.
    InHypervisor {
        /// Segment.
        index: u16,
        /// `p_vaddr`.
        virt: Virt,
    },
    /// PV: a segment to be mapped where the linear mapping has another page.
    InLinearMap {
        /// Segment.
        index: u16,
        /// `p_vaddr`.
        virt: Virt,
    },
    /// PV: more segments to be mapped at their own addresses than are kept.
    TooManyMaps {
        /// The first that is too many.
        index: u16,
    },
    /// Two segments want different memory at one virtual page.
    SharedPlace {
        /// Segment.
        first: u16,
        /// Segment.
        second: u16,
        /// A page that both have, or the second's first.
        page: Virt,
    },
    /// Two segments want different access to one page.
    SharedAccess {
        /// Segment.
        first: u16,
        /// Segment.
        second: u16,
        /// The first page that both have.
        page: Phys,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kernel: ")?;
        match self {
            Self::PvOnly => f.write_str("PV only: use type=pv"),
            Self::PvhOnly => f.write_str("PVH only: use type=pvh"),
            Self::LinuxWithoutPvh => {
                f.write_str("Linux without CONFIG_PVH: no note PHYS32_ENTRY, and no PV entry either")
            }
            Self::NotXen => f.write_str("no Xen note and no section __xen_guest"),
            Self::NoPvhEntry => f.write_str("Xen notes, but none of them is PHYS32_ENTRY, and none is for PV"),
            Self::NotInPv { protocol } => write!(f, "packed for {protocol}, in a PV domain: use type=pvh"),
            Self::Pv32 => f.write_str("32-bit PV, expected x86-64 (type=pv) or a PVH entry (type=pvh)"),
            Self::Loader { loader, guest_os } => {
                write!(f, "loader '{loader}', system '{guest_os}', expected 'generic' or 'linux'")
            }
            Self::XenVersion { found } => write!(f, "for Xen '{found}', expected 'xen-3.0'"),
            Self::UnknownFeature { name } => {
                write!(f, "requires the feature '{name}', which Xen does not know")
            }
            Self::NotInPvDomain { name } => write!(f, "requires the feature '{name}', which no PV domain has"),
            Self::OffsetWithoutBase => f.write_str("PADDR_OFFSET without VIRT_BASE"),
            Self::VirtualPaddr { paddr } => {
                write!(f, "p_paddr {paddr:#x} is virtual, and no note says its base: use pack --virt-base")
            }
            Self::Meaningless { decision, protocol } => {
                write!(f, "{} has no meaning for {protocol}", decision.option())
            }
            Self::AreaTooLarge { start, end } => {
                write!(f, "lies from {start:#x} to {end:#x}, at most {} GiB of addresses", MAX_KERNEL_AREA / GIB)
            }
            Self::PlacedTooOften { placed, area } => {
                write!(f, "{placed:#x} bytes of segments in {area:#x} of memory, at most twice as much")
            }
            Self::VirtBounds { base, start, end } => {
                write!(f, "virtual base {base}, kernel from {start} to {end}, expected at or above its base")
            }
            Self::EntryOutside { entry, start, end } => {
                write!(f, "entry {entry:#x}, expected in {start:#x}..{end:#x}")
            }
            Self::EntryTooHigh { entry } => write!(f, "PHYS32_ENTRY {entry:#x}, expected 32 bits"),
            Self::EntryNowhere { entry } => write!(f, "entry {entry:#x} is in no segment"),
            Self::EntryShadowed { entry, index } => {
                write!(f, "entry {entry:#x} is physical, and segment {} is mapped there", u32::from(*index))
            }
            Self::EntryData { entry, index } => {
                write!(f, "entry {entry:#x} is in segment {}, which is not executable", u32::from(*index))
            }
            Self::P2mInside { p2m, start, end } => {
                write!(f, "INIT_P2M {p2m} is inside the kernel, {start} to {end}")
            }
            Self::SymbolsOutside { end, area } => {
                write!(f, "symbol table ends at {end}, expected at most {area}, the end of the kernel's pages")
            }
            Self::StartUnaligned { start } => write!(f, "starts at {start}, expected a multiple of {PAGE_SIZE:#x}"),
            Self::PieAlign { align } => write!(f, "p_align {align:#x} of a static PIE, expected a power of two"),
            Self::PieBase { base, align } => {
                write!(f, "virtual base {base} of a static PIE, expected a multiple of {align:#x}")
            }
            Self::BelowOffset { index, paddr, offset } => write!(
                f,
                "segment {}: p_paddr {paddr:#x}, expected at least {offset:#x} (PADDR_OFFSET)",
                u32::from(*index)
            ),
            Self::Incongruent { index, virt, phys } => {
                write!(f, "segment {}: p_vaddr {virt} and place {phys} differ within a page", u32::from(*index))
            }
            Self::NotCanonical { index, virt } => {
                write!(f, "segment {}: p_vaddr {virt} cannot be mapped", u32::from(*index))
            }
            Self::Beyond32 { index, virt, phys } => {
                write!(f, "segment {}: p_vaddr {virt}, place {phys}, expected below 4 GiB (ELF32)", u32::from(*index))
            }
            Self::TooManyMaps { index } => {
                write!(f, "segment {}: one too many to be mapped at its own p_vaddr", u32::from(*index))
            }
            Self::InHypervisor { index, virt } => {
                write!(f, "segment {}: p_vaddr {virt} is in Xen's own range", u32::from(*index))
            }
            Self::InLinearMap { index, virt } => {
                write!(f, "segment {}: p_vaddr {virt} is where the linear mapping has other memory", u32::from(*index))
            }
            Self::SharedPlace { first, second, page } => {
                write!(f, "segments {} and {} want different memory at {page}", u32::from(*first), u32::from(*second))
            }
            Self::SharedAccess { first, second, page } => write!(
                f,
                "segments {} and {} want different access to the page at {page}",
                u32::from(*first),
                u32::from(*second)
            ),
        }
    }
}

impl core::error::Error for PlanError {}
