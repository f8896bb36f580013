//! The image: the library, and what ends a bug.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Its message and place would take more bytes than any other part of the image.
    stage0::fail(&"bug in stage0: panic, expected none, found one")
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("stage0 is the guest's loader: build it for x86_64-unknown-none");
    std::process::exit(2);
}
