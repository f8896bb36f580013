//! The FPU's and the vectors' registers, and what lets one use them.

use core::arch::asm;
use core::arch::x86_64::__cpuid;

use crate::report::{info, skip};

/// The memory of an `fxsave64` (Intel SDM volume 1, table 10-2).
#[repr(C, align(16))]
pub(crate) struct Fpu(pub(crate) [u8; 512]);

/// The memory of an `xsave64` of the FPU, XMM, and the upper halves of YMM (the same, 13.4).
#[repr(C, align(64))]
struct Area([u8; UPPER + 256]);
/// Where in it the upper halves are.
const UPPER: usize = 512 + 64;

const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXSAVE: u64 = 1 << 18;
/// In ECX of CPUID's leaf 1.
const XSAVE: u32 = 1 << 26;
const AVX: u32 = 1 << 28;
const XCR0_AVX: u32 = 0b111;

/// What an `fxsave64` at the entry stored; zeros and all else by a hash.
pub(crate) fn dump(fpu: &Fpu) {
    let image = &fpu.0;
    let word = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
    let mxcsr = u32::from_le_bytes([image[24], image[25], image[26], image[27]]);
    info("fpu", format_args!("fcw {:#x}, fsw {:#x}, ftw {:#x}, mxcsr {mxcsr:#x}", word(0), word(2), image[4]));
    bytes("fpu.registers", &image[32..160]);
    bytes("xmm", &image[160..416]);
    upper();
}

fn bytes(name: &str, bytes: &[u8]) {
    if bytes.iter().all(|byte| *byte == 0) {
        info(name, format_args!("zero"));
    } else {
        info(name, format_args!("hash {:#x}", probe::hash(bytes)));
    }
}

/// What FXSAVE does not store. It stays switched on.
fn upper() {
    let features = __cpuid(1).ecx;
    if features & XSAVE == 0 {
        return skip("xcr0", "a processor without XSAVE");
    }
    switch_on(CR4_OSXSAVE);
    let (xcr0, high): (u32, u32);
    // SAFETY: CR4.OSXSAVE is set.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") xcr0, out("edx") high, options(nomem, nostack)) };
    info("xcr0", format_args!("{:#x}", u64::from(high) << 32 | u64::from(xcr0)));
    if features & AVX == 0 {
        return skip("ymm", "a processor without AVX");
    }
    let mut area = Area([0; UPPER + 256]);
    // SAFETY: 1. CR4.OSXSAVE is set, and the processor has these bits of XCR0; 2. the area is as large and as aligned as XSAVE
    // wants it, and its header is zero.
    unsafe {
        asm!(
            "xsetbv",
            "mov eax, {mask}",
            "xor edx, edx",
            "xsave64 [{area}]",
            area = in(reg) &raw mut area,
            mask = const XCR0_AVX,
            in("ecx") 0,
            inout("eax") xcr0 | XCR0_AVX => _,
            inout("edx") high => _,
            options(nostack)
        );
    }
    bytes("ymm", &area.0[UPPER..]);
}

/// Sets bits of CR4.
fn switch_on(bits: u64) {
    // SAFETY: the processor has what is switched on, and nothing here depends on its being off.
    unsafe {
        asm!("mov {value}, cr4", "or {value}, {bits}", "mov cr4, {value}", value = out(reg) _, bits = in(reg) bits, options(nostack));
    }
}

/// Stores what is in the registers. Nothing of the probe uses them, so that it is what the entry found.
#[allow(dead_code, reason = "where vectors are on from the start, the entry does it")]
pub(crate) fn store() -> Fpu {
    switch_on(CR4_OSFXSR);
    let mut fpu = Fpu([0; 512]);
    // SAFETY: the memory is as large and as aligned as FXSAVE wants it, and CR4.OSFXSR is set.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut fpu, options(nostack)) };
    fpu
}
