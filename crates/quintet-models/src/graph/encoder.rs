//! The encoder of a modality that DRAGON, MENTOR and LIRDRec share.
//!
//! ```text
//! z = W₂ lrelu(W₁ x)                  d_m → hidden → dim
//! X = norm([P ; z])                   P: a free vector a user
//! Y = X + S X + … + S^L X             a sum, not a mean
//! ```
//! Layers start from `U(±1/√d_in)`, user vectors Xavier-normal.

use burn::prelude::*;
use quintet_core::Matrix;
use quintet_tensor::{Linear, Weight, leaky_relu, select_rows, unit_rows, xavier_normal};
use rand::{Rng, RngExt};

use super::ItemFeatures;

/// Slope of the leaky ReLU on the negative side.
const SLOPE: f32 = 0.01;

/// Rows of features and who has them.
#[derive(Clone)]
pub(crate) struct Content {
    /// `[n_items, d_m]`; rows of items without the modality are zero.
    pub(crate) rows: Tensor<2>,
    /// `[n_items, 1]`, one where the item has the modality.
    pub(crate) present: Tensor<2>,
}

impl Content {
    /// The features of one modality.
    pub(crate) fn of(features: &ItemFeatures) -> Self {
        Self { rows: features.rows.clone(), present: features.present.clone() }
    }

    /// Rows that every item has.
    pub(crate) fn of_all(rows: Tensor<2>) -> Self {
        let present = Tensor::ones([rows.dims()[0], 1], &rows.device());
        Self { rows, present }
    }

    /// The rows of some items.
    pub(crate) fn select(&self, items: &[u32]) -> Self {
        let rows = |of: &Tensor<2>| select_rows(of.clone(), items);
        Self { rows: rows(&self.rows), present: rows(&self.present) }
    }
}

/// Sizes of a [`ModalityEncoder`].
#[derive(Clone, Copy)]
pub(crate) struct EncoderShape {
    pub(crate) n_users: usize,
    /// Numbers a row of features.
    pub(crate) d_in: usize,
    /// Width between the two layers.
    pub(crate) hidden: usize,
    /// Width of the vectors.
    pub(crate) dim: usize,
    /// Whether the second layer has a bias.
    pub(crate) out_bias: bool,
}

/// Two layers over features, and a vector a user beside them.
#[derive(Clone)]
pub(crate) struct ModalityEncoder {
    /// `P`, `[n_users, dim]`.
    pub(crate) users: Weight,
    hidden: Linear,
    out: Linear,
    out_bias: bool,
}

impl ModalityEncoder {
    pub(crate) fn new(shape: EncoderShape, rng: &mut impl Rng, device: &Device) -> Self {
        let EncoderShape { n_users, d_in, hidden, dim, out_bias } = shape;
        let users = Weight::new(&xavier_normal(n_users, dim, rng), device);
        let mut out = default_linear(hidden, dim, rng, device);
        if !out_bias {
            out.bias = Weight::new(&Matrix::zeros(1, dim), device);
        }
        Self { users, hidden: default_linear(d_in, hidden, rng, device), out, out_bias }
    }

    /// `[X_users ; X_items]`; items without the modality are zero, whatever the biases.
    pub(crate) fn nodes(&self, content: &Content) -> Tensor<2> {
        let hidden = leaky_relu(self.hidden.forward(content.rows.clone()), SLOPE);
        let items = self.out.forward(hidden) * content.present.clone();
        unit_rows(Tensor::cat(vec![self.users.tensor(), items], 0))
    }

    /// The weights; the names hold `place`.
    pub(crate) fn weights(&self, place: &str) -> Vec<(String, &Weight)> {
        let mut all = vec![
            (format!("users.{place}"), &self.users),
            (format!("encoder.{place}.hidden.weight"), &self.hidden.weight),
            (format!("encoder.{place}.hidden.bias"), &self.hidden.bias),
            (format!("encoder.{place}.out.weight"), &self.out.weight),
        ];
        if self.out_bias {
            all.push((format!("encoder.{place}.out.bias"), &self.out.bias));
        }
        all
    }

    /// The same weights in the same order.
    pub(crate) fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.hidden.weight, &mut self.hidden.bias];
        all.push(&mut self.out.weight);
        if self.out_bias {
            all.push(&mut self.out.bias);
        }
        all
    }
}

/// A layer whose weight and bias start from `U(±1/√d_in)`.
pub(crate) fn default_linear(
    d_in: usize,
    d_out: usize,
    rng: &mut impl Rng,
    device: &Device,
) -> Linear {
    let bound = 1.0 / (d_in.max(1) as f32).sqrt();
    let mut draw = |rows, cols| {
        let mut m = Matrix::zeros(rows, cols);
        let unit = |rng: &mut _| 2.0 * RngExt::random::<f32>(rng) - 1.0;
        m.as_mut_slice().iter_mut().for_each(|v| *v = bound * unit(rng));
        Weight::new(&m, device)
    };
    Linear { weight: draw(d_in, d_out), bias: draw(1, d_out) }
}

/// Rows of users and of items out of those of all nodes.
pub(crate) fn split(nodes: Tensor<2>, n_users: usize) -> (Tensor<2>, Tensor<2>) {
    let n_items = nodes.dims()[0] - n_users;
    (nodes.clone().narrow(0, 0, n_users), nodes.narrow(0, n_users, n_items))
}
