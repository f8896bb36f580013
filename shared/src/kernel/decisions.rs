//! What a person may decide when packing; recorded in the pack, obeyed in the guest.

use core::fmt;

use crate::memory::Virt;

/// How a kernel is entered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Protocol {
    /// By Xen's PVH boot ABI: 32-bit, paging off.
    Pvh,
    /// As Xen's domain builder starts a paravirtualised domain.
    Pv,
    /// By mstrap's own: every segment mapped where it was linked.
    Direct,
}

impl Protocol {
    /// The name that people use for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pvh => "PVH",
            Self::Pv => "PV",
            Self::Direct => "direct",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which virtual addresses a kernel's segments get, where the protocol leaves a choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mapping {
    /// Those of the builder's linear mapping.
    #[default]
    Linear,
    /// Those, and each segment's own `p_vaddr` too.
    Segments,
}

/// What a kernel's entry address means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EntryRule {
    /// What its notes make of it.
    #[default]
    Notes,
    /// It is physical: virtual is that plus the virtual base.
    Physical,
    /// It is virtual.
    Virtual,
}

/// What a person decided when packing. The default leaves everything to the kernel and the domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Decisions {
    /// The protocol, or `None` to choose by the kernel's notes and the kind of domain.
    pub protocol: Option<Protocol>,
    /// The virtual addresses of the segments.
    pub mapping: Mapping,
    /// The meaning of the entry address.
    pub entry: EntryRule,
    /// The virtual address of physical 0, for a kernel that does not say it.
    pub virt_base: Option<Virt>,
}
