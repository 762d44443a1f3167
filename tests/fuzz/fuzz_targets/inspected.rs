//! libFuzzer at the target `inspected`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("inspected", bytes);
});
