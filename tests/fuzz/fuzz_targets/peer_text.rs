//! libFuzzer at the target `peer_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("peer_text", bytes);
});
