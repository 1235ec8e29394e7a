//! Projections, layers, and the objective of a step.

use burn::tensor::{Device, Tensor, TensorData, activation};
use quintet_core::{Matrix, SeedStream};
use quintet_tensor::{
    Dropout, FitError, Layer, Linear, UncertaintyWeights, Views, Weight, combine_gradients,
    pareto_weights, tensor_to_vec, unit_rows, weighted_sum, xavier_normal,
};

use super::batch::StepBatch;
use super::{FusionNetConfig, Weighting};
use crate::content::ContentMap;
use crate::content_model::prefixed;

/// Everything but the tables.
pub(super) struct FusionNet {
    /// `W_m`, `[d_m, dim]`.
    projections: Vec<Weight>,
    /// `b`, `[1, dim]`.
    bias: Weight,
    item_layers: Vec<Linear>,
    user_layers: Vec<Linear>,
    /// Where the weights of the objectives are learned.
    tasks: Option<UncertaintyWeights>,
    dim: usize,
}

/// The content of items side by side, each row of length 1 (0 for an item without any): what lists
/// are varied in.
pub(super) fn facts(views: &Views) -> Tensor<2> {
    let blocks = (0..views.modalities.len()).map(|m| views.masked(m)).collect();
    unit_rows(Tensor::cat(blocks, 1)).detach()
}

impl FusionNet {
    pub(super) fn new(
        config: &FusionNetConfig,
        map: Option<&ContentMap>,
        seed: SeedStream,
        device: &Device,
    ) -> Self {
        let dim = config.dim;
        let mut rng = seed.rng("fusion-net-init", 0);
        let widths = map.map(|map| map.shape(dim).modalities).unwrap_or_default();
        let projections = widths
            .iter()
            .map(|&(_, width)| Weight::new(&xavier_normal(width, dim, &mut rng), device))
            .collect();
        let mut layers =
            |n: usize| (0..n).map(|_| Linear::new(dim, dim, &mut rng, device)).collect();
        let (item_layers, user_layers) = (layers(config.layers), layers(config.user_layers));
        let learned = config.diversity.is_some_and(|d| d.weighting == Weighting::Uncertainty);
        Self {
            projections,
            bias: Weight::new(&Matrix::zeros(1, dim), device),
            item_layers,
            user_layers,
            tasks: learned.then(|| UncertaintyWeights::new(2, device)),
            dim,
        }
    }

    /// `v_i`, `[n, dim]`, from views and ids; at least one of them is there.
    pub(super) fn items(
        &self,
        views: Option<&Views>,
        ids: Option<Tensor<2>>,
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        // A row that is absent is zero, and projections have no bias.
        let seen = views.into_iter().flat_map(|views| {
            let all = self.projections.iter().enumerate();
            all.map(|(m, weight)| views.masked(m).matmul(weight.tensor()))
        });
        let sum = seen.chain(ids).fold(self.bias.tensor(), |sum, part| part + sum);
        through(&self.item_layers, sum, dropout)
    }

    /// Vectors of users from their embeddings.
    pub(super) fn users(&self, embeddings: Tensor<2>, dropout: &mut Dropout) -> Tensor<2> {
        through(&self.user_layers, embeddings, dropout)
    }

    /// What is to be minimised, and its value: they differ where gradients are combined.
    pub(super) fn objective(
        &self,
        batch: &StepBatch,
        (u, v): (Tensor<2>, Tensor<2>),
        facts: Option<Tensor<2>>,
        config: &FusionNetConfig,
    ) -> Result<(Tensor<1>, Tensor<1>), FitError> {
        let both = config.diversity.zip(facts);
        let Some((diversity, facts)) = both else {
            let loss = batch.rank(&u, &v);
            return Ok((loss.clone(), loss));
        };
        let distance = |u: &Tensor<2>, v: &Tensor<2>| {
            let distance = batch.distance((u, v), &facts, diversity.temperature);
            distance.unwrap_or_else(|| Tensor::zeros([1], &u.device()))
        };
        if diversity.weighting == Weighting::Pareto {
            let near = |u: &Tensor<2>, v: &Tensor<2>| distance(u, v).neg() + 1.0;
            return pareto((u, v), [&|u, v| batch.rank(u, v), &near]);
        }
        let (rank, distance) = (batch.rank(&u, &v), distance(&u, &v));
        let loss = match &self.tasks {
            Some(tasks) => tasks.total(&[rank, distance.neg() + 1.0]),
            None => weighted_sum(&[rank, distance], &[1.0, -diversity.weight]),
        };
        Ok((loss.clone(), loss))
    }
}

/// `h ← W drop(ReLU(h)) + b` for each layer.
fn through(layers: &[Linear], mut h: Tensor<2>, dropout: &mut Dropout) -> Tensor<2> {
    for layer in layers {
        h = layer.forward(dropout.apply(activation::relu(h)));
    }
    h
}

/// A loss of vectors of users and items.
type LossOf<'a> = &'a dyn Fn(&Tensor<2>, &Tensor<2>) -> Tensor<1>;

/// Weighs losses by their gradients at the vectors of users and items, which all weights below
/// share. The first result has the combined gradient, the second the weighted value.
fn pareto(
    (u, v): (Tensor<2>, Tensor<2>),
    losses: [LossOf<'_>; 2],
) -> Result<(Tensor<1>, Tensor<1>), FitError> {
    let (mut gradients, mut values) = (Vec::new(), Vec::new());
    for loss in losses {
        let (u, v) = (u.clone().detach().require_grad(), v.clone().detach().require_grad());
        let value = loss(&u, &v);
        let mut grads = value.clone().backward();
        let mut flat = Vec::new();
        for leaf in [&u, &v] {
            match leaf.grad_remove(&mut grads) {
                Some(grad) => flat.extend(tensor_to_vec(grad).map_err(FitError::Device)?),
                None => flat.resize(flat.len() + leaf.dims().iter().product::<usize>(), 0.0),
            }
        }
        gradients.push(flat);
        values.push(value.detach());
    }
    let weights = pareto_weights(&gradients);
    let whole = combine_gradients(&gradients, &weights);
    let (of_u, of_v) = whole.split_at(u.dims().iter().product());
    // The gradient of a sum of products with a constant is the constant.
    let along = |x: Tensor<2>, grad: &[f32]| {
        let grad = Tensor::<2>::from_data(TensorData::new(grad.to_vec(), x.dims()), &x.device());
        (x * grad).sum()
    };
    Ok((along(u, of_u) + along(v, of_v), weighted_sum(&values, &weights)))
}

impl Layer for FusionNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let named = |(m, weight)| (format!("projection.{m}"), weight);
        let mut all: Vec<_> = self.projections.iter().enumerate().map(named).collect();
        all.push(("bias".into(), &self.bias));
        for (side, layers) in [("item", &self.item_layers), ("user", &self.user_layers)] {
            for (l, layer) in layers.iter().enumerate() {
                all.extend(prefixed(&format!("{side}.{l}."), layer));
            }
        }
        all.extend(self.tasks.iter().flat_map(|tasks| prefixed("tasks.", tasks)));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all: Vec<_> = self.projections.iter_mut().collect();
        all.push(&mut self.bias);
        let layers = self.item_layers.iter_mut().chain(&mut self.user_layers);
        all.extend(layers.flat_map(Layer::weights_mut));
        all.extend(self.tasks.iter_mut().flat_map(Layer::weights_mut));
        all
    }
}

impl FusionNet {
    /// Width of all vectors.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }
}
