//! libFuzzer at the target `beat`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("beat", bytes);
});
