//! libFuzzer at the target `to_agent`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("to_agent", bytes);
});
