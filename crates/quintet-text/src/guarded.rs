//! The one place where a stranger's `tokenizer.json` meets the crate `tokenizers`, which trusts
//! such files: it panics on some of them, and others make a text a million times longer.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value;
use tokenizers::{Encoding, Tokenizer};

/// Largest `tokenizer.json`, bytes; those of vocabularies of 250,000 tokens have 20 million.
const MAX_BYTES: u64 = 128 << 20;

/// How much longer the steps before the tokens may make a text, all together; a space that
/// becomes `▁` counts 3.
const MAX_GROWTH: usize = 16;

/// Reads a `tokenizer.json`. Nothing is cut or filled up by it afterwards.
///
/// # Errors
/// What is wrong with the file, without its name.
pub(crate) fn tokenizer(path: &Path) -> Result<Tokenizer, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    from_bytes(&bytes)
}

/// As [`tokenizer`], from memory.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Tokenizer, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("expected at most {MAX_BYTES} bytes, found more"));
    }
    let json: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let growth = growth(&json["normalizer"]).saturating_mul(growth(&json["pre_tokenizer"]));
    if growth > MAX_GROWTH {
        return Err(format!(
            "expected steps that make a text at most {MAX_GROWTH} times longer, found {growth}"
        ));
    }
    drop(json);
    let read = || {
        let mut tokenizer = Tokenizer::from_bytes(bytes)?;
        // Lengths are cut and filled up here, not there.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None)?;
        Ok(tokenizer)
    };
    guard(read).map_err(|e| e.to_string())
}

/// The tokens of a text, without the signs of the network.
pub(crate) fn encode(tokenizer: &Tokenizer, text: &str) -> tokenizers::Result<Encoding> {
    guard(|| tokenizer.encode_fast(text, false))
}

/// The same with them.
pub(crate) fn with_signs(
    tokenizer: &Tokenizer,
    encoding: Encoding,
) -> tokenizers::Result<Encoding> {
    guard(|| tokenizer.post_process(encoding, None, true))
}

/// Makes a panic an error. Nothing that is looked at afterwards is changed in `work`: a tokenizer
/// has caches only, whose locks it passes over when they are poisoned.
fn guard<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(format!("the tokenizer panicked: {}", said.unwrap_or("no message")).into())
    })
}

/// How much longer a step and those inside it may make a text.
fn growth(step: &Value) -> usize {
    let len = |key: &str| step[key].as_str().map_or(0, str::len);
    let inside = ["normalizers", "pretokenizers"].iter().filter_map(|key| step[*key].as_array());
    let inside = inside.flatten().map(growth).fold(1, usize::saturating_mul);
    let own = match (step["type"].as_str(), step["pattern"]["String"].as_str()) {
        // An expression may match nothing, before every letter.
        (Some("Replace"), None | Some("")) => 1 + len("content"),
        (Some("Replace"), Some(pattern)) => len("content").div_ceil(pattern.len()).max(1),
        (Some("Prepend"), _) => 1 + len("prepend") / 64,
        _ => 1,
    };
    own.saturating_mul(inside)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(normalizer: &Value) -> String {
        let whole = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": normalizer, "pre_tokenizer": null, "post_processor": null,
            "decoder": null,
            "model": { "type": "WordLevel", "vocab": { "a": 0, "?": 1 }, "unk_token": "?" },
        });
        from_bytes(whole.to_string().as_bytes()).err().unwrap_or_default()
    }

    #[test]
    fn steps_that_blow_a_text_up_are_refused() {
        let double = json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "aa" });
        let steps =
            |n: usize| json!({ "type": "Sequence", "normalizers": vec![double.clone(); n] });
        assert_eq!(refusal(&steps(4)), "");
        assert!(refusal(&steps(5)).contains("at most 16 times longer, found 32"));
        assert!(refusal(&steps(100)).contains(&usize::MAX.to_string()));
        let nothing =
            json!({ "type": "Replace", "pattern": { "Regex": "" }, "content": "0123456789abcdef" });
        assert!(refusal(&nothing).contains("found 17"));
        let usual = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
        assert_eq!(refusal(&usual), "");
    }

    #[test]
    fn a_panic_is_an_error() {
        let failed = guard::<()>(|| panic!("out of {}", "range")).unwrap_err().to_string();
        assert_eq!(failed, "the tokenizer panicked: out of range");
    }
}
