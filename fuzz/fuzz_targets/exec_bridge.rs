//! See [`strait_fuzz::exec_bridge`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::exec_bridge(data));
