//! The closed list of reasons for which a media file cannot be used.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a media file cannot be used: the first word of [`quintet_data::MediaFile::error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaCode {
    /// The operating system does not give it: no right to read it, a link to nowhere.
    Unreadable,
    /// Its path or a link leads out of its folder or the data root.
    Outside,
    /// It has no bytes, no samples, no frames or nothing but blanks.
    Empty,
    /// It ends before its end marker or before what its header declares.
    Truncated,
    /// It contradicts its own format, or the decoder refuses it.
    Corrupt,
    /// It is of the right sort, in a format or coding that is not decoded yet.
    Unsupported,
    /// It is something else: a page in place of a picture, sound in place of a film.
    WrongKind,
    /// It is beyond a limit of bytes, pixels, memory or frames.
    TooLarge,
    /// It is text in an encoding other than UTF-8.
    InvalidUtf8,
}

impl MediaCode {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Unreadable,
        Self::Outside,
        Self::Empty,
        Self::Truncated,
        Self::Corrupt,
        Self::Unsupported,
        Self::WrongKind,
        Self::TooLarge,
        Self::InvalidUtf8,
    ];

    /// The name used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Outside => "outside",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::WrongKind => "wrong_kind",
            Self::TooLarge => "too_large",
            Self::InvalidUtf8 => "invalid_utf8",
        }
    }

    /// The code of a [`quintet_data::MediaFile::error`], which is `code: reason`.
    pub fn of(error: &str) -> Option<Self> {
        let word = error.split_once(':').map_or(error, |(word, _)| word);
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

impl fmt::Display for MediaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_again_in_the_text_that_it_starts() {
        for code in MediaCode::ALL {
            assert_eq!(MediaCode::of(&format!("{code}: some reason: more")), Some(code));
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
        }
        assert_eq!(MediaCode::of("something else"), None);
    }
}
