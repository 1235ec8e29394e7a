//! CSV, TSV, JSON Lines, Python literals and JSON documents, packed or not.
//!
//! The first two bytes are the format and its options, the rest is the file: see
//! `quintet_ingest::fuzzing::text_table`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = quintet_ingest::fuzzing::text_table(data);
});
