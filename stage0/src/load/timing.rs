//! What each phase takes.

/// A clock that only goes forward: the time-stamp counter in the guest.
pub trait Clock {
    /// Ticks since whenever.
    fn now(&self) -> u64;
}

/// A part of stage0's work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Phase {
    /// Reading what the builder handed over, and finding the pack.
    Find,
    /// Hashing.
    Verify,
    /// Decoding the kernel.
    Decode,
    /// Moving, and zeroing.
    Place,
    /// Writing what the kernel is handed.
    HandOver,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 5] = [Self::Find, Self::Verify, Self::Decode, Self::Place, Self::HandOver];

    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Find => "find",
            Self::Verify => "verify",
            Self::Decode => "decode",
            Self::Place => "place",
            Self::HandOver => "hand over",
        }
    }
}

/// What a phase took.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cost {
    /// Ticks of the clock.
    pub ticks: u64,
    /// Bytes that it went over.
    pub bytes: u64,
}

/// Adds up what each phase takes.
#[derive(Debug)]
pub struct Meter<C> {
    clock: C,
    enter: fn(Phase),
    costs: [Cost; Phase::ALL.len()],
}

impl<C: Clock> Meter<C> {
    /// A meter by `clock`, which tells `enter` of each phase as it begins.
    pub const fn new(clock: C, enter: fn(Phase)) -> Self {
        Self { clock, enter, costs: [Cost { ticks: 0, bytes: 0 }; Phase::ALL.len()] }
    }

    /// Does `work` over `bytes` bytes as part of `phase`.
    pub fn measure<T>(&mut self, phase: Phase, bytes: u64, work: impl FnOnce() -> T) -> T {
        let start = self.begin(phase);
        let done = work();
        self.end(phase, bytes, start);
        done
    }

    #[inline(never)]
    fn begin(&self, phase: Phase) -> u64 {
        (self.enter)(phase);
        self.clock.now()
    }

    #[inline(never)]
    fn end(&mut self, phase: Phase, bytes: u64, start: u64) {
        let cost = &mut self.costs[phase as usize];
        cost.ticks = cost.ticks.wrapping_add(self.clock.now().wrapping_sub(start));
        cost.bytes = cost.bytes.saturating_add(bytes);
    }

    /// What each phase took so far.
    pub fn costs(&self) -> impl Iterator<Item = (Phase, Cost)> + '_ {
        Phase::ALL.into_iter().zip(self.costs)
    }
}
