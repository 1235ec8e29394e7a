//! The kinds of content an item can have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::CoreError;

/// One kind of item content. Behaviour, the fifth voice of the quintet, is [`crate::Interactions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Titles, descriptions, reviews.
    Text,
    /// Still pictures.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// Where the item is, or where it was used.
    Place,
}

impl Modality {
    /// Every modality, in canonical order.
    pub const ALL: [Modality; 5] =
        [Modality::Text, Modality::Image, Modality::Audio, Modality::Video, Modality::Place];

    /// The lower-case name used in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Modality::Text => "text",
            Modality::Image => "image",
            Modality::Audio => "audio",
            Modality::Video => "video",
            Modality::Place => "place",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Modality {
    type Err = CoreError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Modality::ALL
            .into_iter()
            .find(|m| m.as_str() == name)
            .ok_or_else(|| CoreError::UnknownModality { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_a_typo_lists_the_known_ones() {
        for m in Modality::ALL {
            assert_eq!(m.as_str().parse(), Ok(m));
        }
        let err = "imgae".parse::<Modality>().unwrap_err().to_string();
        assert!(err.contains("imgae") && err.contains("text, image, audio"), "{err}");
    }
}
