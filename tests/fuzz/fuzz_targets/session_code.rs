//! libFuzzer at the target `session_code`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("session_code", bytes);
});
