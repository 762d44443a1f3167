//! libFuzzer at the target `exact_run`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("exact_run", bytes);
});
