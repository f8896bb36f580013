//! Tier T4: domains of a real Xen with its real toolstack, in a machine that QEMU emulates in software.
//!
//! Xen, a Linux as dom0 and Xen's daemons take many seconds to start, so that all domains of a call are run in one such machine,
//! one after another. Xen and its toolstack are those of a Debian release, whichever Debian this machine runs: when nested in
//! QEMU's TCG, those before Debian 13 do not run each kernel in a PVH domain.

mod dom0;
mod domain;
pub mod mutated;
mod pair;

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::Outcome;
pub use crate::xen::Release;

pub use domain::{Act, Domain, Given, Kind};
pub use pair::Pair;

/// Runs the domains on the Xen of `release` and gives their outcomes in the same order. Of an outcome,
/// - `serial` is what Xen reports of the domain, which is what it wrote to port 0xE9,
/// - `xen_console` is what the domain wrote to its console ring,
/// - `exit` is [`crate::Exit::PowerOff`], `Crashed`, `Found`, `TimedOut`, or `Failed` if xl could not start the domain.
///
/// A domain that halts with its interrupts off is taken for one that powered off: believe only what it wrote.
///
/// # Errors
/// A part is [`crate::Missing`], or a file cannot be read or written. How the guests fare is no error.
pub fn run(release: Release, domains: &[Domain]) -> Result<Vec<Outcome>> {
    run_showing(release, domains, &mut io::sink())
}

/// The same, copying what the domains write to their console rings to `console`: for [`Act::Talk`] while they run, else when they
/// have ended.
///
/// # Errors
/// As [`run`].
pub fn run_showing(release: Release, domains: &[Domain], console: &mut dyn Write) -> Result<Vec<Outcome>> {
    let free = RUNNING.iter().find_map(|slot| slot.try_lock().ok());
    // A run that panicked has ended as well.
    let _slot = free.unwrap_or_else(|| RUNNING[0].lock().unwrap_or_else(PoisonError::into_inner));
    dom0::run(release, domains, console)
}

/// How many machines with a Xen run at a time: each takes up to 4 GiB, and a processor.
static RUNNING: [Mutex<()>; 2] = [const { Mutex::new(()) }; 2];
