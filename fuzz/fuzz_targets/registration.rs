//! See `src/registration.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portolan_fuzz::registration::check(data));
