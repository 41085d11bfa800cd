//! See `src/request.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portolan_fuzz::request::check(data));
