//! See `src/proxy_header.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portolan_fuzz::proxy_header::check(data));
