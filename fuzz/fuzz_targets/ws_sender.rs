//! See [`strait_fuzz::ws_sender`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::ws_sender(data));
