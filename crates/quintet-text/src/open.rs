//! From raw media to text in memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use quintet_tensor::{DecodeKind, EncodeError, RawMedia};
use rayon::prelude::*;

/// Largest text that is read, in bytes.
pub const MAX_TEXT_BYTES: u64 = 16 << 20;

/// What errors call a text held in memory; as [`RawMedia::origin`] does.
pub(crate) const TEXT_ORIGIN: &str = "text";

/// The text of `media`: held in memory, or a UTF-8 file, whose byte order mark is left out.
///
/// # Errors
/// The file cannot be read, is larger than [`MAX_TEXT_BYTES`] (as is a text in memory), or is
/// not UTF-8; the error has the offset of the first bad byte.
pub fn open_text(media: &RawMedia) -> Result<String, EncodeError> {
    match media {
        RawMedia::Text(text) => {
            check_size(TEXT_ORIGIN, text.len() as u64)?;
            Ok(text.clone())
        }
        RawMedia::File(path) => decode_utf8(read_limited(path)?, path),
    }
}

/// The texts of a corpus that can be read; encoding reports each of the others.
///
/// # Errors
/// [`EncodeError::Corpus`] when none can.
pub(crate) fn open_corpus(encoder: &str, corpus: &[&RawMedia]) -> Result<Vec<String>, EncodeError> {
    let opened: Vec<_> = corpus.par_iter().map(|m| open_text(m)).collect();
    let mut texts = Vec::with_capacity(opened.len());
    let mut first_error = None;
    for result in opened {
        match result {
            Ok(text) => texts.push(text),
            Err(e) => first_error = first_error.or(Some(e)),
        }
    }
    if texts.is_empty() {
        let why = first_error.map_or("the corpus is empty".to_owned(), |e| e.to_string());
        return Err(EncodeError::Corpus {
            encoder: encoder.to_owned(),
            reason: format!("none of {} texts can be read: {why}", corpus.len()),
        });
    }
    Ok(texts)
}

/// The error of a text with nothing in it that an encoder knows.
pub(crate) fn nothing_known(expected: &str, found: String) -> EncodeError {
    EncodeError::Decode {
        origin: TEXT_ORIGIN.to_owned(),
        kind: DecodeKind::Empty,
        expected: expected.to_owned(),
        found,
    }
}

/// What is said of a text of so many words when none is known.
pub(crate) fn unknown_words(n: usize) -> String {
    match n {
        0 => "no word".to_owned(),
        1 => "1 word that is not in the vocabulary".to_owned(),
        n => format!("{n} words that are not in the vocabulary"),
    }
}

fn check_size(origin: &str, found: u64) -> Result<(), EncodeError> {
    if found <= MAX_TEXT_BYTES {
        return Ok(());
    }
    Err(EncodeError::TooLarge {
        origin: origin.to_owned(),
        what: "size in bytes",
        limit: MAX_TEXT_BYTES,
        found,
    })
}

fn read_limited(path: &Path) -> Result<Vec<u8>, EncodeError> {
    let name = path.display().to_string();
    let unreadable = |source| EncodeError::Read { path: name.clone(), source };
    // Asked before opening: a named pipe would block.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(std::io::Error::other("not a regular file")));
    }
    check_size(&name, metadata.len())?;
    let mut bytes = Vec::new();
    // One byte more than allowed shows a file that has grown since.
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    check_size(&name, bytes.len() as u64)?;
    Ok(bytes)
}

fn decode_utf8(bytes: Vec<u8>, path: &Path) -> Result<String, EncodeError> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let byte = e.as_bytes().get(at).copied().unwrap_or_default();
        EncodeError::Decode {
            origin: path.display().to_string(),
            kind: DecodeKind::Corrupt,
            expected: "UTF-8 text".to_owned(),
            found: format!("byte 0x{byte:02x} at offset {at}"),
        }
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> (tempfile::TempDir, RawMedia) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, bytes).unwrap();
        (dir, RawMedia::File(path))
    }

    #[test]
    fn a_file_gives_its_text_without_the_byte_order_mark() {
        let (_dir, media) = written("\u{feff}Straße".as_bytes());
        assert_eq!(open_text(&media).unwrap(), "Straße");
    }

    #[test]
    fn a_byte_that_is_not_utf8_is_named_with_its_offset() {
        let (_dir, media) = written(b"caf\xe9 au lait");
        let err = open_text(&media).unwrap_err();
        assert_eq!(err.code(), "corrupt");
        let message = err.to_string();
        assert!(message.contains("a.txt"), "{message}");
        assert!(message.contains("expected UTF-8 text, found byte 0xe9 at offset 3"), "{message}");
        // Cut inside a character of two bytes.
        let (_dir, cut) = written(&"né".as_bytes()[..2]);
        assert!(open_text(&cut).unwrap_err().to_string().contains("offset 1"));
    }

    #[test]
    fn too_large_missing_and_folder_are_typed_errors() {
        let (dir, media) = written(b"x");
        let RawMedia::File(path) = &media else { unreachable!() };
        File::options().write(true).open(path).unwrap().set_len(MAX_TEXT_BYTES + 1).unwrap();
        let message = open_text(&media).unwrap_err().to_string();
        assert!(message.contains("size in bytes is 16777217, the limit is 16777216"), "{message}");
        let missing = RawMedia::File(dir.path().join("b.txt"));
        assert_eq!(open_text(&missing).unwrap_err().code(), "unreadable");
        let folder = RawMedia::File(dir.path().to_owned());
        assert!(open_text(&folder).unwrap_err().to_string().contains("cannot be read"));
    }
}
