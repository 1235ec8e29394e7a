//! From the vectors of several modalities to one.

use std::fmt;

use burn::tensor::{Device, Tensor};
use quintet_core::{Modality, Named, SeedStream};
use rand_chacha::ChaCha8Rng;
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

    /// One step of training: what [`Fusion::forward`] gives, under dropout where the layer has
    /// it, and what the layer wants added to the loss. Randomness comes from `rng` alone.
    ///
    /// # Panics
    /// As [`Fusion::forward`].
    fn forward_train(&self, views: &Views, _rng: &mut ChaCha8Rng) -> Fused {
        Fused::of(self.forward(views))
    }

    /// The share of each modality in the output, `[batch, n_modalities]`: not negative, rows sum
    /// to 1 over the modalities that are present, and are all zero where none is.
    /// [`Fusion::share_kind`] says what they are. By default, how far the output moves when a
    /// modality is taken away ([`knock_out`]).
    fn shares(&self, views: &Views) -> Tensor<2> {
        let moved = knock_out(self, views);
        // The root of rounding: a row that nothing moves is divided equally.
        let moved = (moved + 1e-9) * views.mask.clone();
        let sum = moved.clone().sum_dim(1);
        let none = views.mask.clone().max_dim(1).neg() + 1.0;
        moved / (sum + none)
    }

    /// What [`Fusion::shares`] are.
    fn share_kind(&self) -> ShareKind {
        ShareKind::KnockOut
    }
}

/// What a fusion layer gives in training.
#[derive(Debug, Clone)]
pub struct Fused {
    /// `[batch, d_out]`.
    pub vectors: Tensor<2>,
    /// `[1]`, to be added to the loss: the load balance of experts, for example.
    pub penalty: Option<Tensor<1>>,
    /// One `[batch, d_out]` a modality, for layers of sub-networks that can each stand for the
    /// whole: a loss on them keeps a strong modality from starving the others. Rows of absent
    /// modalities are not to be read. Empty for all other layers.
    pub heads: Vec<Tensor<2>>,
}

impl Fused {
    /// Vectors and nothing else.
    pub fn of(vectors: Tensor<2>) -> Self {
        Self { vectors, penalty: None, heads: Vec::new() }
    }

    /// The heads, each with the fused vector, as a constant, where an item lacks the modality:
    /// every row can then stand in a loss.
    pub fn stand_ins(&self, views: &Views) -> Vec<Tensor<2>> {
        let whole = self.vectors.clone().detach();
        let one = |(m, head): (usize, &Tensor<2>)| {
            let [batch, dim] = head.dims();
            let absent = views.present(m).lower_elem(0.5).expand([batch, dim]);
            head.clone().mask_where(absent, whole.clone())
        };
        self.heads.iter().enumerate().map(one).collect()
    }
}

/// What the shares of a fusion layer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareKind {
    /// Weights of a sum.
    Weights,
    /// Gates that depend on the item.
    Gates,
    /// Attention of a query or of the other modalities.
    Attention,
    /// Lengths of the addends of the output.
    Addends,
    /// How far the output moves when the modality is taken away.
    KnockOut,
}

impl fmt::Display for ShareKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ShareKind::Weights => "weights",
            ShareKind::Gates => "gates",
            ShareKind::Attention => "attention",
            ShareKind::Addends => "addends",
            ShareKind::KnockOut => "knock-out",
        })
    }
}

/// How far the output of each item moves when one of its modalities is taken away,
/// `‖y - y without m‖`, `[batch, n_modalities]`; zero for modalities that it does not have.
///
/// # Panics
/// When the views have other modalities or widths than the layer was built for.
pub fn knock_out(layer: &(impl Fusion + ?Sized), views: &Views) -> Tensor<2> {
    let whole = layer.forward(views);
    let moved = (0..views.modalities.len()).map(|m| {
        let apart = whole.clone() - layer.forward(&views.without(m));
        // The root has no gradient at zero.
        (apart.powi_scalar(2).sum_dim(1) + 1e-24).sqrt()
    });
    Tensor::cat(moved.collect(), 1) * views.mask.clone()
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
