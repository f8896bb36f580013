//! Links the program at a fixed address where it is built for the guest: nothing relocates it.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo::rustc-link-arg-bins=--no-pie");
    }
}
