//! See [`fuzz::format`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::format::run(data));
