//! Terms of a text: its words in small letters, pairs of them, or pieces of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use crate::segment::{spaced_words, words};

/// English words that say nothing about the subject; the parts that an apostrophe leaves
/// (`don`, `t`, `ll`) are among them.
static STOP_WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("stop_words.txt").split_whitespace().collect());

/// Longest pieces of words, characters.
const LONGEST_PIECE: usize = 16;

/// What counts as a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// Leaves out stop words, before pairs are made.
    pub stop_words: bool,
    /// The language of the stop words, by its code: `en`, `de`, `zh`.
    pub language: String,
    /// Longest term in words, 1 or 2: 2 gives words and pairs of neighbours.
    pub ngrams: usize,
    /// 0: terms are words. Else all pieces of a word of so many characters, with a blank before
    /// and behind the word.
    pub characters: usize,
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self { stop_words: true, language: "en".to_owned(), ngrams: 1, characters: 0 }
    }
}

impl TokenizerConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// What is wrong, by the parameter.
    pub fn validate(&self) -> Result<(), String> {
        if !(1..=2).contains(&self.ngrams) {
            return Err(format!("ngrams is 1 or 2, found {}", self.ngrams));
        }
        if self.characters > LONGEST_PIECE {
            let found = self.characters;
            return Err(format!("characters is at most {LONGEST_PIECE}, found {found}"));
        }
        if self.characters > 0 && self.ngrams > 1 {
            return Err(
                "characters cuts words into pieces, ngrams 2 joins them: ask for one".into()
            );
        }
        if stop_words::lookup(&self.language).is_none() {
            let known = stop_words::available_languages().join(", ");
            return Err(format!("language: expected one of {known}, found {:?}", self.language));
        }
        Ok(())
    }

    /// The words to leave out, as [`Tokenizer::words`] would find them.
    fn stop_list(&self) -> HashSet<String> {
        if !self.stop_words {
            return HashSet::new();
        }
        if self.language == "en" {
            return STOP_WORDS.iter().map(|word| (*word).to_owned()).collect();
        }
        // The parts that an apostrophe leaves are stop words as well; a dictionary would leave
        // parts that are not.
        let list = stop_words::lookup(&self.language).into_iter().flatten();
        list.flat_map(|word| spaced_words(&word.to_lowercase())).collect()
    }
}

/// Cuts text into terms.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    left_out: Arc<HashSet<String>>,
    ngrams: usize,
    characters: usize,
}

impl Tokenizer {
    /// A tokenizer by its parameters.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(config: &TokenizerConfig) -> Result<Self, String> {
        config.validate()?;
        let left_out = Arc::new(config.stop_list());
        Ok(Self { left_out, ngrams: config.ngrams, characters: config.characters })
    }

    /// The words of `text` in order, in small letters, without stop words.
    pub fn words(&self, text: &str) -> Vec<String> {
        words(&text.to_lowercase())
            .into_iter()
            // Letters that have no small form may have one once they are normal: 𝔸 becomes A.
            .map(
                |word| {
                    if word.chars().any(char::is_uppercase) { word.to_lowercase() } else { word }
                },
            )
            .filter(|word| !self.left_out.contains(word))
            .collect()
    }

    /// The terms of `text`; one of several words joins them by one space.
    pub fn terms(&self, text: &str) -> Vec<String> {
        let words = self.words(text);
        if self.characters > 0 {
            return words.iter().flat_map(|word| pieces(word, self.characters)).collect();
        }
        let mut terms = Vec::with_capacity(self.ngrams * words.len());
        for n in 2..=self.ngrams {
            terms.extend(words.windows(n).map(|pair| pair.join(" ")));
        }
        terms.extend(words);
        terms
    }

    /// How often each term occurs in `text`.
    pub fn counts(&self, text: &str) -> HashMap<String, u32> {
        let mut counts = HashMap::new();
        for term in self.terms(text) {
            *counts.entry(term).or_insert(0) += 1;
        }
        counts
    }
}

/// All stretches of `n` characters of a word between blanks, or all of it where it is shorter.
fn pieces(word: &str, n: usize) -> Vec<String> {
    let padded: Vec<char> = [' '].into_iter().chain(word.chars()).chain([' ']).collect();
    if padded.len() <= n {
        return vec![padded.into_iter().collect()];
    }
    padded.windows(n).map(|piece| piece.iter().collect()).collect()
}

/// Whether `word`, in lower case, is on the English stop list.
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(stop_words: bool, ngrams: usize, characters: usize, language: &str) -> Tokenizer {
        let language = language.to_owned();
        Tokenizer::new(&TokenizerConfig { stop_words, language, ngrams, characters }).unwrap()
    }

    #[test]
    fn words_are_lower_case_runs_of_letters_and_digits() {
        let plain = tokenizer(false, 1, 0, "en");
        let words = plain.words("R2-D2 meets C3PO: ÉLAN, snake_case & ΣΟΦΟΣ!");
        // Σ at the end of a word becomes ς, inside a word σ.
        assert_eq!(words, ["r2", "d2", "meets", "c3po", "élan", "snake", "case", "σοφος"]);
        assert_eq!(plain.words(" \t—…!"), Vec::<String>::new());
        // Letters whose normal form is large.
        assert_eq!(plain.words("𝔸bc Ⓐ ＥＬＡＮ"), ["abc", "a", "elan"]);
    }

    #[test]
    fn stop_words_go_before_pairs_are_made() {
        let t = tokenizer(true, 2, 0, "en");
        assert_eq!(t.words("The house on the hill, don't!"), ["house", "hill"]);
        let mut terms: Vec<_> = t.counts("The house on the hill").into_iter().collect();
        terms.sort();
        let expected = [("hill", 1), ("house", 1), ("house hill", 1)];
        assert_eq!(terms, expected.map(|(t, n)| (t.to_owned(), n)));
    }

    #[test]
    fn every_language_has_its_own_stop_words() {
        assert_eq!(tokenizer(true, 1, 0, "de").words("Das Haus und der Berg"), ["haus", "berg"]);
        // The parts around the apostrophe go, and so does an accent that stands apart.
        let french = tokenizer(true, 1, 0, "fr");
        assert_eq!(french.words("J'ai l'élan, tu as e\u{301}te\u{301}"), ["élan"]);
        assert_eq!(tokenizer(true, 1, 0, "zh").words("我们的电影"), ["电影"]);
    }

    #[test]
    fn pieces_of_words_by_hand() {
        let t = tokenizer(true, 1, 3, "en");
        assert_eq!(t.terms("The Été x"), [" ét", "été", "té ", " x "]);
        assert_eq!(t.counts("aaaa")["aaa"], 2);
        assert_eq!(tokenizer(false, 1, 4, "en").terms("x"), [" x "]);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let refusal = |change: fn(&mut TokenizerConfig)| {
            let mut config = TokenizerConfig::default();
            change(&mut config);
            Tokenizer::new(&config).map(|_| ()).unwrap_err()
        };
        assert!(refusal(|c| c.ngrams = 3).contains("ngrams is 1 or 2, found 3"));
        assert!(refusal(|c| c.characters = 17).contains("at most 16, found 17"));
        assert!(refusal(|c| (c.characters, c.ngrams) = (3, 2)).contains("ask for one"));
        let language = refusal(|c| c.language = "english".into());
        assert!(language.contains(" de, ") && language.contains("\"english\""), "{language}");
    }

    #[test]
    fn the_stop_list_holds_each_word_once_in_lower_case() {
        let listed: Vec<_> = include_str!("stop_words.txt").split_whitespace().collect();
        assert_eq!(listed.len(), STOP_WORDS.len());
        assert!(listed.iter().all(|w| w.chars().all(|c| c.is_ascii_lowercase())));
    }
}
