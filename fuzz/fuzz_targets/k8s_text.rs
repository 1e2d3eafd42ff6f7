//! See [`strait_fuzz::k8s_text`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait_fuzz::k8s_text(data));
