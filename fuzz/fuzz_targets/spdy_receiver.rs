//! See [`strait_fuzz::spdy_receiver`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::spdy_receiver(data));
