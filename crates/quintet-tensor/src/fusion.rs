//! From the vectors of several modalities to one.

use burn::tensor::{Device, Tensor};
use quintet_core::{Modality, Named, SeedStream};
use serde_json::Value;

use crate::{FitError, Layer, Views};

/// A trainable layer from views and a presence mask to one vector an item.
///
/// Absence is data: the output must not depend on the numbers in absent rows, must be finite
/// for every mask (also with nothing present), and must not depend on batch mates.
pub trait Fusion: Layer + Send + Sync {
    /// Registry name.
    fn name(&self) -> &str;

    /// Width of the output.
    fn d_out(&self) -> usize;

    /// `views` of `batch` items → `[batch, d_out]`.
    ///
    /// # Panics
    /// When the views have other modalities or widths than the layer was built for.
    fn forward(&self, views: &Views) -> Tensor<2>;

    /// The share of each modality in the output, `[batch, n_modalities]`: rows sum to 1 over
    /// the modalities that are present, and are all zero where none is. `None` for layers
    /// without such shares.
    fn shares(&self, _views: &Views) -> Option<Tensor<2>> {
        None
    }
}

/// What a fusion layer is built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FusionShape {
    /// The modalities and their widths, in canonical order.
    pub modalities: Vec<(Modality, usize)>,
    /// Width of the output.
    pub d_out: usize,
}

/// Builds a fusion layer from its parameters.
pub type BuildFusion =
    fn(&Value, &FusionShape, SeedStream, &Device) -> Result<Box<dyn Fusion>, FitError>;

/// One registered fusion layer.
#[derive(Debug, Clone, Copy)]
pub struct FusionEntry {
    /// Registry name.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// Builds it from parameters; `null` means the defaults.
    pub build: BuildFusion,
}

impl Named for FusionEntry {
    fn name(&self) -> &str {
        self.name
    }
}
