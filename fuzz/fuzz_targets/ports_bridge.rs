//! See [`strait_fuzz::ports_bridge`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::ports_bridge(data));
