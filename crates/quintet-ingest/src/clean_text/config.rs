//! The `[ingest.text]` table of a run file.

use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::config::config;

/// How the items' texts are cleaned. Without the table they stay as they come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextConfig {
    /// Take tags, comments, scripts and styles out and decode entities, once: `&amp;lt;` becomes
    /// `&lt;`.
    pub html: bool,
    /// Make one blank of several and one end of line of several; control characters are blanks.
    pub whitespace: bool,
    /// Make all letters small. Encoders do that themselves where they need it.
    pub lowercase: bool,
    /// The normal form of Unicode.
    pub unicode: UnicodeForm,
    /// What happens to web addresses.
    pub urls: UrlPolicy,
    /// Languages whose stop words go, such as `["en", "de"]`. Good for counted words, bad for
    /// encoders that read sentences.
    pub stop_words: Vec<String>,
    /// Texts with fewer characters are emptied; 0 empties only blank ones.
    pub min_chars: usize,
    /// Longer texts are cut at the end of a word; none cuts nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_chars: Option<usize>,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            html: true,
            whitespace: true,
            lowercase: false,
            unicode: UnicodeForm::default(),
            urls: UrlPolicy::default(),
            stop_words: Vec::new(),
            min_chars: 0,
            max_chars: None,
        }
    }
}

/// The normal form of Unicode (UAX #15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnicodeForm {
    /// One character for a letter with its accent. Loses nothing.
    #[default]
    Nfc,
    /// The same, and plain characters for wide, raised and joined ones: `ﬁ` becomes `fi`.
    Nfkc,
    /// As it comes.
    None,
}

/// What happens to web addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UrlPolicy {
    /// They stay.
    #[default]
    Keep,
    /// They go.
    Drop,
}

impl TextConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`IngestError::Config`] for a language without a list of stop words, or lengths that no
    /// text can have.
    pub(crate) fn validate(&self) -> Result<(), IngestError> {
        let unknown = |language: &&String| stop_words::lookup(language).is_none();
        if let Some(language) = self.stop_words.iter().find(unknown) {
            let known = stop_words::available_languages().join(", ");
            let expected = format!("languages of {known}");
            return Err(config("text.stop_words", &expected, &format!("{language:?}")));
        }
        match self.max_chars {
            Some(max) if max < self.min_chars.max(1) => {
                let expected = "at least 1 and at least `min_chars`";
                Err(config("text.max_chars", expected, &max.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// What a text should have after cleaning.
    pub(super) fn expected_text(&self) -> String {
        match self.min_chars {
            0 => "text that is left after cleaning".to_owned(),
            n => format!("{n} characters or more after cleaning"),
        }
    }
}
