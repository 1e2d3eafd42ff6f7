//! See [`strait_fuzz::tunnel_bridge`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::tunnel_bridge(data));
