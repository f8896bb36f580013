//! The hypercall instruction of PVH domains.

use core::arch::x86_64::__cpuid;

use shared::xen::{CPUID_FIRST, CPUID_LAST, CPUID_SIGNATURE, CPUID_STEP};

/// Whether a hypervisor announces itself as Xen.
pub(crate) fn is_xen() -> bool {
    (CPUID_FIRST..=CPUID_LAST).step_by(CPUID_STEP as usize).any(|base| {
        let leaf = __cpuid(base);
        [leaf.ebx, leaf.ecx, leaf.edx] == CPUID_SIGNATURE
    })
}

/// # Safety
/// This is a Xen domain; the hypercall must not change memory that Rust relies on, but for what its arguments point to.
pub(crate) unsafe fn call(number: u64, arguments: [u64; 4]) -> i64 {
    let [first, second, third, fourth] = arguments;
    let result;
    macro_rules! call {
        ($instruction:literal) => {
            // SAFETY: this is a Xen domain, so the instruction for its vendor is a hypercall, which may change its argument
            // registers; the rest is the caller's promise.
            unsafe {
                core::arch::asm!(
                    $instruction,
                    inlateout("rax") number => result,
                    inlateout("rdi") first => _,
                    inlateout("rsi") second => _,
                    inlateout("rdx") third => _,
                    inlateout("r10") fourth => _,
                    options(nostack)
                )
            }
        };
    }
    if __cpuid(0).ebx == u32::from_le_bytes(*b"Genu") {
        call!("vmcall")
    } else {
        call!("vmmcall")
    }
    result
}
