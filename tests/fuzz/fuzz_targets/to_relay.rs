//! libFuzzer at the target `to_relay`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("to_relay", bytes);
});
