//! Words of a text: lower-cased runs of letters and digits.
//!
//! Made for languages that put spaces between words. Text without them (Chinese, Japanese, Thai)
//! becomes one long word a clause, and nothing is normalised: a letter followed by a separate
//! combining accent is not the same word as the composed letter.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// English words that say nothing about the subject; the parts that an apostrophe leaves
/// (`don`, `t`, `ll`) are among them.
static STOP_WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("stop_words.txt").split_whitespace().collect());

/// Cuts text into terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokenizer {
    /// Leaves out English stop words, before pairs are made.
    pub stop_words: bool,
    /// Longest term in words: 1 gives words, 2 words and pairs of neighbours.
    pub ngrams: usize,
}

impl Tokenizer {
    /// The words of `text` in order.
    pub fn words(&self, text: &str) -> Vec<String> {
        text.to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .filter(|w| !self.stop_words || !is_stop_word(w))
            .map(str::to_owned)
            .collect()
    }

    /// How often each term occurs in `text`; a term of several words joins them by one space.
    pub fn counts(&self, text: &str) -> HashMap<String, u32> {
        let words = self.words(text);
        let mut counts = HashMap::new();
        for n in 1..=self.ngrams {
            for term in words.windows(n) {
                *counts.entry(term.join(" ")).or_insert(0) += 1;
            }
        }
        counts
    }
}

/// Whether `word`, in lower case, is on the English stop list.
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Tokenizer = Tokenizer { stop_words: false, ngrams: 1 };

    #[test]
    fn words_are_lower_case_runs_of_letters_and_digits() {
        let words = PLAIN.words("R2-D2 meets C3PO: ÉLAN, snake_case & ΣΟΦΟΣ!");
        // Σ at the end of a word becomes ς, inside a word σ.
        assert_eq!(words, ["r2", "d2", "meets", "c3po", "élan", "snake", "case", "σοφος"]);
        assert_eq!(PLAIN.words(" \t—…!"), Vec::<String>::new());
    }

    #[test]
    fn stop_words_go_before_pairs_are_made() {
        let t = Tokenizer { stop_words: true, ngrams: 2 };
        assert_eq!(t.words("The house on the hill, don't!"), ["house", "hill"]);
        let mut terms: Vec<_> = t.counts("The house on the hill").into_iter().collect();
        terms.sort();
        let expected = [("hill", 1), ("house", 1), ("house hill", 1)];
        assert_eq!(terms, expected.map(|(t, n)| (t.to_owned(), n)));
    }

    #[test]
    fn the_stop_list_holds_each_word_once_in_lower_case() {
        let listed: Vec<_> = include_str!("stop_words.txt").split_whitespace().collect();
        assert_eq!(listed.len(), STOP_WORDS.len());
        assert!(listed.iter().all(|w| w.chars().all(|c| c.is_ascii_lowercase())));
    }
}
