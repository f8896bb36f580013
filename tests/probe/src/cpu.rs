//! The registers that docs/misc/pvh.pandoc of Xen speaks of.

use crate::entry::{SegmentRegister, State};
use crate::report::{check, skip};

const CR0_PE: u32 = 1 << 0;
/// Reads as 1 on every CPU since the 486 (Intel SDM volume 3, 2.5), and so in every starter.
const CR0_ET: u32 = 1 << 4;
const CR0_PG: u32 = 1 << 31;

const EFLAGS_TF: u32 = 1 << 8;
const EFLAGS_IF: u32 = 1 << 9;
const EFLAGS_VM: u32 = 1 << 17;

// Access rights as `lar` gives them (Intel SDM volume 3, figure 3-8: the descriptor's upper double word).
const READABLE_OR_WRITABLE: u32 = 1 << 9;
const EXPAND_DOWN_OR_CONFORMING: u32 = 1 << 10;
const EXECUTABLE: u32 = 1 << 11;
const CODE_OR_DATA: u32 = 1 << 12;
const PRESENT: u32 = 1 << 15;
const LONG: u32 = 1 << 21;
const DEFAULT_32_BIT: u32 = 1 << 22;
/// Privilege level, present, code or data, its kind without "accessed", and the two sizes.
const JUDGED: u32 = 0xfe00 | LONG | DEFAULT_32_BIT;
const FLAT_CODE: u32 = PRESENT | CODE_OR_DATA | EXECUTABLE | READABLE_OR_WRITABLE | DEFAULT_32_BIT;
const FLAT_DATA: u32 = PRESENT | CODE_OR_DATA | READABLE_OR_WRITABLE | DEFAULT_32_BIT;
/// Type and present bit of a busy 32-bit TSS (Intel SDM volume 3, table 3-2).
const BUSY_TSS: u32 = PRESENT | 0xb << 8;
const SYSTEM_JUDGED: u32 = 0xff00;
/// The limit that the protocol names.
const TSS_LIMIT: u32 = 0x67;

const NAMES: [&str; 4] = ["cs", "ds", "es", "ss"];

/// All of them.
pub(crate) fn check_all(state: &State) {
    let set = |bit| if state.eflags & bit == 0 { "clear" } else { "set" };
    let forbidden = EFLAGS_IF | EFLAGS_TF | EFLAGS_VM;
    check(
        state.eflags & forbidden == 0,
        "eflags",
        format_args!("IF {}, TF {}, VM {}", set(EFLAGS_IF), set(EFLAGS_TF), set(EFLAGS_VM)),
    );
    check(state.cr0 & !CR0_ET == CR0_PE, "cr0", format_args!("{:#x}", state.cr0));
    check(state.cr0 & CR0_PG == 0, "paging", format_args!("{}", state.cr0 >> 31));
    check(state.cr4 == 0, "cr4", format_args!("{:#x}", state.cr4));
    check(state.efer == 0, "efer", format_args!("{:#x}", state.efer));
    for (number, name) in NAMES.iter().enumerate() {
        let (wanted, kind) = if number == 0 { (FLAT_CODE, "code") } else { (FLAT_DATA, "data") };
        check_segment(&state.segments[number], name, wanted, kind);
        let used = state.used & 1 << number != 0;
        check(
            used,
            format_args!("{name}.use"),
            format_args!("{}", if used { "base 0, reaches 4 GiB" } else { "another base" }),
        );
    }
    check_task_register(state);
}

/// A segment's rights and limit, which only a selector that is not null gives away.
fn check_segment(segment: &SegmentRegister, name: &str, wanted: u32, kind: &str) {
    if segment.selector & !3 == 0 {
        return skip(format_args!("{name}"), "a null selector: its hidden part shows only by use");
    }
    let holds = segment.rights & JUDGED & !conforming(kind) == wanted && segment.limit == u32::MAX;
    check(
        holds,
        format_args!("{name}"),
        format_args!("32-bit {kind}, rights {:#x}, limit {:#x}", segment.rights & JUDGED, segment.limit),
    );
}

/// Conforming code is as good as other code; expand-down data is not flat.
fn conforming(kind: &str) -> u32 {
    if kind == "code" { EXPAND_DOWN_OR_CONFORMING } else { 0 }
}

/// TR: "a 32-bit TSS (base 0, limit 0x67), busy".
fn check_task_register(state: &State) {
    let task = &state.segments[4];
    if task.selector & !3 == 0 {
        return skip("tr", "a null selector: its hidden part cannot be told");
    }
    let judged = task.rights & SYSTEM_JUDGED;
    let Some(base) = descriptor_base(state, task.selector) else {
        return check(false, "tr", format_args!("selector {:#x} beyond the GDT", task.selector));
    };
    check(
        judged == BUSY_TSS && task.limit == TSS_LIMIT && base == 0,
        "tr",
        format_args!("rights {judged:#x}, limit {:#x}, base {base:#x}", task.limit),
    );
}

/// The base in the descriptor of `selector`, from the GDT that the builder left.
fn descriptor_base(state: &State, selector: u32) -> Option<u32> {
    let [l0, l1, b0, b1, b2, b3] = state.gdtr;
    let limit = u32::from(u16::from_le_bytes([l0, l1]));
    let offset = selector & !7;
    if offset.checked_add(7)? > limit {
        return None;
    }
    let address = u64::from(u32::from_le_bytes([b0, b1, b2, b3])).checked_add(u64::from(offset))?;
    let descriptor: [u8; 8] = crate::memory::read(address)?;
    Some(u32::from_le_bytes([descriptor[2], descriptor[3], descriptor[4], descriptor[7]]))
}
