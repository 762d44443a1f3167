//! libFuzzer at the target `unpaired_technician`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("unpaired_technician", bytes);
});
