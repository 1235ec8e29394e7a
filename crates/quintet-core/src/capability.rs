//! What a fitted model can do, as values that suites and servers read.

use serde::{Deserialize, Serialize};

use crate::Modality;

/// What a model can do. Read it instead of the model's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capability {
    /// Ranks items that nobody has used yet by their content.
    pub cold_items: bool,
    /// Ranks for users without any history (better than by popularity).
    pub cold_users: bool,
    /// Gives different lists to different users.
    pub personal: bool,
    /// Modalities the model read when it was fitted.
    pub modalities: Vec<Modality>,
    /// Can say why an item is in a list.
    pub explains: bool,
    /// Ranks for somebody it was not fitted on, from what they did: `Recommender::fold_in`.
    #[serde(default)]
    pub folds_in: bool,
}

impl Capability {
    /// A personal model with no other ability.
    pub fn personal() -> Self {
        Self { personal: true, ..Self::default() }
    }

    /// Adds the ability to rank unused items.
    pub fn with_cold_items(mut self) -> Self {
        self.cold_items = true;
        self
    }

    /// Adds explanations.
    pub fn with_explanations(mut self) -> Self {
        self.explains = true;
        self
    }

    /// Adds ranking for people it was not fitted on, from what they did.
    pub fn with_fold_in(mut self) -> Self {
        self.folds_in = true;
        self
    }

    /// Names the modalities that were read.
    pub fn with_modalities(mut self, modalities: impl IntoIterator<Item = Modality>) -> Self {
        self.modalities = modalities.into_iter().collect();
        self
    }
}
