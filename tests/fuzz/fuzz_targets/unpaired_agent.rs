//! libFuzzer at the target `unpaired_agent`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("unpaired_agent", bytes);
});
