//! The entry of the fuzz targets in `fuzz/`; no part of the interface.

use crate::guarded;

/// Reads a `tokenizer.json` and lets a text through it, as the encoder `bert` does. Gives the
/// number of tokens, or nothing where one of the two is refused.
pub fn tokenizer(json: &[u8], text: &str) -> Option<usize> {
    let tokenizer = guarded::from_bytes(json).ok()?;
    let mut bare = guarded::encode(&tokenizer, text).ok()?;
    bare.truncate(8, 0, tokenizers::TruncationDirection::Right);
    let rest = bare.take_overflowing();
    let mut tokens = guarded::with_signs(&tokenizer, bare).ok()?.len();
    for window in rest {
        tokens += guarded::with_signs(&tokenizer, window).ok()?.get_ids().len();
    }
    Some(tokens)
}
