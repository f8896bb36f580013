//! What the processor is asked for (AMD64 manual volume 3, appendix E.4).

use core::arch::x86_64::__cpuid;

/// The first extended leaf. The one behind it has the bits below, in EDX.
pub(crate) const EXTENDED: u32 = 0x8000_0000;
/// No-execute pages.
pub(crate) const NO_EXECUTE: u32 = 20;
/// Pages of 1 GiB.
const GIB_PAGES: u32 = 26;
/// Long mode.
pub(crate) const LONG_MODE: u32 = 29;

/// Whether the processor has no-execute pages.
pub(crate) fn no_execute() -> bool {
    has(NO_EXECUTE)
}

/// Whether the processor has pages of 1 GiB.
pub(crate) fn gib_pages() -> bool {
    has(GIB_PAGES)
}

/// Every processor with long mode has the leaf.
fn has(bit: u32) -> bool {
    __cpuid(EXTENDED + 1).edx & 1 << bit != 0
}
