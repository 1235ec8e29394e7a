//! From a text to the ids that a network was trained with.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use quintet_tensor::{DecodeKind, EncodeError};

use crate::files::{damaged, open, refused, unreadable};
use crate::guarded;
use crate::open::{TEXT_ORIGIN, nothing_known, unknown_words};
use crate::segment::words;

/// Longest line that is read, bytes: a word and a thousand numbers.
pub(crate) const LONGEST_LINE: u64 = 1 << 16;

/// Most words that are read.
pub(crate) const MOST_WORDS: usize = 1 << 24;

/// How the unknown word may be written.
const UNKNOWN: [&str; 4] = ["[UNK]", "<unk>", "<UNK>", "UNK"];

/// The words that are known, an id each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    ids: HashMap<String, u32>,
    n_ids: usize,
    unknown: Option<u32>,
}

impl Vocabulary {
    /// Of words whose ids count from 0; of a word that comes again the first counts. `[UNK]`,
    /// `<unk>`, `<UNK>` or `UNK` stands for words that are not known.
    pub fn new(words: impl IntoIterator<Item = String>) -> Self {
        let (mut ids, mut n_ids) = (HashMap::new(), 0);
        for (id, word) in (0u32..).zip(words) {
            ids.entry(word).or_insert(id);
            n_ids += 1;
        }
        let unknown = UNKNOWN.iter().find_map(|word| ids.get(*word).copied());
        Self { ids, n_ids, unknown }
    }

    /// Of a file with a word a line, the first of which has the id 0.
    ///
    /// # Errors
    /// The file cannot be read, a line is no UTF-8 or too long, a word comes twice, or there are
    /// more than 2²⁴.
    pub fn open(path: &Path) -> Result<Self, EncodeError> {
        let mut lines = Lines::new(path)?;
        let mut words = Vec::new();
        let mut seen = HashMap::new();
        while let Some(line) = lines.next_line()? {
            let word = line.trim_end_matches(['\n', '\r']).to_owned();
            if words.len() == MOST_WORDS {
                let found = format!("more than {MOST_WORDS}");
                return Err(damaged(path, "a word a line", found));
            }
            if let Some(first) = seen.insert(word.clone(), words.len() + 1) {
                let found = format!("{word:?} in lines {first} and {}", words.len() + 1);
                return Err(damaged(path, "every word once", found));
            }
            words.push(word);
        }
        drop(seen);
        Ok(Self::new(words))
    }

    /// How many ids there are.
    pub fn n_ids(&self) -> usize {
        self.n_ids
    }

    /// The id of a word as it is, else in small letters.
    fn id(&self, word: &str) -> Option<u32> {
        let as_it_is = self.ids.get(word);
        as_it_is.or_else(|| self.ids.get(&word.to_lowercase())).copied()
    }

    /// The ids of the words of a text. Unknown ones have that of the unknown word, or none.
    ///
    /// # Errors
    /// None of the words is known.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let words = words(text);
        let ids: Vec<Option<u32>> = words.iter().map(|word| self.id(word)).collect();
        if ids.iter().all(|id| id.is_none() || *id == self.unknown) {
            let found = unknown_words(words.len());
            return Err(nothing_known("at least one known word", found));
        }
        Ok(ids.into_iter().filter_map(|id| id.or(self.unknown)).collect())
    }
}

/// The lines of a text file of weights, read with a limit.
pub(crate) struct Lines<'p> {
    path: &'p Path,
    reader: BufReader<File>,
    line: Vec<u8>,
    /// The number of the line that was read last, from 1.
    number: usize,
}

impl<'p> Lines<'p> {
    pub(crate) fn new(path: &'p Path) -> Result<Self, EncodeError> {
        Ok(Self { path, reader: open(path)?, line: Vec::new(), number: 0 })
    }

    /// The next line with its end.
    pub(crate) fn next_line(&mut self) -> Result<Option<&str>, EncodeError> {
        self.line.clear();
        let mut limited = self.reader.by_ref().take(LONGEST_LINE + 1);
        limited.read_until(b'\n', &mut self.line).map_err(|e| unreadable(self.path, e))?;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let number = self.number;
        if self.line.len() as u64 > LONGEST_LINE {
            let expected = format!("lines of at most {LONGEST_LINE} bytes");
            return Err(damaged(self.path, &expected, format!("a longer line {number}")));
        }
        match std::str::from_utf8(&self.line) {
            Ok(line) => Ok(Some(line)),
            Err(e) => {
                let found = format!("a bad byte in line {number} at offset {}", e.valid_up_to());
                Err(damaged(self.path, "UTF-8 text", found))
            }
        }
    }
}

/// What turns texts into ids.
pub(crate) enum TextIds {
    /// Words with their vocabulary.
    Words(Vocabulary),
    /// A tokenizer of Hugging Face.
    Pieces(Box<tokenizers::Tokenizer>),
}

impl TextIds {
    /// `tokenizer.json` or `vocab.txt` of a folder.
    pub(crate) fn open(encoder: &str, folder: &Path) -> Result<Self, EncodeError> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            let path = folder.join("vocab.txt");
            if !path.is_file() {
                let found = "expected tokenizer.json or vocab.txt in it, found neither";
                return Err(refused(encoder, folder, found));
            }
            return Ok(Self::Words(Vocabulary::open(&path)?));
        }
        Ok(Self::Pieces(Box::new(tokenizer(encoder, &path)?)))
    }

    /// How many ids there are.
    pub(crate) fn n_ids(&self) -> usize {
        match self {
            Self::Words(vocabulary) => vocabulary.n_ids(),
            Self::Pieces(tokenizer) => tokenizer.get_vocab_size(true),
        }
    }

    /// The ids of a text.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        if text.trim().is_empty() {
            return Err(nothing_known("at least one token", "no word".to_owned()));
        }
        match self {
            Self::Words(vocabulary) => vocabulary.encode(text),
            Self::Pieces(tokenizer) => {
                let encoding = guarded::encode(tokenizer, text)
                    .and_then(|bare| guarded::with_signs(tokenizer, bare))
                    .map_err(unreadable_text)?;
                if encoding.is_empty() {
                    return Err(nothing_known("at least one token", "none".to_owned()));
                }
                Ok(encoding.get_ids().to_vec())
            }
        }
    }
}

/// A `tokenizer.json` that neither cuts nor fills up.
pub(crate) fn tokenizer(encoder: &str, path: &Path) -> Result<tokenizers::Tokenizer, EncodeError> {
    guarded::tokenizer(path).map_err(|e| refused(encoder, path, &e))
}

/// The error of a text that a tokenizer does not take.
pub(crate) fn unreadable_text(e: tokenizers::Error) -> EncodeError {
    EncodeError::Decode {
        origin: TEXT_ORIGIN.to_owned(),
        kind: DecodeKind::Unsupported,
        expected: "a text that the tokenizer reads".to_owned(),
        found: e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(words: &[&str]) -> Vocabulary {
        Vocabulary::new(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn words_are_looked_up_as_they_are_then_in_small_letters() {
        let ids = |v: &Vocabulary, text: &str| v.encode(text).unwrap();
        let plain = vocabulary(&["boat", "Bath", "bath", "电影"]);
        assert_eq!(ids(&plain, "Boat, Bath: bath! BATH ship 看电影"), [0, 1, 2, 2, 3]);
        let unknown = vocabulary(&["<pad>", "<unk>", "boat"]);
        assert_eq!(ids(&unknown, "a boat"), [1, 2]);
        // A text of unknown words alone says nothing.
        let message = unknown.encode("a ship").unwrap_err().to_string();
        assert!(message.contains("2 words that are not in the vocabulary"), "{message}");
    }

    #[test]
    fn damaged_files_are_errors_that_name_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.txt");
        let message = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Vocabulary::open(&path).map(|_| ()).unwrap_err().to_string()
        };
        assert!(message(b"a\nb\na\n").contains("\"a\" in lines 1 and 3"));
        assert!(message(b"a\n\xff\n").contains("a bad byte in line 2 at offset 0"));
        let long = message(&vec![b'x'; LONGEST_LINE as usize + 1]);
        assert!(long.contains("a longer line 1") && long.contains("vocab.txt"), "{long}");
        std::fs::write(&path, "a\r\nb").unwrap();
        assert_eq!(Vocabulary::open(&path).unwrap(), vocabulary(&["a", "b"]));
    }
}
