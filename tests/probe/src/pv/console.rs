//! Where lines go: a domU's console ring, the hypervisor's console for the initial domain.

use core::cell::UnsafeCell;
use core::fmt::{self, Arguments, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use shared::xen::pv::{CONSOLE_OUT, CONSOLE_OUT_CONS, CONSOLE_OUT_LEN, CONSOLE_OUT_PROD};

use crate::domain::Domain;
use crate::entry::Work;
use crate::hypercall;

/// How often other domains are let run while nobody drains the ring.
const PATIENCE: u32 = 100_000;

/// Virtual address of the ring; [`NONE`] before it is known, [`HYPERVISOR`] where there is none.
static RING: AtomicU64 = AtomicU64::new(NONE);
static PORT: AtomicU32 = AtomicU32::new(0);
/// Whether nobody makes room: then nobody is waited for any more.
static DEAF: AtomicBool = AtomicBool::new(false);
const NONE: u64 = 0;
const HYPERVISOR: u64 = 1;

static LINE: Work<Line> = Work(UnsafeCell::new(Line { len: 0, bytes: [0; 1536] }));

struct Line {
    len: usize,
    bytes: [u8; 1536],
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let len = text.len().min(room.len());
        room[..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

/// Finds the console.
pub(crate) fn open(domain: &Domain) {
    let start_info = &domain.start_info;
    // Written in any case, so that whether its page is dirty does not depend on how quickly somebody reads.
    DEAF.store(false, Ordering::Relaxed);
    if domain.is_initial() {
        return RING.store(HYPERVISOR, Ordering::Relaxed);
    }
    if let Some(pfn) = domain.pfn(start_info.console.get()) {
        RING.store(domain.virt(pfn), Ordering::Relaxed);
        PORT.store(start_info.console_evtchn.get(), Ordering::Relaxed);
    }
}

/// One line.
pub(crate) fn line(text: Arguments<'_>) {
    // SAFETY: the line is used here alone, and nothing that is formatted prints.
    let line = unsafe { &mut *LINE.0.get() };
    line.len = 0;
    let _ = line.write_fmt(format_args!("{text}\n"));
    let bytes = &line.bytes[..line.len];
    match RING.load(Ordering::Relaxed) {
        NONE => {}
        HYPERVISOR => _ = hypercall::console_write(bytes),
        ring => bytes.iter().for_each(|byte| put(ring, *byte)),
    }
}

/// An index of the ring, which the backend changes too.
fn index(ring: u64, offset: u64) -> &'static AtomicU32 {
    // SAFETY: the console page is mapped, and this one is an aligned u32 in it that is only used as an atomic.
    unsafe { AtomicU32::from_ptr((ring + offset) as *mut u32) }
}

/// Whether the ring gets to hold at most `len` bytes before patience ends. The backend is told of what it holds.
fn drained(ring: u64, len: u32) -> bool {
    let held = || {
        index(ring, CONSOLE_OUT_PROD as u64)
            .load(Ordering::Relaxed)
            .wrapping_sub(index(ring, CONSOLE_OUT_CONS as u64).load(Ordering::Acquire))
    };
    if held() <= len {
        return true;
    }
    if DEAF.load(Ordering::Relaxed) {
        return false;
    }
    hypercall::send(PORT.load(Ordering::Relaxed));
    let drained = (0..PATIENCE).any(|_| {
        hypercall::yield_now();
        held() <= len
    });
    DEAF.store(!drained, Ordering::Relaxed);
    drained
}

/// One byte, or none where nobody makes room for it.
fn put(ring: u64, byte: u8) {
    if drained(ring, CONSOLE_OUT_LEN - 1) {
        let produced = index(ring, CONSOLE_OUT_PROD as u64).load(Ordering::Relaxed);
        let place = ring + CONSOLE_OUT as u64 + u64::from(produced % CONSOLE_OUT_LEN);
        // SAFETY: the place is in the console page; the backend reads it only once the index says so.
        unsafe { AtomicU8::from_ptr(place as *mut u8) }.store(byte, Ordering::Relaxed);
        index(ring, CONSOLE_OUT_PROD as u64).store(produced.wrapping_add(1), Ordering::Release);
    }
}

/// Waits until everything was taken.
pub(crate) fn flush() {
    match RING.load(Ordering::Relaxed) {
        NONE | HYPERVISOR => {}
        ring => _ = drained(ring, 0),
    }
}
