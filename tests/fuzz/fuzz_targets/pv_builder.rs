//! See [`fuzz::pv_builder`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::pv_builder::run(data));
