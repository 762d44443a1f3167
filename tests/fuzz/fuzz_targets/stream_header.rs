//! libFuzzer at the target `stream_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::read("stream_header", bytes);
});
