//! Domains whose packs were changed at random.

use std::fs;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use pack::build::{Module, Request};
use shared::memory::MIB;

use super::{Domain, Kind};
use crate::mutated::{self, Mutated};
use crate::probe::{self, Content, Layout, Lines, Pv};
use crate::{Exit, Machine, Outcome, stage0};

/// A domain, and what was done to its pack.
#[derive(Debug, Clone)]
pub struct Changed {
    case: Mutated,
    kind: Kind,
    /// The domain.
    pub domain: Domain,
}

/// `count` domains of the kind, with packs that come of `seed`.
///
/// # Errors
/// The probe cannot be built or packed, or a pack cannot be written.
pub fn changed(kind: Kind, count: u64, seed: u64) -> Result<Vec<Changed>> {
    let whole = sample(kind)?;
    let one = |n: u64| {
        let case = mutated::mutated(&whole, &mut Rng::with_seed(seed.wrapping_add(n))).map_err(anyhow::Error::msg)?;
        let name = format!("t4-mutated-{}-{n}", kind.word());
        let pack = probe::file(&format!("{name}.pack"), &case.pack)?;
        let domain = Domain::new(kind, Machine::new(name, stage0::file()?).memory(64).initrd(pack));
        Ok(Changed { case, kind, domain })
    };
    (0..count).map(one).collect()
}

/// A pack with all that a pack can have, of a probe for the kind of domain.
fn sample(kind: Kind) -> Result<Vec<u8>> {
    let layout = match kind {
        Kind::Pv => Layout::pv("mutated-pv", 16 * MIB, Pv::linux()),
        Kind::Pvh => Layout::at("mutated-pvh", 16 * MIB),
    };
    let mut request = Request::new(layout.name, fs::read(probe::build(&layout)?)?);
    request.cmdline = Some("of the pack".to_owned());
    request.settings.level = 1;
    request.allowed = vec!["quiet".to_owned(), "a=*".to_owned()];
    request.modules = vec![Module { name: "module".to_owned(), content: probe::module(50_000, Content::Noise(2)) }];
    Ok(request.build(&|_| ()).context("mutated")?.pack)
}

impl Changed {
    /// Whether the kernel was started.
    ///
    /// # Errors
    /// It was neither started nor refused in one line.
    pub fn check(&self, outcome: &Outcome) -> Result<bool> {
        let probed = if self.kind == Kind::Pv { &outcome.xen_console } else { &outcome.serial };
        let lines = Lines::of(probed);
        let started = lines.is_complete() && lines.not_ok().is_empty() && outcome.exit == Exit::PowerOff;
        let refused = outcome.exit == Exit::Crashed;
        let what = &self.case.what;
        mutated::verdict(what, &outcome.xen_console, outcome, started, refused).map_err(anyhow::Error::msg)
    }
}

/// How many of them started their kernel.
///
/// # Errors
/// One of them neither did nor was refused in one line, or all did the same.
pub fn check(changed: &[(Changed, Outcome)]) -> Result<usize> {
    let started = changed.iter().map(|(changed, outcome)| changed.check(outcome));
    let started = started.collect::<Result<Vec<bool>>>()?.into_iter().filter(|started| *started).count();
    ensure!(started > 0 && started < changed.len(), "{started} of {} started their kernel", changed.len());
    Ok(started)
}
