//! The domain that a pack is started in.

use std::fmt;

use shared::kernel::{Decisions, Kernel, PlanError, Protocol};
use shared::memory::Builder;
use shared::trust::TrustSlot;

/// A kind of domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In a virtual machine without emulated devices.
    Pvh,
    /// Paravirtualised.
    Pv,
}

impl Kind {
    /// All kinds, the one to prefer first.
    pub const ALL: [Self; 2] = [Self::Pvh, Self::Pv];

    /// Its word in xl's files, for `type`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pvh => "pvh",
            Self::Pv => "pv",
        }
    }

    /// The protocol that stage0 takes in it.
    pub fn protocol(self, kernel: &Kernel, decisions: &Decisions) -> Result<Protocol, PlanError> {
        match self {
            Self::Pvh => kernel.protocol_in_pvh(decisions),
            Self::Pv => kernel.protocol_in_pv(decisions),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pvh => "PVH",
            Self::Pv => "PV",
        })
    }
}

/// A domain to be: what matters of it to stage0.
#[derive(Clone, Copy, Debug)]
pub struct Domain<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Who builds it.
    pub builder: Builder,
    /// Its memory, bytes; `None` for as much as is needed.
    pub memory: Option<u64>,
    /// The builder's command line.
    pub cmdline: &'a str,
    /// The keys in its stage0.
    pub trust: TrustSlot,
}
