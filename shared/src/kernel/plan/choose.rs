//! Which protocol: what `pack` records, and what stage0 takes in the domain that it finds itself in.

use super::{Kernel, PlanError};
use crate::kernel::metadata::Source;
use crate::kernel::{Decisions, Protocol};

impl Kernel {
    /// The protocol that `pack` records: what the person decided, else direct for a kernel that says nothing to Xen, else
    /// none, which leaves it to the kind of domain.
    ///
    /// Refused is what no domain could start: a decision that does not suit the kernel, a Linux without any Xen entry,
    /// Xen notes without an entry.
    pub fn recorded_protocol(&self, decisions: &Decisions) -> Result<Option<Protocol>, PlanError> {
        if let Some(protocol) = decisions.protocol {
            return self.plan(protocol, decisions).map(|_| Some(protocol));
        }
        if self.xen.source == Source::None && self.xen.is_linux() {
            return Err(PlanError::LinuxWithoutPvh);
        }
        if self.xen.source == Source::None {
            return self.plan(Protocol::Direct, decisions).map(|_| Some(Protocol::Direct));
        }
        let pv = match self.plan(Protocol::Pv, decisions) {
            Ok(_) => return Ok(None),
            Err(error) => error,
        };
        if self.xen.phys32_entry.is_some() {
            return self.plan(Protocol::Pvh, decisions).map(|_| None);
        }
        Err(match pv {
            PlanError::Loader { .. } | PlanError::XenVersion { .. } if self.xen.is_linux() => {
                PlanError::LinuxWithoutPvh
            }
            other => other,
        })
    }

    /// The protocol in a PVH or HVM domain: the recorded one, if that is not PV, else PVH.
    pub fn protocol_in_pvh(&self, decisions: &Decisions) -> Result<Protocol, PlanError> {
        match decisions.protocol {
            Some(Protocol::Pv) => Err(PlanError::PvOnly),
            Some(protocol) => Ok(protocol),
            None => Ok(Protocol::Pvh),
        }
    }

    /// The protocol in a PV domain: PV, if nothing else is recorded.
    pub fn protocol_in_pv(&self, decisions: &Decisions) -> Result<Protocol, PlanError> {
        match decisions.protocol {
            Some(Protocol::Pv) | None => Ok(Protocol::Pv),
            Some(protocol) => Err(PlanError::NotInPv { protocol }),
        }
    }
}
