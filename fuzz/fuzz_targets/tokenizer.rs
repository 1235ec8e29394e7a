//! A tokenizer.json of somebody else, and a text that goes through it.
//!
//! The first four bytes are the length of the tokenizer, little-endian; what is after it is the
//! text.
#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;

static QUIET: Once = Once::new();

fuzz_target!(|data: &[u8]| {
    // The hook of the fuzzer ends the process at a panic, also at one that is made an error.
    // One that gets here still ends it.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let Some((length, rest)) = data.split_first_chunk() else { return };
    let length = (u32::from_le_bytes(*length) as usize).min(rest.len());
    let (tokenizer, text) = rest.split_at(length);
    quintet_text::fuzzing::tokenizer(tokenizer, &String::from_utf8_lossy(text));
});
