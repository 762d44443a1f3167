//! libFuzzer at the target `from_relay`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("from_relay", bytes);
});
