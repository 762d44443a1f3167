//! libFuzzer at the target `reflect`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("reflect", bytes);
});
