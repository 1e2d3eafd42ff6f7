//! See [`strait_fuzz::ws_receiver`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::ws_receiver(data));
