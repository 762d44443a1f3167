//! libFuzzer at the target `keys`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("keys", bytes);
});
