//! Completion: features made up for the modalities that items lack, from those that they have.

mod autoencoder;
mod cca;
mod cgan;
mod joint;
mod linear;
mod mean;
mod ot;
mod ridge;

pub use autoencoder::AutoencoderParams;
pub use cgan::CganParams;
pub use ot::OtParams;

use quintet_core::{FeatureSet, Matrix, Modality, ModalityFeatures, Named, Registry, SeedStream};
use quintet_tensor::Device;
use serde_json::Value;

use super::MappingError;

/// A way to make up features. One method to write.
pub trait Completion: Send + Sync {
    /// Learns from the items `train` alone: nothing of other items is read.
    ///
    /// # Errors
    /// Too few training items for a modality, or numbers that are not finite.
    fn fit(
        &self,
        features: &FeatureSet,
        train: &[u32],
    ) -> Result<Box<dyn FittedCompletion>, MappingError>;
}

/// A fitted [`Completion`]. Two methods to write; callers use [`FittedCompletion::complete`].
pub trait FittedCompletion: Send + Sync {
    /// Features of modality `target` for `items`, `[items.len(), dim]`, from the other
    /// modalities of each. Every item has at least one of them.
    ///
    /// # Errors
    /// The fitted mapping does not fit these features.
    fn predict(
        &self,
        features: &FeatureSet,
        target: Modality,
        items: &[u32],
    ) -> Result<Matrix, MappingError>;

    /// The modalities and widths it was fitted on, in canonical order.
    fn shape(&self) -> &[(Modality, usize)];

    /// Fills the absent rows of every modality. An item with no modality at all stays absent;
    /// what was there is kept to the bit.
    ///
    /// # Errors
    /// Other modalities or widths than those of the fit, or a prediction that is not finite.
    fn complete(&self, features: &FeatureSet) -> Result<Completed, MappingError> {
        check_shape(features, self.shape())?;
        let mut out = FeatureSet::new(features.n_items());
        let mut made_up = Vec::with_capacity(features.len());
        for f in features.iter() {
            let items: Vec<u32> = (0..features.n_items())
                .filter(|&i| !f.present[i] && features.iter().any(|g| g.present[i]))
                .map(|i| i as u32)
                .collect();
            let mut matrix = f.matrix.clone();
            let (mut present, mut marked) = (f.present.clone(), vec![false; features.n_items()]);
            if !items.is_empty() {
                let rows = self.predict(features, f.modality, &items)?;
                for (r, &item) in items.iter().enumerate() {
                    matrix.row_mut(item as usize).copy_from_slice(rows.row(r));
                    present[item as usize] = true;
                    marked[item as usize] = true;
                }
            }
            out.push(ModalityFeatures::new(f.modality, matrix, present)?)?;
            made_up.push((f.modality, marked));
        }
        Ok(Completed { features: out, made_up })
    }
}

/// Features with absent rows filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed {
    /// All modalities of all items that have at least one.
    pub features: FeatureSet,
    /// For each modality, in canonical order: `[n_items]`, which rows were made up.
    pub made_up: Vec<(Modality, Vec<bool>)>,
}

/// Builds a completion from its parameters; trained ones run on the device.
pub type BuildCompletion =
    fn(&Value, SeedStream, &Device) -> Result<Box<dyn Completion>, MappingError>;

/// One registered completion.
#[derive(Debug, Clone, Copy)]
pub struct CompletionEntry {
    /// Registry name.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// Builds it from parameters; `null` means the defaults.
    pub build: BuildCompletion,
}

impl Named for CompletionEntry {
    fn name(&self) -> &str {
        self.name
    }
}

/// A registry with every completion of this crate.
///
/// # Errors
/// Two have the same name.
pub fn completions() -> Result<Registry<CompletionEntry>, MappingError> {
    let mut r = Registry::new("completion");
    r.add(autoencoder::ENTRY)?;
    r.add(cca::ENTRY)?;
    r.add(cgan::ENTRY)?;
    r.add(mean::ENTRY)?;
    r.add(ot::ENTRY)?;
    r.add(ridge::ENTRY)?;
    Ok(r)
}

/// The modalities and widths of a set.
fn shape_of(features: &FeatureSet) -> Vec<(Modality, usize)> {
    features.iter().map(|f| (f.modality, f.dim())).collect()
}

fn check_shape(features: &FeatureSet, shape: &[(Modality, usize)]) -> Result<(), MappingError> {
    for &(modality, dim) in shape {
        let f = one(features, modality)?;
        if f.dim() != dim {
            let what = format!("width of {modality} features");
            let (expected, found) = (dim, f.dim());
            return Err(quintet_core::CoreError::Shape { what, expected, found }.into());
        }
    }
    match features.iter().find(|f| shape.iter().all(|(m, _)| *m != f.modality)) {
        None => Ok(()),
        Some(f) => Err(MappingError::TooFew {
            method: METHOD,
            what: f.modality.to_string(),
            needed: 2,
            found: 0,
        }),
    }
}

const METHOD: &str = "completion";

/// One modality, which must be there.
fn one(features: &FeatureSet, modality: Modality) -> Result<&ModalityFeatures, MappingError> {
    features.get(modality).ok_or_else(|| MappingError::MissingModality {
        method: METHOD,
        modality,
        known: features.iter().map(|f| f.modality.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// Those of `items` that have all of `modalities`.
fn having(
    features: &FeatureSet,
    items: &[u32],
    modalities: &[Modality],
) -> Result<Vec<u32>, MappingError> {
    let mut kept = Vec::with_capacity(items.len());
    for &item in items {
        if item as usize >= features.n_items() {
            let (index, len) = (item as usize, features.n_items());
            return Err(quintet_core::CoreError::OutOfRange { what: "item", index, len }.into());
        }
        let mut all = true;
        for &m in modalities {
            all &= one(features, m)?.present[item as usize];
        }
        if all {
            kept.push(item);
        }
    }
    Ok(kept)
}

/// The rows `items` of one modality.
fn rows(f: &ModalityFeatures, items: &[u32]) -> Matrix {
    let mut out = Matrix::zeros(items.len(), f.dim());
    for (r, &item) in items.iter().enumerate() {
        out.row_mut(r).copy_from_slice(f.matrix.row(item as usize));
    }
    out
}
