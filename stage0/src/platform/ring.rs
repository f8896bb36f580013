//! The console ring that the toolstack's console daemon reads (public/io/console.h). What was written stays consistent for
//! the kernel, whose output follows.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use shared::xen::pv::{CONSOLE_OUT, CONSOLE_OUT_CONS, CONSOLE_OUT_LEN, CONSOLE_OUT_PROD};

use super::xen::Xen;

/// How often others are let run before a ring counts as one that nobody reads: some tenths of a second.
const PATIENCE: u32 = 100_000;

static PAGE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static PORT: AtomicU32 = AtomicU32::new(0);
/// Whether nobody reads it.
static DEAF: AtomicBool = AtomicBool::new(false);
/// Whether anything was written.
static USED: AtomicBool = AtomicBool::new(false);

/// Names the ring's page and its event channel.
///
/// # Safety
/// The page is the ring, mapped, writable, as long as anything is written; no Rust code holds it.
pub(super) unsafe fn set(page: *mut u8, port: u32) {
    PAGE.store(page, Ordering::Relaxed);
    PORT.store(port, Ordering::Relaxed);
}

/// There is no ring from now on.
pub(super) fn forget() {
    PAGE.store(ptr::null_mut(), Ordering::Relaxed);
}

/// The ring's event channel, if anything was written.
pub(super) fn used() -> Option<u32> {
    USED.load(Ordering::Relaxed).then(|| PORT.load(Ordering::Relaxed))
}

/// The index at `offset`.
fn index<'a>(page: *mut u8, offset: usize) -> &'a AtomicU32 {
    // SAFETY: `set` was promised a page of the ring, whose indices are aligned and only used as atomics.
    unsafe { AtomicU32::from_ptr(page.add(offset).cast()) }
}

/// Writes a text. What a reader does not make room for in time is lost.
pub(super) fn write(xen: Xen, text: &[u8]) {
    let page = PAGE.load(Ordering::Relaxed);
    if page.is_null() || text.is_empty() {
        return;
    }
    let (consumed, produced) = (index(page, CONSOLE_OUT_CONS), index(page, CONSOLE_OUT_PROD));
    let mut at = produced.load(Ordering::Relaxed);
    USED.store(true, Ordering::Relaxed);
    for byte in text {
        if at.wrapping_sub(consumed.load(Ordering::Acquire)) >= CONSOLE_OUT_LEN {
            produced.store(at, Ordering::Release);
            xen.notify(PORT.load(Ordering::Relaxed));
            if !wait(xen, || at.wrapping_sub(consumed.load(Ordering::Acquire)) < CONSOLE_OUT_LEN) {
                return;
            }
        }
        // SAFETY: the offset lies within the page, in the bytes that the guest writes.
        unsafe { page.add(CONSOLE_OUT + (at % CONSOLE_OUT_LEN) as usize).write_volatile(*byte) };
        at = at.wrapping_add(1);
    }
    produced.store(at, Ordering::Release);
    // The daemon takes only so many events in a row.
    if text.ends_with(b"\n") {
        xen.notify(PORT.load(Ordering::Relaxed));
    }
}

/// Waits until all was read, or nobody reads.
pub(super) fn drain(xen: Xen) {
    let page = PAGE.load(Ordering::Relaxed);
    if !page.is_null() && USED.load(Ordering::Relaxed) {
        let (consumed, produced) = (index(page, CONSOLE_OUT_CONS), index(page, CONSOLE_OUT_PROD));
        wait(xen, || consumed.load(Ordering::Acquire) == produced.load(Ordering::Relaxed));
    }
}

/// Lets others run until `done`; false if that never comes. Whoever was waited for once in vain is not waited for again.
fn wait(xen: Xen, done: impl Fn() -> bool) -> bool {
    for _ in 0..PATIENCE {
        if done() {
            return true;
        }
        if DEAF.load(Ordering::Relaxed) {
            break;
        }
        xen.yield_now();
    }
    DEAF.store(true, Ordering::Relaxed);
    false
}
