//! The vCPU as the entry found it (Xen's public/arch-x86/xen-x86_64.h; tools/libs/guest: `vcpu_x86_64`).

use crate::entry::{REGISTERS, SELECTORS, State};
use crate::hypercall;
use crate::report::{check, info};
use crate::vectors;

/// Selectors of Xen's own descriptors: `FLAT_RING3_CS64` and `FLAT_RING3_SS64`.
const CODE: u64 = 0xe033;
const STACK: u64 = 0xe02b;
/// Interrupts on, which in a PV domain says nothing of events.
const FLAGS: u64 = 0x202;

const MSRS: [(&str, u32); 4] =
    [("efer", 0xc000_0080), ("fs.base", 0xc000_0100), ("gs.base", 0xc000_0101), ("kernel_gs.base", 0xc000_0102)];

/// The first selector that is Xen's own (`FIRST_RESERVED_GDT_BYTE`).
const RESERVED: u64 = 14 * 4096;
/// Names an entry of the LDT.
const LOCAL: u64 = 4;

/// All of them.
pub(crate) fn dump(state: &State) {
    for (name, value) in REGISTERS.iter().zip(&state.registers) {
        match *name {
            "rsi" | "rsp" => info(name, format_args!("{value:#x}")),
            _ => check(*value == 0, name, format_args!("{value:#x}")),
        }
    }
    check(state.flags == FLAGS, "rflags", format_args!("{:#x}", state.flags));
    for (name, value) in SELECTORS.iter().zip(&state.selectors) {
        let expected = match *name {
            "cs" => CODE,
            "ss" => STACK,
            _ => 0,
        };
        check(*value == expected, name, format_args!("{value:#x}"));
    }
    for (name, number) in MSRS {
        info(name, format_args!("{:#x}", read_msr(number)));
    }
    let (cr0, cr4): (u64, u64);
    // SAFETY: Xen emulates both, which changes nothing.
    unsafe { core::arch::asm!("mov {}, cr0", "mov {}, cr4", out(reg) cr0, out(reg) cr4, options(nostack)) };
    info("cr0", format_args!("{cr0:#x}"));
    info("cr4", format_args!("{cr4:#x}"));
    for number in [0, 1, 2, 3, 6, 7] {
        info(format_args!("dr{number}"), format_args!("{:#x}", hypercall::debug_register(number)));
    }
    vectors::dump(&state.fpu);
    descriptors();
}

/// CR3: the machine address of the table of level 4.
pub(crate) fn cr3() -> u64 {
    let value;
    // SAFETY: Xen emulates it, which changes nothing.
    unsafe { core::arch::asm!("mov {}, cr3", out(reg) value, options(nostack)) };
    value
}

fn read_msr(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: Xen emulates the read of these, which changes nothing.
    unsafe { core::arch::asm!("rdmsr", in("ecx") number, out("eax") low, out("edx") high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// No descriptor of the kernel's own is there: `lar` finds none in the GDT below Xen's part, none in the LDT.
fn descriptors() {
    let local: u64;
    // SAFETY: reads a selector.
    unsafe { core::arch::asm!("xor {0:e}, {0:e}", "sldt {0:x}", out(reg) local, options(nostack)) };
    info("ldtr", format_args!("{local:#x}"));
    let count = |table: u64, end: u64| (8..end).step_by(8).filter(|at| has_descriptor(at | table)).count();
    let (gdt, ldt) = (count(0, RESERVED), count(LOCAL, 0x1_0000));
    check(gdt == 0 && ldt == 0, "descriptors", format_args!("{gdt} in the GDT, {ldt} in the LDT"));
}

/// Whether there is a descriptor that this privilege level may see.
fn has_descriptor(selector: u64) -> bool {
    let found: u8;
    let rights: u64;
    // SAFETY: reads a descriptor's rights, which changes nothing.
    unsafe {
        core::arch::asm!("lar {rights:e}, {selector:e}", "setz {found}",
            rights = out(reg) rights, selector = in(reg) selector | 3, found = out(reg_byte) found, options(nostack));
    }
    let _ = rights;
    found != 0
}
