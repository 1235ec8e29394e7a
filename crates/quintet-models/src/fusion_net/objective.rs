//! What a step minimises: to rank, or the tasks of the heads, and variety beside them.

use burn::tensor::{Tensor, TensorData};
use quintet_tensor::{
    FitError, GradNorm, Robust, combine_gradients, loss_value, pareto_weights, project_conflicts,
    tensor_to_vec, weighted_sum,
};
use rand_chacha::ChaCha8Rng;

use super::batch::StepBatch;
use super::net::FusionNet;
use super::{FusionNetConfig, Weighting};

/// One term of the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Without heads.
    Rank,
    /// By its number.
    Head(usize),
    Variety,
}

/// Everything that the objective of a step is made of.
pub(super) struct Objective<'a> {
    pub(super) net: &'a FusionNet,
    pub(super) batch: &'a StepBatch,
    /// What lists are varied in, `[items, width]`.
    pub(super) facts: Option<Tensor<2>>,
    pub(super) config: &'a FusionNetConfig,
    pub(super) robust: Option<Robust>,
}

/// What is to be minimised, and its value: they differ where gradients are combined.
pub(super) type Minimised = (Tensor<1>, Tensor<1>);

/// The value of a term and its gradient at the vectors, those of users first.
type Slope = (f32, Vec<f32>);

/// Vectors of users and items of a step, which all weights below share.
type Vectors = (Tensor<2>, Tensor<2>);

/// How terms are brought together, by the parameters alone.
pub(super) fn weighting(config: &FusionNetConfig) -> Weighting {
    match (&config.tasks, config.diversity) {
        (Some(tasks), _) => tasks.weighting,
        (None, Some(diversity)) => diversity.weighting,
        (None, None) => Weighting::Fixed,
    }
}

/// How many terms there are, by the parameters alone, whose heads are named.
pub(super) fn n_goals(config: &FusionNetConfig) -> usize {
    config.tasks.as_ref().map_or(1, |tasks| tasks.n_heads())
        + usize::from(config.diversity.is_some())
}

impl Objective<'_> {
    fn goals(&self) -> Vec<Goal> {
        let mut goals = match &self.net.heads {
            Some(heads) => (0..heads.all.len()).map(Goal::Head).collect(),
            None => vec![Goal::Rank],
        };
        goals.extend(self.config.diversity.map(|_| Goal::Variety));
        goals
    }

    /// A term; none where the step says nothing of it.
    fn loss(&self, goal: Goal, (u, v): &Vectors) -> Option<Tensor<1>> {
        match goal {
            Goal::Rank => Some(self.batch.rank(u, v, (self.config.loss, self.robust))),
            Goal::Head(k) => {
                let heads = self.net.heads.as_ref()?;
                let (rows, labels) = (self.batch.pair_rows(u, v)?, self.batch.labels()?);
                heads.loss(k, &rows, labels, (self.config.loss, self.robust))
            }
            Goal::Variety => {
                let temperature = self.config.diversity?.temperature;
                let distance = self.batch.distance((u, v), self.facts.as_ref()?, temperature)?;
                Some(distance.neg() + 1.0)
            }
        }
    }

    fn losses(&self, vectors: &Vectors) -> Vec<Option<Tensor<1>>> {
        self.goals().into_iter().map(|goal| self.loss(goal, vectors)).collect()
    }

    /// The objective at these vectors.
    ///
    /// # Errors
    /// The device failed.
    pub(super) fn at(
        &self,
        vectors: Vectors,
        balance: Option<&mut GradNorm>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Minimised, FitError> {
        let nothing = || Tensor::zeros([1], &vectors.0.device());
        let way = weighting(self.config);
        if matches!(way, Weighting::Pareto | Weighting::PcGrad) {
            return self.combined(vectors, way, rng);
        }
        let losses = self.losses(&vectors);
        let total = match (&self.net.tasks, balance) {
            (Some(tasks), _) => tasks.total_of(&losses),
            (None, Some(balance)) => {
                let lengths = self.gradients(&vectors)?;
                let known: Vec<Option<(f32, f32)>> = lengths
                    .iter()
                    .map(|task| task.as_ref().map(|(loss, g)| (*loss, length(g))))
                    .collect();
                summed(&losses, balance.step(&known))
            }
            (None, None) => {
                let varied =
                    self.config.diversity.filter(|_| matches!(losses.last(), Some(Some(_))));
                // `L - weight ILD` is stated; the term is `weight (1 - ILD)`.
                let offset = varied.map_or(0.0, |diversity| diversity.weight);
                summed(&losses, &self.fixed_weights()).map(|sum| sum - offset)
            }
        };
        let total = total.unwrap_or_else(nothing);
        Ok((total.clone(), total))
    }

    fn fixed_weights(&self) -> Vec<f32> {
        let mut weights = match &self.config.tasks {
            Some(tasks) => tasks.fixed_weights(),
            None => vec![1.0],
        };
        weights.extend(self.config.diversity.map(|diversity| diversity.weight));
        weights
    }

    /// The value and the gradient of each term.
    fn gradients(&self, (u, v): &Vectors) -> Result<Vec<Option<Slope>>, FitError> {
        let one = |goal: Goal| -> Result<Option<Slope>, FitError> {
            let leaf = |x: &Tensor<2>| x.clone().detach().require_grad();
            let leaves = (leaf(u), leaf(v));
            let Some(loss) = self.loss(goal, &leaves) else { return Ok(None) };
            let mut grads = loss.clone().backward();
            let mut flat = Vec::new();
            for leaf in [&leaves.0, &leaves.1] {
                match leaf.grad_remove(&mut grads) {
                    Some(grad) => flat.extend(tensor_to_vec(grad).map_err(FitError::Device)?),
                    None => flat.resize(flat.len() + leaf.dims().iter().product::<usize>(), 0.0),
                }
            }
            Ok(Some((loss_value(loss)? as f32, flat)))
        };
        self.goals().into_iter().map(one).collect()
    }

    /// Combines the gradients at the vectors. Terms that the step says nothing of take no part:
    /// to the shortest combination a gradient of zero would be the best of all.
    fn combined(
        &self,
        vectors: Vectors,
        way: Weighting,
        rng: &mut ChaCha8Rng,
    ) -> Result<Minimised, FitError> {
        let found: Vec<Slope> = self.gradients(&vectors)?.into_iter().flatten().collect();
        let device = vectors.0.device();
        if found.is_empty() {
            let nothing = Tensor::zeros([1], &device);
            return Ok((nothing.clone(), nothing));
        }
        let (values, mut gradients): (Vec<f32>, Vec<Vec<f32>>) = found.into_iter().unzip();
        let (whole, weights) = match way {
            Weighting::PcGrad => (project_conflicts(&mut gradients, rng), vec![1.0; values.len()]),
            _ => {
                let weights = pareto_weights(&gradients);
                (combine_gradients(&gradients, &weights), weights)
            }
        };
        let value: f32 = values.iter().zip(&weights).map(|(value, w)| value * w).sum();
        let (u, v) = vectors;
        let (of_u, of_v) = whole.split_at(u.dims().iter().product());
        // The gradient of a sum of products with a constant is the constant.
        let along = |x: Tensor<2>, grad: &[f32]| {
            let grad = TensorData::new(grad.to_vec(), x.dims());
            (x * Tensor::<2>::from_data(grad, &device)).sum()
        };
        let fixed = (u.clone().detach(), v.clone().detach());
        let mut total = along(u, of_u) + along(v, of_v);
        // Weights of a head belong to its task alone.
        for goal in self.goals().into_iter().filter(|goal| matches!(goal, Goal::Head(_))) {
            if let Some(own) = self.loss(goal, &fixed) {
                total = total + own;
            }
        }
        Ok((total, Tensor::from_floats([value], &device)))
    }
}

/// The weighted sum of the terms there are.
fn summed(losses: &[Option<Tensor<1>>], weights: &[f32]) -> Option<Tensor<1>> {
    let there = losses.iter().zip(weights).filter_map(|(loss, w)| Some((loss.clone()?, *w)));
    let (losses, weights): (Vec<Tensor<1>>, Vec<f32>) = there.unzip();
    (!losses.is_empty()).then(|| weighted_sum(&losses, &weights))
}

fn length(gradient: &[f32]) -> f32 {
    gradient.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt() as f32
}
