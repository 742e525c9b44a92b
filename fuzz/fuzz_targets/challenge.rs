#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| l402_fuzz::challenge::run(data));
