use core::fmt;

use crate::memory::{MIB, Virt};

/// Why there is no layout for a PV domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PvError {
    /// The domain has fewer frames than what its kernel is started with takes.
    TooSmall {
        /// Bytes needed, at least.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The kernel must be the initial domain's, and this is another.
    OnlyDom0,
    /// The kernel does not say that it can be the initial domain's, and this is that one.
    NeverDom0,
    /// The linear mapping, or that of the list of frames, reaches past the end of the addresses that there are, or one into
    /// the other.
    BeyondAddresses {
        /// Where it begins.
        base: Virt,
        /// Bytes of it, at least; of the linear mapping those before the page tables.
        used: u64,
    },
}

impl fmt::Display for PvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { needed, found } => write!(
                f,
                "not enough memory: domain, expected {} MiB, found {} MiB",
                needed.div_ceil(MIB),
                found.div_ceil(MIB)
            ),
            Self::OnlyDom0 => f.write_str("kernel: requires the feature 'dom0', which this domain has not"),
            Self::NeverDom0 => f.write_str("kernel: SUPPORTED_FEATURES without 'dom0', which this domain needs"),
            Self::BeyondAddresses { base, used } => write!(
                f,
                "no such addresses: mapping, expected pages of free canonical ones, found {used:#x} bytes and more at {base}"
            ),
        }
    }
}

impl core::error::Error for PvError {}
