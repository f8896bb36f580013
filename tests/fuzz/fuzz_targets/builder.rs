//! See [`fuzz::builder`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::builder::run(data));
