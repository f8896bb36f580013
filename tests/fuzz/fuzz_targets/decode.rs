//! See [`fuzz::decode`].
#![no_main]

#[path = "../guest_heap.rs"]
mod guest_heap;

libfuzzer_sys::fuzz_target!(|data: &[u8]| guest_heap::run(data));
