//! See [`fuzz::open`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::open::run(data));
