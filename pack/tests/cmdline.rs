//! How long a command line may be: what `pack` and `pack check` take, and the words in which they refuse more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use common::place::Place;
use common::{Kernel, note};

/// What a Linux takes by PVH.
const LINUX: usize = 2047;
/// What a PV kernel takes.
const PV: usize = 1023;
/// LOADER, which says that a PV kernel is loaded by these rules.
const LOADER: u32 = 8;
/// What a pack's own text may have.
const OWN: usize = 4095;

fn pvh(name: &str) -> Kernel {
    let mut kernel = Kernel::pvh();
    kernel.notes.push((note::GUEST_OS, [name.as_bytes(), &[0]].concat()));
    Kernel { len: 5000, ..kernel }
}

/// One for PVH and PV.
fn both(name: &str) -> Kernel {
    let mut kernel = pvh(name);
    kernel.notes.push((note::XEN_VERSION, b"xen-3.0\0".to_vec()));
    kernel.notes.push((LOADER, b"generic\0".to_vec()));
    kernel.notes.push((note::ENTRY, Kernel::BASE.to_le_bytes().to_vec()));
    kernel
}

fn too_long(limit: usize, found: usize) -> String {
    format!("command line too long: pack's and builder's, expected at most {limit} bytes, found {found}")
}

/// What no protocol of the kernel's would pass on is not packed.
#[test]
fn a_text_of_its_own_that_no_domain_passes_on_is_not_packed() {
    for (kernel, limit) in [
        (pvh("linux"), LINUX),
        (both("linux"), LINUX),
        (pvh("FreeBSD"), OWN),
        (both("NetBSD"), OWN),
        (Kernel { len: 5000, ..Kernel::without_notes() }, OWN),
    ] {
        let place = Place::new();
        place.file("kernel", &kernel.elf());
        for len in [1, PV, PV + 1, LINUX - 1, LINUX, LINUX + 1, LINUX + 2, 3000, OWN - 1, OWN] {
            let text = "x".repeat(len);
            let words = ["kernel", "-o", "image", "--level", "1", "--cmdline", &text];
            if len <= limit {
                place.succeeds(&words);
            } else {
                let error = place.refuses(&words);
                assert!(error.contains(&too_long(limit, len)), "{error}");
            }
        }
    }
}

/// By the joined line, in each kind of domain.
#[test]
fn check_refuses_a_joined_line_that_is_too_long() {
    for (kernel, kind, limit) in [
        (pvh("linux"), "pvh", LINUX),
        (both("linux"), "pvh", LINUX),
        (both("linux"), "pv", PV),
        (pvh("FreeBSD"), "pvh", OWN + 1 + OWN),
        (both("NetBSD"), "pv", PV),
    ] {
        let place = Place::new();
        place.file("kernel", &kernel.elf());
        for own in [0, 1, 500, PV, 2000, LINUX] {
            let own_text = "o".repeat(own);
            place.succeeds(&["kernel", "-o", "image", "--level", "1", "--cmdline", &own_text]);
            for builder in [0, 1, 22, 46, 47, 522, 523, 1546, 1547, 2045, 2046, 2047, 2048, OWN] {
                let extra = "b".repeat(builder);
                let words = ["check", "image", "--type", kind, "--extra", &extra];
                let joined = if own == 0 || builder == 0 { own + builder } else { own + 1 + builder };
                if joined <= limit {
                    place.succeeds(&words);
                } else {
                    let error = place.refuses(&words);
                    assert!(error.contains(&too_long(limit, joined)), "{own} {builder}: {error}");
                }
            }
        }
    }
}
