//! Links the image by its own script, and only where it is an image: on the host the crate is an ordinary library.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=stage0.ld");
    println!("cargo::rustc-check-cfg=cfg(stage0_unpacked)");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let dir = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-T{dir}/stage0.ld");
    for arg in ["--no-pie", "--build-id=none", "--gc-sections", "--icf=all", "-O2"] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
}
