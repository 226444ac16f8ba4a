#![no_main]
#![expect(missing_docs, reason = "the target is `n2s_fuzz::manifest`")]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| n2s_fuzz::manifest(bytes));
