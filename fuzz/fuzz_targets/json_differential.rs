//! See [`strait_fuzz::json_differential`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::json_differential(data));
