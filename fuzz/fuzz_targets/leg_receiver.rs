//! See [`strait_fuzz::leg_receiver`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::leg_receiver(data));
