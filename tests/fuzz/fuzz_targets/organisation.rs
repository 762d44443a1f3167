//! libFuzzer at the target `organisation`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("organisation", bytes);
});
