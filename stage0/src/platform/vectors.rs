//! Vector registers, which are the kernel's: while stage0 hashes it has them, and then they are again as the builder left
//! them, with all that lets one use them (CR4, XCR0).
//!
//! The same code does for a PV domain. Its vectors are always on, Xen emulates the writes to CR4 and XCR0, and CR0.TS stays as
//! it is: clear for the domain, while Xen by itself sees to it that the registers are there when they are used.

use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::blake3::Blake3;
use super::xen::Xen;

/// `CR4`, its bits for SSE's registers and for XSAVE (Intel SDM volume 3, 2.5).
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXSAVE: u64 = 1 << 18;
/// `XCR0`: the FPU, XMM, and the upper halves of YMM (the same, 2.6).
const XCR0_AVX: u32 = 0b111;
const XCR0_UPPER: u32 = 0b100;
/// Bytes that XSAVE writes for these: 512 as FXSAVE, a header of 64, the upper halves (Intel SDM volume 1, 13.4).
const AREA: usize = 512 + 64 + 16 * 16;

/// Features in ECX of CPUID's leaf 1, and in EBX of its leaf 7 (Intel SDM volume 2, CPUID).
const SSSE3: u32 = 1 << 9;
const SSE4_1: u32 = 1 << 19;
const XSAVE: u32 = 1 << 26;
const AVX: u32 = 1 << 28;
const AVX2: u32 = 1 << 5;

/// Whether there is AVX2: 0 before anyone looked, then one of the two.
static FOUND: AtomicU8 = AtomicU8::new(0);
const NO: u8 = 1;
const YES: u8 = 2;

/// The registers, and what lets one use them, as the builder left them.
#[repr(C, align(64))]
struct Saved {
    area: [u8; AREA],
    cr4: u64,
    /// Where XCR0 was changed: what it was.
    xcr0: Option<u32>,
}

/// The BLAKE3 hash of `bytes`, by vectors.
pub fn blake3(bytes: &[u8]) -> [u8; 32] {
    let mut saved = Saved { area: [0; AREA], cr4: 0, xcr0: None };
    // SAFETY: nothing but what is between this and `restore` uses vectors, as stage0 is built without them.
    unsafe { saved.save() };
    // SAFETY: every processor with long mode has SSE2; where XCR0 was changed there is AVX2; and both are switched on.
    let blake3 = unsafe { if saved.xcr0.is_some() { Blake3::avx2() } else { Blake3::sse2() } };
    let hash = blake3.hash(bytes);
    // SAFETY: saved above, and not restored yet.
    unsafe { saved.restore() };
    hash
}

impl Saved {
    /// Switches vectors on, and saves what is in the registers.
    ///
    /// # Safety
    /// The registers are nobody's until [`Saved::restore`].
    unsafe fn save(&mut self) {
        self.cr4 = cr4();
        let has_avx2 = has_avx2();
        let on = self.cr4 | CR4_OSFXSR | if has_avx2 { CR4_OSXSAVE } else { 0 };
        if on != self.cr4 {
            // SAFETY: the processor has both; in a PV domain OSFXSR is set already, and Xen lets a domain set OSXSAVE.
            unsafe { asm!("mov cr4, {}", in(reg) on, options(nostack, preserves_flags)) };
        }
        let area = &raw mut self.area;
        // SAFETY: CR4.OSFXSR is set; the area has 512 bytes, aligned to 16.
        unsafe { asm!("fxsave64 [{area}]", area = in(reg) area, options(nostack, preserves_flags)) };
        // What XCR0 has besides, AVX would clear: where there is more, it stays as it is.
        let xcr0 = has_avx2.then(xcr0).filter(|xcr0| xcr0 & !u64::from(XCR0_AVX) == 0);
        self.xcr0 = xcr0.map(|xcr0| xcr0 as u32);
        if xcr0.is_some() {
            // SAFETY: 1. CR4.OSXSAVE is set; 2. the processor (in a PV domain, Xen) has these bits of XCR0; 3. the area is as long
            // as XSAVE wants it for them, aligned to 64 bytes, its header zero.
            unsafe {
                asm!(
                    "xsetbv",
                    "mov eax, {upper}",
                    "xsave64 [{area}]",
                    area = in(reg) area,
                    upper = const XCR0_UPPER,
                    in("ecx") 0,
                    inout("eax") XCR0_AVX => _,
                    in("edx") 0,
                    options(nostack, preserves_flags)
                );
            }
        }
    }

    /// Puts all of it back, in the opposite order: Xen 4.17 writes to the FPU's registers when a domain first sets a bit of
    /// XCR0 (xen/arch/x86/xstate.c, xrstor).
    ///
    /// # Safety
    /// [`Saved::save`] was called, once.
    unsafe fn restore(&self) {
        if let Some(xcr0) = self.xcr0 {
            // SAFETY: 1. XCR0 is as `save` left it, and the area, which comes first, as XSAVE did; 2. XCR0 had this value before.
            unsafe {
                asm!(
                    "xrstor64 [rdi]",
                    "mov eax, esi",
                    "xsetbv",
                    in("rdi") self,
                    in("esi") xcr0,
                    in("ecx") 0,
                    inout("eax") XCR0_UPPER => _,
                    in("edx") 0,
                    options(nostack, preserves_flags)
                );
            }
        }
        // SAFETY: 1. the area is as FXSAVE left it, and XSAVE, which writes there what FXSAVE did; 2. CR4 had this value before.
        unsafe {
            asm!(
                "fxrstor64 [rdi]",
                "mov rdx, [rdi + {cr4}]",
                "mov cr4, rdx",
                in("rdi") self,
                cr4 = const offset_of!(Self, cr4),
                out("rdx") _,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// Whether there is AVX2, all else that its code for BLAKE3 has from before it, and XSAVE for its registers (Intel SDM volume 1, 14.3).
fn has_avx2() -> bool {
    if FOUND.load(Relaxed) == 0 {
        let has = |register: u32, bits: u32| register & bits == bits;
        let found = cpuid(0, 0)[0] >= 0xd
            && has(cpuid(1, 0)[2], SSSE3 | SSE4_1 | XSAVE | AVX)
            && has(cpuid(7, 0)[1], AVX2)
            && has(cpuid(0xd, 0)[0], XCR0_AVX);
        FOUND.store(if found { YES } else { NO }, Relaxed);
    }
    FOUND.load(Relaxed) == YES
}

/// EAX, EBX, ECX, EDX of a leaf. In a PV domain, which may see the bare processor's, what Xen lets it have
/// (public/arch-x86/xen.h, XEN_CPUID).
fn cpuid(leaf: u32, part: u32) -> [u32; 4] {
    if Xen::find() != Some(Xen::Syscall) {
        let found = core::arch::x86_64::__cpuid_count(leaf, part);
        return [found.eax, found.ebx, found.ecx, found.edx];
    }
    let (eax, ebx, ecx, edx);
    // SAFETY: UD2 with this text behind it has Xen emulate the instruction that follows.
    unsafe {
        asm!(
            "mov {ebx:r}, rbx",
            "ud2",
            ".ascii \"xen\"",
            "cpuid",
            "xchg {ebx:r}, rbx",
            ebx = out(reg) ebx,
            inout("eax") leaf => eax,
            inout("ecx") part => ecx,
            out("edx") edx,
            options(nostack, preserves_flags)
        );
    }
    [eax, ebx, ecx, edx]
}

fn cr4() -> u64 {
    let value;
    // SAFETY: reading it has no effect.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: called where CR4.OSXSAVE is set.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags)) };
    u64::from(high) << 32 | u64::from(low)
}
