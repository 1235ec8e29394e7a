//! Vectors of words in the text format of word2vec (Mikolov et al., 2013), GloVe (Pennington et
//! al., 2014) and fastText (Bojanowski et al., 2017): a line a word, its numbers behind it. The
//! first and the last have a line before with the number of words and of numbers.

use std::collections::HashSet;
use std::path::Path;

use quintet_tensor::EncodeError;

use crate::files::damaged;
use crate::vocabulary::{Lines, MOST_WORDS};

/// Widest vectors.
const WIDEST: usize = 4096;

/// Words with a vector each.
#[derive(Debug, Clone, PartialEq)]
pub struct WordVectors {
    /// The words in the order of the file.
    pub words: Vec<String>,
    /// Width of a vector.
    pub dim: usize,
    /// `[words, dim]`.
    pub numbers: Vec<f32>,
}

/// What the first line says.
struct Header {
    words: usize,
    dim: usize,
}

impl WordVectors {
    /// Reads the first `most` words of a file; those files have frequent words first. Of a word
    /// that comes again the first counts.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged; the line is named.
    pub fn open(path: &Path, most: usize) -> Result<Self, EncodeError> {
        let mut lines = Lines::new(path)?;
        let (mut header, mut vectors) = (None, None);
        let mut seen = HashSet::new();
        let (mut number, mut n_words) = (0, 0);
        while let Some(line) = lines.next_line()? {
            number += 1;
            let line = line.trim_end_matches(['\n', '\r', ' ', '\t']);
            if number == 1 {
                header = Header::read(line);
                if header.is_some() {
                    continue;
                }
            }
            if n_words == most.min(MOST_WORDS) {
                return Self::checked(path, vectors);
            }
            let all = match &mut vectors {
                Some(all) => all,
                none => none.insert(Self::empty(path, line, header.as_ref())?),
            };
            let word = all.push_numbers(line).map_err(|found| {
                let expected = format!("a word and {} numbers", all.dim);
                damaged(path, &expected, format!("{found} in line {number}"))
            })?;
            if seen.insert(word.to_owned()) {
                all.words.push(word.to_owned());
            } else {
                all.numbers.truncate(all.words.len() * all.dim);
            }
            n_words += 1;
        }
        match header {
            Some(said) if said.words != n_words => {
                let expected = format!("{} words as the first line says", said.words);
                Err(damaged(path, &expected, format!("{n_words}")))
            }
            _ => Self::checked(path, vectors),
        }
    }

    /// No words, of the width that the header says, else of what stands behind the first word.
    fn empty(path: &Path, line: &str, header: Option<&Header>) -> Result<Self, EncodeError> {
        let dim = header.map_or(line.split([' ', '\t']).count() - 1, |header| header.dim);
        if !(1..=WIDEST).contains(&dim) {
            let expected = format!("a word and 1 to {WIDEST} numbers");
            return Err(damaged(path, &expected, format!("{dim} numbers in the first line")));
        }
        Ok(Self { words: Vec::new(), dim, numbers: Vec::new() })
    }

    fn checked(path: &Path, vectors: Option<Self>) -> Result<Self, EncodeError> {
        vectors.ok_or_else(|| damaged(path, "words with their vectors", "none".to_owned()))
    }

    /// Adds the numbers of a line and gives its word, which may have blanks in it.
    fn push_numbers<'l>(&mut self, line: &'l str) -> Result<&'l str, String> {
        let before = self.numbers.len();
        let mut fields = line.rsplitn(self.dim + 1, [' ', '\t']);
        for field in fields.by_ref().take(self.dim) {
            match field.parse::<f32>() {
                Ok(number) if number.is_finite() => self.numbers.push(number),
                _ => return Err(format!("{:?}", shortened(field))),
            }
        }
        self.numbers[before..].reverse();
        match fields.next() {
            Some(word) if !word.is_empty() => Ok(word),
            _ => Err(format!("{} numbers without a word", self.numbers.len() - before)),
        }
    }
}

impl Header {
    fn read(line: &str) -> Option<Self> {
        let (words, dim) = line.split_once([' ', '\t'])?;
        Some(Self { words: words.parse().ok()?, dim: dim.parse().ok()? })
    }
}

/// The first letters of something long.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, most: usize) -> Result<WordVectors, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vectors.txt");
        std::fs::write(&path, text).unwrap();
        WordVectors::open(&path, most).map_err(|e| e.to_string())
    }

    #[test]
    fn three_formats_give_the_same_vectors() {
        let glove = read("boat 1 -2.5\n. . . 3e-1 4\n", 100).unwrap();
        assert_eq!(
            (glove.dim, &glove.words[..]),
            (2, &["boat".to_owned(), ". . .".to_owned()][..])
        );
        assert_eq!(glove.numbers, [1.0, -2.5, 0.3, 4.0]);
        assert_eq!(read("2 2\nboat 1 -2.5 \n. . . 3e-1 4 \n", 100).unwrap(), glove);
        assert_eq!(read("2\t2\r\nboat\t1\t-2.5\r\n. . .\t0.3\t4\r\n", 100).unwrap(), glove);
        // Only the first word, and of a word that comes again the first.
        assert_eq!(read("boat 1 -2.5\nsea 3 4\n", 1).unwrap().words, ["boat"]);
        let twice = read("boat 1 2\nboat 3 4\nsea 5 6\n", 100).unwrap();
        assert_eq!(twice.numbers, [1.0, 2.0, 5.0, 6.0]);
    }

    #[test]
    fn damaged_files_are_errors_that_name_the_line() {
        let refusal = |text: &str| read(text, 100).unwrap_err();
        let short = refusal("boat 1 2\nsea 3\n");
        assert!(short.contains("a word and 2 numbers, found \"sea\" in line 2"), "{short}");
        assert!(refusal("2 2\nboat 1 2\n 3 4\n").contains("2 numbers without a word in line 3"));
        assert!(refusal("boat 1 nan\n").contains("\"nan\" in line 1"));
        let cut = refusal("3 2\nboat 1 2\nsea 3 4\n");
        assert!(cut.contains("expected 3 words as the first line says, found 2"), "{cut}");
        // No memory is taken for what a header promises.
        assert!(refusal("99999999999 2\nboat 1 2\n").contains("found 1"));
        assert!(refusal("2 99999999999\nboat 1 2\n").contains("1 to 4096 numbers"));
        assert!(refusal("boat\n").contains("0 numbers in the first line"));
        assert!(refusal("").contains("expected words with their vectors, found none"));
    }
}
