//! libFuzzer at the target `dconf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("dconf", bytes);
});
