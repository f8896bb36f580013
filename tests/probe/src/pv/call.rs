//! The hypercall instruction of PV domains.

/// # Safety
/// The hypercall must not change memory that Rust relies on, but for what its arguments point to.
pub(crate) unsafe fn call(number: u64, arguments: [u64; 4]) -> i64 {
    let result;
    let [first, second, third, fourth] = arguments;
    // SAFETY: `syscall` in a PV domain's kernel enters Xen, which comes back behind it with RCX and R11 changed, and in debug
    // builds its argument registers too; the rest is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            inlateout("rdi") first => _,
            inlateout("rsi") second => _,
            inlateout("rdx") third => _,
            inlateout("r10") fourth => _,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    result
}
