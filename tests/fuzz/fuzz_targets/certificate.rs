//! libFuzzer at the target `certificate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("certificate", bytes);
});
