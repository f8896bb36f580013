//! What stage0 will make of a kernel, found out beforehand by the same code.

use shared::kernel::{Decisions, Kernel, Outside, Plan, PlanError, Protocol, ReadError, RelocError, SliceFile, Source};

use crate::advice;
use crate::foreign::Foreign;
use crate::relocated;

/// The protocols that stage0 enters kernels by.
pub const ENTERED: [Protocol; 3] = [Protocol::Pvh, Protocol::Pv, Protocol::Direct];

/// What stage0 says of a kernel.
#[derive(Debug)]
pub struct Reading {
    /// The kernel.
    pub kernel: Kernel,
    /// What a person decided, and the protocol that follows from the kernel alone.
    pub decisions: Decisions,
    /// What the file is, if it says nothing to Xen and is no kernel for the direct protocol: a person asked for that.
    pub foreign: Option<Foreign>,
}

/// What stage0 will not start.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file is no kernel that can be read.
    #[error("{0}{advice}", advice = advice::on_read(.0))]
    Read(ReadError<Outside>),
    /// The file is no kernel, or one for another kind of loader.
    #[error("not a kernel for Xen: {what}{}", advice::on_foreign(.what))]
    Foreign {
        /// What it is.
        what: Foreign,
    },
    /// stage0 could not relocate it.
    #[error("{why}{}", advice::on_relocation(.why))]
    Relocation {
        /// Why.
        why: RelocError,
    },
    /// No domain could start it.
    #[error("{why}{}", advice::on_plan(.why))]
    Plan {
        /// Why.
        why: PlanError,
    },
}

impl Reading {
    /// Reads the kernel in `elf`. Refused is what stage0 would refuse in every domain, and what is no kernel, unless a person
    /// decided on the protocol.
    pub fn of(elf: &[u8], decisions: &Decisions) -> Result<Self, Refusal> {
        let unlinked = || Foreign::unlinked(elf).map(|what| Refusal::Foreign { what });
        let kernel = Kernel::read(&mut SliceFile(elf)).map_err(|cause| unlinked().unwrap_or(Refusal::Read(cause)))?;
        let foreign = if kernel.xen.source == Source::None { Foreign::of(elf) } else { None };
        if let (None, Some(what)) = (decisions.protocol, &foreign) {
            return Err(match what {
                Foreign::Linux { .. } => Refusal::Plan { why: PlanError::LinuxWithoutPvh },
                _ => Refusal::Foreign { what: what.clone() },
            });
        }
        let refused = |why| unlinked().unwrap_or(Refusal::Plan { why });
        let protocol = kernel.recorded_protocol(decisions).map_err(&refused)?;
        if protocol == Some(Protocol::Direct) && kernel.dynamic.is_some() {
            let plan = kernel.plan(Protocol::Direct, decisions).map_err(refused)?;
            relocated::check(elf, &plan).map_err(|why| Refusal::Relocation { why })?;
        }
        Ok(Self { kernel, decisions: Decisions { protocol, ..*decisions }, foreign })
    }

    /// What a person should know of a kernel that is entered by `protocol` because somebody wanted it so.
    pub fn warning(&self, protocol: Protocol) -> Option<String> {
        let what = self.foreign.as_ref().filter(|_| protocol == Protocol::Direct)?;
        Some(format!("{what}: entered by the direct protocol all the same, and by nothing that it expects"))
    }

    /// Whether stage0 enters the kernel by `protocol`, if there is a plan: nothing else was decided, and direct was.
    pub fn enters(&self, protocol: Protocol) -> bool {
        self.decisions.protocol.map_or(protocol != Protocol::Direct, |decided| decided == protocol)
    }

    /// The plan for `protocol`, if the kernel can be entered by it at all.
    pub fn plan(&self, protocol: Protocol) -> Result<Plan, PlanError> {
        self.kernel.plan(protocol, &self.decisions)
    }
}
