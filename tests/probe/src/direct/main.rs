//! A kernel that finds itself started by the direct protocol, 64-bit or 32-bit, and prints what it finds: the registers, every
//! mapping of the live page tables, what start_info leads to, and how what may not be done ends. The host judges.
//!
//! - `info NAME: VALUE`: what there is;
//! - `ok NAME: VALUE`, `not ok NAME: VALUE`: content that says itself what it is.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
#[path = "../call.rs"]
mod call;
#[cfg(target_os = "none")]
#[path = "../console.rs"]
mod console;
#[cfg(target_os = "none")]
#[path = "../end.rs"]
mod end;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod faults;
#[cfg(target_os = "none")]
mod handed;
#[cfg(target_os = "none")]
#[path = "../report.rs"]
mod report;
#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
#[path = "../vectors.rs"]
mod vectors;

/// Called by either entry, in 64-bit mode, on the stack that the kernel was given.
#[cfg(target_os = "none")]
extern "C" fn main(state: &'static entry::State) -> ! {
    let table = entry::table();
    let name = table.name.split(|byte| *byte == 0).next().unwrap_or_default();
    report::info("layout", format_args!("{}", str::from_utf8(name).unwrap_or("?")));
    state.dump();
    vectors::dump(&vectors::store());
    tables::dump(state);
    handed::dump(state);
    handed::check_segments(state, table);
    faults::dump(state, table);
    end::end()
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(panic: &core::panic::PanicInfo<'_>) -> ! {
    report::check(false, "panic", format_args!("{panic}"));
    end::end()
}

/// The probe only runs in a guest.
#[cfg(not(target_os = "none"))]
fn main() {}
