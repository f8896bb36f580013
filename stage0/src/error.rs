//! All that can keep stage0 from starting a kernel. Each is one line: what, where, expected, found.

use core::fmt;

use shared::cmdline::CmdlineError;
use shared::format::FormatError;
use shared::kernel::{PlanError, ReadError};
use shared::memory::{ArrangeError, MIB, PAGE_SIZE, Phys, TooManyRegions};
use shared::pv::PvError;
use shared::trust::TrustError;

use crate::handover::HandOverError;
use crate::load::LoadError;
use crate::platform::handed::HandedError;

/// Why stage0 starts no kernel.
#[derive(Clone, PartialEq, Debug)]
pub enum Error {
    /// What the builder handed over cannot be used.
    Handed(HandedError),
    /// What a PV builder handed over cannot be used.
    #[cfg(target_os = "none")]
    PvHanded(crate::platform::pv::PvHandedError),
    /// The builder passed no module.
    NoPack,
    /// The pack lies where stage0 does not reach.
    PackUnreachable {
        /// Its first byte.
        start: Phys,
        /// Its length, bytes.
        len: u64,
    },
    /// The pack does not begin with a page, so that its modules would not either.
    PackUnaligned {
        /// Its first byte.
        start: Phys,
    },
    /// What the builder passed is no pack.
    Format(FormatError),
    /// The builder passed modules beside a pack that must be signed, or is measured.
    ModulesBeside {
        /// How many.
        found: usize,
    },
    /// The pack is not one to be started.
    Trust(TrustError),
    /// The command lines make none for the kernel.
    Cmdline(CmdlineError),
    /// The memory map is too long.
    Memory(TooManyRegions),
    /// The kernel's file cannot be read.
    Kernel(ReadError<LoadError>),
    /// The kernel cannot be entered here.
    Plan(PlanError),
    /// The domain is too small.
    TooSmall {
        /// Bytes that the kernel and stage0 need.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A PV kernel's start of day cannot be laid out.
    StartOfDay(PvError),
    /// A PV kernel can be handed one module only.
    PvModules,
    /// Not everything finds its place.
    Arrange(ArrangeError),
    /// The kernel cannot be loaded.
    Load(LoadError),
    /// The kernel cannot be handed what it must be.
    HandOver(HandOverError),
}

macro_rules! from {
    ($($variant:ident($error:ty)),+ $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })+
    };
}

from! {
    Handed(HandedError), Format(FormatError), Cmdline(CmdlineError), Memory(TooManyRegions),
    Kernel(ReadError<LoadError>), Plan(PlanError), Arrange(ArrangeError), Load(LoadError), HandOver(HandOverError),
    StartOfDay(PvError), Trust(TrustError),
}

#[cfg(target_os = "none")]
from! { PvHanded(crate::platform::pv::PvHandedError) }

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPack => f.write_str("no pack: modules, expected a pack as the first (the ramdisk), found none"),
            Self::PackUnreachable { start, len } => {
                write!(f, "memory out of reach: the pack, expected RAM below 4 GiB, found {len:#x} bytes at {start}")
            }
            Self::PackUnaligned { start } => {
                write!(f, "pack is not aligned: builder, expected a multiple of {PAGE_SIZE:#x}, found {start}")
            }
            Self::TooSmall { needed, found } => {
                write!(f, "not enough memory: domain, expected {} MiB, found {} MiB", needed / MIB, found.div_ceil(MIB))
            }
            Self::ModulesBeside { found } => write!(
                f,
                "modules beside the pack: builder, expected none where keys are trusted or measurements wanted, found {found}"
            ),
            Self::PvModules => f.write_str("too many modules: pack, expected at most one in a PV domain, found more"),
            Self::StartOfDay(error) => error.fmt(f),
            #[cfg(target_os = "none")]
            Self::PvHanded(error) => error.fmt(f),
            Self::Handed(error) => error.fmt(f),
            Self::Format(error) => error.fmt(f),
            Self::Trust(error) => error.fmt(f),
            Self::Cmdline(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Kernel(error) => error.fmt(f),
            Self::Plan(error) => error.fmt(f),
            Self::Arrange(error) => error.fmt(f),
            Self::Load(error) => error.fmt(f),
            Self::HandOver(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}
