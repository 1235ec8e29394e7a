//! Cleaning of the items' texts: what pages and shops leave in them goes, and is counted.
//!
//! The steps run in one order: marks of HTML, normal form of Unicode, addresses, case, stop words,
//! blanks, length. Words end where Unicode says (UAX #29); normal forms are those of UAX #15.

mod config;
mod html;

use std::collections::HashSet;

use quintet_data::Item;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

pub use config::{TextConfig, UnicodeForm, UrlPolicy};

use crate::IngestError;
use crate::catalog::Catalog;
use crate::log::{Flaw, Log, shown};
use crate::report::FaultCode;

/// What cleaning did to the texts of the items: `texts_in` is `texts_out` and `emptied`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TextReport {
    /// Items with text before.
    pub texts_in: usize,
    /// Items with text after.
    pub texts_out: usize,
    /// Texts of which nothing, or less than `min_chars`, was left; the item has no text now.
    pub emptied: usize,
    /// Texts that are different and still there.
    pub changed: usize,
    /// Texts that were longer than `max_chars`.
    pub cut: usize,
    /// Stop words that went.
    pub stop_words: usize,
    /// Addresses that went.
    pub urls: usize,
    /// Characters before.
    pub chars_before: usize,
    /// Characters after.
    pub chars_after: usize,
}

impl TextReport {
    /// Whether every text is accounted for.
    pub fn adds_up(&self) -> bool {
        self.texts_in == self.texts_out + self.emptied && self.changed <= self.texts_out
    }

    /// A line for a terminal.
    pub fn summary(&self) -> String {
        format!(
            "texts cleaned: {} in = {} kept ({} changed, {} cut) + {} emptied; {} characters \
             became {}; {} stop words and {} addresses went",
            self.texts_in,
            self.texts_out,
            self.changed,
            self.cut,
            self.emptied,
            self.chars_before,
            self.chars_after,
            self.stop_words,
            self.urls
        )
    }
}

/// Cleans the texts of all items where the configuration asks for it.
pub(crate) fn clean_texts(
    config: Option<&TextConfig>,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<Option<TextReport>, IngestError> {
    let Some(config) = config else {
        return Ok(None);
    };
    let cleaner = Cleaner::new(config)?;
    let clean = |item: &Item| item.text.as_deref().map(|text| cleaner.clean(text));
    let cleaned: Vec<Option<Cleaned>> = catalog.items.par_iter().map(clean).collect();
    let mut report = TextReport::default();
    for (at, cleaned) in cleaned.into_iter().enumerate() {
        let (Some(cleaned), Some(before)) = (cleaned, catalog.items[at].text.take()) else {
            continue;
        };
        report.add(&before, &cleaned);
        if cleaned.text.is_none() {
            let expected = config.expected_text();
            let flaw = Flaw::new(FaultCode::TextEmptied, expected, shown(&before));
            let id = catalog.items[at].id.clone();
            match catalog.item_row(at) {
                Some(origin) => log.note_row(origin, Some(&id), flaw)?,
                None => log.note_file("[ingest.text]".to_owned(), Some(&id), flaw)?,
            }
        }
        catalog.items[at].text = cleaned.text;
    }
    Ok(Some(report))
}

impl TextReport {
    fn add(&mut self, before: &str, cleaned: &Cleaned) {
        let after = cleaned.text.as_deref();
        self.texts_in += 1;
        self.texts_out += usize::from(after.is_some());
        self.emptied += usize::from(after.is_none());
        self.changed += usize::from(after.is_some_and(|after| after != before));
        self.cut += usize::from(cleaned.cut);
        self.stop_words += cleaned.stop_words;
        self.urls += cleaned.urls;
        self.chars_before += before.chars().count();
        self.chars_after += after.map_or(0, |after| after.chars().count());
    }
}

/// One text after cleaning.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cleaned {
    text: Option<String>,
    cut: bool,
    stop_words: usize,
    urls: usize,
}

/// A configuration with its stop words looked up.
struct Cleaner<'a> {
    config: &'a TextConfig,
    stop_words: HashSet<String>,
}

impl<'a> Cleaner<'a> {
    fn new(config: &'a TextConfig) -> Result<Self, IngestError> {
        config.validate()?;
        let lists = config.stop_words.iter().filter_map(stop_words::lookup);
        let stop_words = lists.flatten().map(|word| as_listed(word)).collect();
        Ok(Self { config, stop_words })
    }

    fn clean(&self, text: &str) -> Cleaned {
        let config = self.config;
        let mut done = Cleaned::default();
        let mut text = if config.html { html::to_text(text) } else { text.to_owned() };
        text = match config.unicode {
            UnicodeForm::Nfc => text.nfc().collect(),
            UnicodeForm::Nfkc => text.nfkc().collect(),
            UnicodeForm::None => text,
        };
        if config.urls == UrlPolicy::Drop {
            (text, done.urls) = without_urls(&text);
        }
        if config.lowercase {
            text = text.to_lowercase();
        }
        if !self.stop_words.is_empty() {
            (text, done.stop_words) = self.without_stop_words(&text);
        }
        if config.whitespace {
            text = single_blanks(&text);
        }
        if let Some(max) = config.max_chars
            && let Some(end) = end_of(&text, max)
        {
            text.truncate(end);
            done.cut = true;
        }
        let blank = text.trim().is_empty();
        let short = config.min_chars > 0 && text.chars().nth(config.min_chars - 1).is_none();
        done.text = (!blank && !short).then_some(text);
        done
    }

    /// Leaves out stop words, each with the blanks behind it where blanks or nothing are before
    /// it.
    fn without_stop_words(&self, text: &str) -> (String, usize) {
        let (mut out, mut gone) = (String::with_capacity(text.len()), 0);
        let mut just_gone = false;
        for part in text.split_word_bounds() {
            if self.stop_words.contains(&as_listed(part)) {
                gone += 1;
                just_gone = true;
                continue;
            }
            let blank = part.chars().all(char::is_whitespace);
            let after_blank = out.chars().next_back().is_none_or(char::is_whitespace);
            if !(just_gone && blank && after_blank) {
                out.push_str(part);
            }
            just_gone = false;
        }
        (out, gone)
    }
}

/// A word as lists of stop words have it: small letters, a straight apostrophe.
fn as_listed(word: &str) -> String {
    word.to_lowercase().replace('\u{2019}', "'")
}

/// Makes one blank of several, one end of line of several with blanks around, and takes blanks
/// from both ends. Control characters count as blanks.
fn single_blanks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut pending: Option<char> = None;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            let line_ends = matches!(c, '\n' | '\r') || pending == Some('\n');
            pending = Some(if line_ends { '\n' } else { ' ' });
            continue;
        }
        if let Some(blank) = pending.take().filter(|_| !out.is_empty()) {
            out.push(blank);
        }
        out.push(c);
    }
    out
}

/// Where a text of more than `max` characters is to end: after the last whole word that fits,
/// or within a word that alone is too long, but never within a character as people see it.
fn end_of(text: &str, max: usize) -> Option<usize> {
    text.char_indices().nth(max)?;
    let last_fit = |parts: &mut dyn Iterator<Item = &str>| {
        let (mut chars, mut end) = (0, 0);
        for part in parts {
            chars += part.chars().count();
            if chars > max {
                break;
            }
            end += part.len();
        }
        text[..end].trim_end().len()
    };
    match last_fit(&mut text.split_word_bounds()) {
        0 => Some(last_fit(&mut text.graphemes(true))),
        end => Some(end),
    }
}

/// Leaves out web addresses: from `http://`, `https://`, `ftp://` or `www.` at the beginning of
/// a word to the next blank, quote or angle bracket, less the punctuation that ends a sentence.
fn without_urls(text: &str) -> (String, usize) {
    let (mut out, mut gone) = (String::with_capacity(text.len()), 0);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inside_word = out.chars().next_back().is_some_and(char::is_alphanumeric);
        let length = if inside_word { 0 } else { url_length(rest) };
        if length > 0 {
            gone += 1;
            rest = &rest[length..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    (out, gone)
}

/// The length of the address that a text begins with, bytes; 0 when it begins with none.
fn url_length(text: &str) -> usize {
    const STARTS: [&str; 4] = ["http://", "https://", "ftp://", "www."];
    let begins = |start: &&&str| {
        text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
    };
    let Some(start) = STARTS.iter().find(begins) else {
        return 0;
    };
    let ends = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"');
    let url = &text[..text.find(ends).unwrap_or(text.len())];
    let url = url.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '}', '\'']);
    if url.len() > start.len() { url.len() } else { 0 }
}

#[cfg(test)]
mod tests;
