//! libFuzzer at the target `pipe`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("pipe", bytes);
});
