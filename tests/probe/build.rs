//! Links the probe by its own linker script where it is built for a guest; on the host it is an empty program.

fn main() {
    println!("cargo::rerun-if-changed=probe.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{folder}/probe.ld");
        println!("cargo::rustc-link-arg-bins=--no-pie");
    }
}
