//! libFuzzer at the target `audit_events`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("audit_events", bytes);
});
