//! See `src/response.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portolan_fuzz::response::check(data));
