//! A kernel that prints the start of day that it finds as a PV domain, line by line:
//!
//! - `ok NAME: VALUE`: as promised;
//! - `not ok NAME: VALUE`: not so;
//! - `skip NAME: REASON`: cannot be told from inside;
//! - `info NAME: VALUE`: promised by nobody, or to be compared with another start.
//!
//! The lines go to the console ring, or, in the initial domain, to the hypervisor's console. Machine frame numbers are never
//! printed, only what they are to each other, so that two starts of the same kernel print the same.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod call;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod contents;
#[cfg(target_os = "none")]
mod domain;
#[cfg(target_os = "none")]
mod end;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod fields;
#[cfg(target_os = "none")]
mod frames;
#[cfg(target_os = "none")]
mod hypercall;
#[cfg(target_os = "none")]
#[path = "../keeps.rs"]
mod keeps;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
#[path = "../report.rs"]
mod report;
#[cfg(target_os = "none")]
mod services;
#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
#[path = "../vectors.rs"]
mod vectors;

/// Called by the entry, on the probe's own stack.
#[cfg(target_os = "none")]
extern "C" fn main() -> ! {
    let state = entry::state();
    let Some(domain) = domain::Domain::find(state) else { end::end(false) };
    let before = services::snapshot(&domain);
    console::open(&domain);
    let name = domain.table.name.split(|byte| *byte == 0).next().unwrap_or_default();
    report::info("layout", format_args!("{}", str::from_utf8(name).unwrap_or("?")));
    registers::dump(state);
    fields::dump(&domain, state);
    before.dump(&domain);
    services::dump(&domain);
    contents::kernel(&domain, state);
    contents::module(&domain);
    contents::pages(&domain, state);
    let found = tables::dump(&domain, state.stack());
    contents::padding(&domain, state.stack(), found.linear_end);
    tables::try_writable(&domain, found);
    tables::try_pins(&domain, found);
    frames::dump(&domain, found, contents::module_frames(&domain));
    services::register(&domain);
    end::end(domain.is_initial())
}

/// The probe only runs in a guest.
#[cfg(not(target_os = "none"))]
fn main() {}
