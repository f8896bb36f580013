//! What stage0 will make of a kernel, found out beforehand by the same code.

use shared::kernel::{Decisions, Kernel, Outside, Plan, PlanError, Protocol, ReadError, SliceFile};

use crate::advice;

/// The protocols that stage0 enters kernels by.
pub const ENTERED: [Protocol; 3] = [Protocol::Pvh, Protocol::Pv, Protocol::Direct];

/// What stage0 says of a kernel.
#[derive(Debug)]
pub struct Reading {
    /// The kernel.
    pub kernel: Kernel,
    /// What a person decided, and the protocol that follows from the kernel alone.
    pub decisions: Decisions,
}

/// What stage0 will not start.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file is no kernel that can be read.
    #[error("{0}")]
    Read(ReadError<Outside>),
    /// No domain could start it.
    #[error("{why}{}", advice::on_plan(.why))]
    Plan {
        /// Why.
        why: PlanError,
    },
}

impl Reading {
    /// Reads the kernel in `elf`. Refused is what stage0 would refuse in every domain.
    pub fn of(elf: &[u8], decisions: &Decisions) -> Result<Self, Refusal> {
        let kernel = Kernel::read(&mut SliceFile(elf)).map_err(Refusal::Read)?;
        let protocol = kernel.recorded_protocol(decisions).map_err(|why| Refusal::Plan { why })?;
        Ok(Self { kernel, decisions: Decisions { protocol, ..*decisions } })
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
