//! libFuzzer at the target `diagnostics`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("diagnostics", bytes);
});
