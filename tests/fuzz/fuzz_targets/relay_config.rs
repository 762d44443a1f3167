//! libFuzzer at the target `relay_config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("relay_config", bytes);
});
