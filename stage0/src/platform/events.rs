//! Taking back what the console's events left in `shared_info`.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::xen::Xen;

/// Offsets in `shared_info` of a 64-bit domain (public/xen.h): of vCPU 0's part, and behind 32 such parts.
const UPCALL_PENDING: usize = 0;
const PENDING_SELECTOR: usize = 8;
const PENDING: usize = 32 * 64;
/// Event channels of a `shared_info`: 64 words of 64.
const PORTS: u32 = 4096;
/// How often others are let run until the event that follows on what was read comes: it may never. Then how often for one more,
/// as that may have been of what was read before.
const PATIENCE: [u32; 2] = [2000, 500];

/// Clears in `shared_info` what events of the channel `port` left there, as none had ever come.
///
/// # Safety
/// `page` is a mapped `shared_info`.
pub(super) unsafe fn clear(xen: Xen, page: *mut u8, port: u32) {
    if port >= PORTS {
        return;
    }
    // SAFETY: within the page, aligned; Xen writes there by atomic operations too.
    let (pending, selector, upcall) = unsafe {
        (
            AtomicU64::from_ptr(page.add(PENDING + (port / 64 * 8) as usize).cast()),
            AtomicU64::from_ptr(page.add(PENDING_SELECTOR).cast()),
            AtomicU8::from_ptr(page.add(UPCALL_PENDING)),
        )
    };
    let bit = 1 << (port % 64);
    for patience in PATIENCE {
        for _ in 0..patience {
            if pending.load(Ordering::Acquire) & bit != 0 {
                break;
            }
            xen.yield_now();
        }
        pending.fetch_and(!bit, Ordering::AcqRel);
        selector.store(0, Ordering::Release);
        upcall.store(0, Ordering::Release);
    }
}
