//! Fused vectors of a batch's items, computed in shards and gathered, for losses over all of them.
//!
//! A softmax over the items of a batch does not fall apart into shards. As in contrastive training
//! on several devices, each worker fuses a share of the items, all vectors are gathered, each
//! worker computes the loss of its share of the examples against all of them, and the gradients of
//! the vectors go back to the workers that fused them. That the graph is cut at the vectors changes
//! no gradient (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited
//! Setup", RepL4NLP 2021).

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use quintet_tensor::{FitError, Fused, Fusion, Layer, Views, WeightGradients, tensor_to_vec};
use rand_chacha::ChaCha8Rng;

use crate::content_model::scaled;

/// What one worker fused: its items in the batch, and the graph behind their vectors.
pub(crate) struct FusedShard {
    range: Range<usize>,
    /// Fused vectors, then those of the heads, `[range, dim]` each.
    contents: Vec<Tensor<2>>,
    penalty: Option<Tensor<1>>,
}

impl FusedShard {
    /// Fuses the views of the items in `range`, vectors times `scale`; heads where they are wanted.
    pub(crate) fn new(
        fusion: &dyn Fusion,
        (range, views): (Range<usize>, &Views),
        (scale, heads): (f32, bool),
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let fused: Fused = scaled(fusion.forward_train(views, rng), scale);
        let mut contents = vec![fused.vectors.clone()];
        if heads {
            contents.extend(fused.stand_ins(views));
        }
        Self { range, contents, penalty: fused.penalty }
    }

    /// The gradients of the weights of `layer`, of which the fusion layer is a part, from those of
    /// all vectors: `grads[c]` is `[items, dim]`. The fusion layer's own penalty counts by the
    /// share of the items.
    pub(crate) fn backward(
        &self,
        layer: &impl Layer,
        grads: &[Vec<f32>],
    ) -> Result<WeightGradients, FitError> {
        let device = self.contents[0].device();
        let products = self.contents.iter().zip(grads).map(|(content, grads)| {
            let [rows, dim] = content.dims();
            let own = grads[self.range.start * dim..self.range.end * dim].to_vec();
            let own = Tensor::<2>::from_data(TensorData::new(own, [rows, dim]), &device);
            (content.clone() * own).sum()
        });
        let mut sum = products.fold(Tensor::zeros([1], &device), |sum, p| sum + p);
        if let Some(penalty) = &self.penalty {
            let all = grads[0].len() / self.contents[0].dims()[1].max(1);
            sum = sum + penalty.clone().mul_scalar(self.range.len() as f32 / all.max(1) as f32);
        }
        Ok(WeightGradients::take(layer, &mut sum.backward()))
    }

    /// What the layer's own penalty adds to the loss of a batch of `n_items`.
    pub(crate) fn penalty(&self, n_items: usize) -> Result<f64, FitError> {
        let Some(penalty) = &self.penalty else { return Ok(0.0) };
        let value = quintet_tensor::loss_value(penalty.clone())?;
        Ok(value * self.range.len() as f64 / n_items.max(1) as f64)
    }
}

/// The vectors of all items, `[items, dim]`, of the fusion and then of each head.
pub(crate) fn gather(shards: &[FusedShard]) -> Result<Vec<Vec<f32>>, FitError> {
    let n = shards.first().map_or(0, |shard| shard.contents.len());
    let mut all = vec![Vec::new(); n];
    for shard in shards {
        for (to, content) in all.iter_mut().zip(&shard.contents) {
            to.extend(tensor_to_vec(content.clone().inner()).map_err(FitError::Device)?);
        }
    }
    Ok(all)
}

/// Gathered vectors as leaves of a worker's own graph.
pub(crate) fn leaves(gathered: &[Vec<f32>], n_items: usize, device: &Device) -> Vec<Tensor<2>> {
    let leaf = |rows: &Vec<f32>| {
        let shape = [n_items, rows.len() / n_items.max(1)];
        Tensor::<2>::from_data(TensorData::new(rows.clone(), shape), device).require_grad()
    };
    gathered.iter().map(leaf).collect()
}

/// The gradients of the gathered vectors, summed over the workers in their order.
pub(crate) fn sum(parts: &[Vec<Vec<f32>>]) -> Vec<Vec<f32>> {
    let mut parts = parts.iter();
    let mut total = parts.next().cloned().unwrap_or_default();
    for part in parts {
        for (to, from) in total.iter_mut().zip(part) {
            to.iter_mut().zip(from).for_each(|(to, v)| *to += v);
        }
    }
    total
}
