//! libFuzzer at the target `audit_lines`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("audit_lines", bytes);
});
