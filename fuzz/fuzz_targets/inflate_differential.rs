//! See [`strait_fuzz::inflate_differential`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::inflate_differential(data));
