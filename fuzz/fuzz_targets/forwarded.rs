//! See `src/forwarded.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portolan_fuzz::forwarded::check(data));
