//! libFuzzer at the target `introduction`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("introduction", bytes);
});
