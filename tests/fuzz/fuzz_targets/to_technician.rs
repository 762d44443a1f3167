//! libFuzzer at the target `to_technician`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("to_technician", bytes);
});
