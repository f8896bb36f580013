//! A kernel made of the probe in two domains: started by the toolstack itself, and by stage0 from a pack.

use anyhow::{Result, ensure};

use super::Domain;
use crate::probe::{Case, Lines};
use crate::{Exit, Machine, Outcome};

/// The two domains.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The kernel, and what it is handed.
    pub case: Case,
    /// Begins the names of the logs.
    pub tier: &'static str,
    /// The kind of domain, from a machine.
    pub domain: fn(Machine) -> Domain,
    /// Lines of the probe that may differ.
    pub differ: &'static [&'static str],
}

impl Pair {
    /// Started by the toolstack, and by stage0.
    ///
    /// # Errors
    /// The kernel cannot be built or packed.
    pub fn domains(&self) -> Result<[Domain; 2]> {
        let packed = self.case.packed(self.tier)?.append(format!("stage0.quiet {}", Case::BUILDERS));
        Ok([self.case.direct(self.tier)?, packed].map(self.domain))
    }

    /// Compares what the probe said in the two.
    ///
    /// # Errors
    /// It did not come to its end, a promise of the builder's was not kept, or the two differ.
    pub fn check(&self, direct: &Outcome, packed: &Outcome) -> Result<()> {
        let [direct, packed] = [direct, packed].map(|outcome| self.told(outcome.clone()));
        self.case.compare(&direct, &packed, self.differ)?;
        ensure!(!packed.serial.contains("stage0: "), packed.failure("expected no line of stage0's"));
        if self.case.layout.pv.is_some() {
            let failed = Lines::of(&direct.serial).not_ok().join("\n");
            ensure!(failed.is_empty(), direct.failure(&failed));
        }
        for outcome in [direct, packed] {
            outcome.ended(&Exit::PowerOff).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }

    /// What a PV kernel says it says to its console ring, where the shim has its own lines too; a PVH one to Xen's log.
    fn told(&self, mut outcome: Outcome) -> Outcome {
        if self.case.layout.pv.is_some() {
            let lines = outcome.xen_console.lines().map(|line| line.trim_matches('\r'));
            outcome.serial =
                lines.filter(|line| !line.is_empty() && !line.starts_with("(XEN) ")).collect::<Vec<_>>().join("\n");
        }
        outcome
    }
}
