//! Item features by modality, with a presence mask: absence is data.

use crate::{CoreError, Matrix, Modality};

/// The vectors of one modality for every item, and which items have one.
#[derive(Debug, Clone, PartialEq)]
pub struct ModalityFeatures {
    /// Which modality.
    pub modality: Modality,
    /// `[n_items, dim]`; rows of absent items are zero and must not be read as data.
    pub matrix: Matrix,
    /// `[n_items]`: whether the item has this modality.
    pub present: Vec<bool>,
}

impl ModalityFeatures {
    /// Checks and takes a feature matrix.
    ///
    /// # Errors
    /// A mask of another length, or a present row that is not finite. Absent rows are
    /// overwritten with zeros, whatever they held.
    pub fn new(
        modality: Modality,
        mut matrix: Matrix,
        present: Vec<bool>,
    ) -> Result<Self, CoreError> {
        if present.len() != matrix.rows() {
            return Err(CoreError::Shape {
                what: format!("presence mask of {modality} features"),
                expected: matrix.rows(),
                found: present.len(),
            });
        }
        for (row, _) in present.iter().enumerate().filter(|(_, p)| !**p) {
            matrix.row_mut(row).fill(0.0);
        }
        matrix.check_finite(&format!("{modality} features"))?;
        Ok(Self { modality, matrix, present })
    }

    /// Width of the vectors.
    pub fn dim(&self) -> usize {
        self.matrix.cols()
    }

    /// How many items have this modality.
    pub fn n_present(&self) -> usize {
        self.present.iter().filter(|p| **p).count()
    }
}

/// The features of all modalities of one dataset, every one over the same items.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureSet {
    n_items: usize,
    modalities: Vec<ModalityFeatures>,
}

impl FeatureSet {
    /// No modality yet, over `n_items` items.
    pub fn new(n_items: usize) -> Self {
        Self { n_items, modalities: Vec::new() }
    }

    /// Adds one modality.
    ///
    /// # Errors
    /// Another number of items, or a modality that is already there.
    pub fn push(&mut self, features: ModalityFeatures) -> Result<(), CoreError> {
        if features.matrix.rows() != self.n_items {
            return Err(CoreError::Shape {
                what: format!("rows of {} features", features.modality),
                expected: self.n_items,
                found: features.matrix.rows(),
            });
        }
        if let Some(first) = self.modalities.iter().position(|m| m.modality == features.modality) {
            return Err(CoreError::DuplicateId {
                id: features.modality.to_string(),
                first,
                second: self.modalities.len(),
            });
        }
        self.modalities.push(features);
        self.modalities.sort_by_key(|m| m.modality);
        Ok(())
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// The modalities, in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = &ModalityFeatures> {
        self.modalities.iter()
    }

    /// One modality, if it is there.
    pub fn get(&self, modality: Modality) -> Option<&ModalityFeatures> {
        self.modalities.iter().find(|m| m.modality == modality)
    }

    /// How many modalities there are.
    pub fn len(&self) -> usize {
        self.modalities.len()
    }

    /// Whether there is no modality.
    pub fn is_empty(&self) -> bool {
        self.modalities.is_empty()
    }

    /// A set with only the named modalities; names without features are left out.
    pub fn only(&self, keep: &[Modality]) -> FeatureSet {
        FeatureSet {
            n_items: self.n_items,
            modalities: self
                .modalities
                .iter()
                .filter(|m| keep.contains(&m.modality))
                .cloned()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_rows_are_cleared_and_present_nan_is_refused() {
        let nan = Matrix::from_vec(2, 1, vec![1.0, f32::NAN]).unwrap();
        let ok = ModalityFeatures::new(Modality::Image, nan.clone(), vec![true, false]).unwrap();
        assert_eq!(ok.matrix.as_slice(), [1.0, 0.0]);
        let err = ModalityFeatures::new(Modality::Image, nan, vec![true, true]).unwrap_err();
        assert!(err.to_string().contains("image features row 1"), "{err}");
    }

    #[test]
    fn a_modality_is_held_once_and_in_order() {
        let one = |m| ModalityFeatures::new(m, Matrix::zeros(2, 3), vec![true; 2]).unwrap();
        let mut set = FeatureSet::new(2);
        set.push(one(Modality::Audio)).unwrap();
        set.push(one(Modality::Text)).unwrap();
        assert!(set.push(one(Modality::Text)).is_err());
        let order: Vec<_> = set.iter().map(|m| m.modality).collect();
        assert_eq!(order, [Modality::Text, Modality::Audio]);
    }
}
