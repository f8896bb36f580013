//! The clock by which phases are measured.

use crate::load::Clock;

/// The processor's time-stamp counter.
#[derive(Clone, Copy, Debug)]
pub struct TimeStampCounter;

impl Clock for TimeStampCounter {
    fn now(&self) -> u64 {
        // SAFETY: every processor with long mode has RDTSC, and CR4.TSD is 0 in the state that builders leave.
        unsafe { x86::time::rdtsc() }
    }
}
