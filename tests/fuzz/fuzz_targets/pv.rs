//! See [`fuzz::pv`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::pv::run(data));
