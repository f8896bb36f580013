//! A kernel that checks and prints what the PVH protocol promises it, line by line:
//!
//! - `ok NAME: VALUE`: as promised;
//! - `not ok NAME: VALUE`: not so;
//! - `skip NAME: REASON`: cannot be told from inside;
//! - `info NAME: VALUE`: promised by nobody.
//!
//! The lines go to COM1 and to port 0xE9. The last one counts them; then QEMU ends by `isa-debug-exit`, or a Xen domain by
//! its power-off.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod call;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod end;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod exception;
#[cfg(target_os = "none")]
mod keeps;
#[cfg(target_os = "none")]
mod kernel;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod report;
#[cfg(target_os = "none")]
mod services;
#[cfg(target_os = "none")]
mod start_info;
#[cfg(target_os = "none")]
mod vectors;

/// Called by the entry, in long mode, on the probe's own stack.
#[cfg(target_os = "none")]
extern "C" fn main() -> ! {
    exception::catch_all();
    let state = entry::state();
    let kernel = kernel::Kernel::find(state);
    report::info("layout", format_args!("{}", kernel.name()));
    cpu::check_all(state);
    vectors::dump(&vectors::store());
    kernel.check(state);
    start_info::check_all(state, &kernel);
    services::dump(state);
    end::end()
}

/// The probe only runs in a guest.
#[cfg(not(target_os = "none"))]
fn main() {}
