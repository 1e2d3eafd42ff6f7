//! See [`strait_fuzz::ws_differential`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::ws_differential(data));
