//! A projection of the features of all modalities side by side.

use burn::prelude::*;
use quintet_core::Matrix;
use quintet_tensor::{Linear, Weight, matrix_to_tensor, normal_matrix, select_rows};
use rand::Rng;

use super::World;

/// `[x_1 ; x_2 ; …] W`: a block of `W` a modality, so that the features are never laid side by
/// side. Rows of an absent modality are zero and add nothing. No bias.
#[derive(Clone)]
pub(crate) struct Stacked {
    /// The biases stay zero: they are no weights of the model.
    blocks: Vec<Linear>,
    features: Vec<Tensor<2>>,
    /// `[n_items, 1]`, one where the item has a modality.
    any: Tensor<2>,
}

impl Stacked {
    /// Xavier-normal over the whole of `W`, `[Σ d_m, dim]`.
    pub(crate) fn new(world: &World, dim: usize, rng: &mut impl Rng) -> Self {
        let width: usize = world.features.iter().map(|f| f.dim()).sum();
        let std = (2.0 / (width + dim).max(1) as f32).sqrt();
        let device = &world.device;
        let mut block = |d_in| Linear {
            weight: Weight::new(&normal_matrix(d_in, dim, std, rng), device),
            bias: Weight::new(&Matrix::zeros(1, dim), device),
        };
        let mut any = Matrix::zeros(world.n_items(), 1);
        for (item, any) in any.as_mut_slice().iter_mut().enumerate() {
            *any = f32::from(u8::from(world.features.iter().any(|f| f.has()[item])));
        }
        Self {
            blocks: world.features.iter().map(|f| block(f.dim())).collect(),
            features: world.features.iter().map(|f| f.rows.clone()).collect(),
            any: matrix_to_tensor(&any, device),
        }
    }

    /// The projections of some items, `[items, dim]`.
    pub(crate) fn rows(&self, items: &[u32]) -> Tensor<2> {
        self.sum(|features| select_rows(features.clone(), items))
    }

    /// The projections of all items, `[n_items, dim]`.
    pub(crate) fn all(&self) -> Tensor<2> {
        self.sum(Tensor::clone)
    }

    /// One for each item that has a modality, `[n_items, 1]`.
    pub(crate) fn any(&self) -> Tensor<2> {
        self.any.clone()
    }

    /// The blocks of `W`, named after `name`.
    pub(crate) fn named(&self, name: &str) -> Vec<(String, &Weight)> {
        let blocks = self.blocks.iter().enumerate();
        blocks.map(|(m, block)| (format!("{name}.{m}"), &block.weight)).collect()
    }

    /// The blocks of `W`, to be changed.
    pub(crate) fn blocks_mut(&mut self) -> impl Iterator<Item = &mut Weight> {
        self.blocks.iter_mut().map(|block| &mut block.weight)
    }

    /// The blocks of `W`.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Tensor<2>> + '_ {
        self.blocks.iter().map(|block| block.weight.tensor())
    }

    fn sum(&self, input: impl Fn(&Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let parts = self.blocks.iter().zip(&self.features);
        let parts = parts.map(|(block, features)| block.forward(input(features)));
        // Models that use it read at least one modality.
        parts.reduce(|a, b| a + b).unwrap_or_else(|| unreachable!("a projection of no features"))
    }
}
