//! See [`strait_fuzz::session_model`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::session_model(data));
