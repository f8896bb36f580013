//! Links the probes by their own linker scripts where they are built for a guest; on the host they are empty programs.

fn main() {
    println!("cargo::rerun-if-changed=probe.ld");
    println!("cargo::rerun-if-changed=pv.ld");
    println!("cargo::rerun-if-changed=direct.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bin=probe=-T{folder}/probe.ld");
        println!("cargo::rustc-link-arg-bin=probe=--no-pie");
        println!("cargo::rustc-link-arg-bin=probe-pv=-T{folder}/pv.ld");
        println!("cargo::rustc-link-arg-bin=probe-direct=-T{folder}/direct.ld");
    }
}
