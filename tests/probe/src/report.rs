//! The lines of a probe, whichever console they go to.

use core::fmt::{Arguments, Display};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::console::line;

static CHECKS: AtomicU32 = AtomicU32::new(0);
static FAILURES: AtomicU32 = AtomicU32::new(0);

/// A check: `ok` or `not ok`, with what was found.
pub(crate) fn check(holds: bool, name: impl Display, found: Arguments<'_>) {
    CHECKS.fetch_add(1, Ordering::Relaxed);
    if !holds {
        FAILURES.fetch_add(1, Ordering::Relaxed);
    }
    line(format_args!("{} {name}: {found}", if holds { "ok" } else { "not ok" }));
}

/// Something that cannot be told from inside.
pub(crate) fn skip(name: impl Display, reason: &str) {
    line(format_args!("skip {name}: {reason}"));
}

/// Something that nobody promises.
pub(crate) fn info(name: impl Display, value: Arguments<'_>) {
    line(format_args!("info {name}: {value}"));
}

/// The last line, which counts the checks. How many of them did not hold.
pub(crate) fn end() -> u32 {
    let (checks, failures) = (CHECKS.load(Ordering::Relaxed), FAILURES.load(Ordering::Relaxed));
    line(format_args!("end: {checks} checks, {failures} not ok"));
    failures
}
