//! See [`strait_fuzz::http_differential`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::http_differential(data));
