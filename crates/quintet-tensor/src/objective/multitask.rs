//! One objective of several.
//!
//! ```text
//! fixed         Σ_k w_k L_k
//! uncertainty   Σ_k ½ e^{-a_k} L_k + ½ a_k ,  a_k learned, 0 at the start
//! PCGrad        g_k ← g_k - (g_k·g_j / ‖g_j‖²) g_j  for each j with g_k·g_j < 0 ;  Σ_k g_k
//! Pareto        w on the simplex with the least ‖Σ_k w_k g_k‖²
//! GradNorm      in a file of its own
//! ```
//! Kendall, Gal & Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses", CVPR 2018 (one
//! parameter a task). Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020. Sener &
//! Koltun, "Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018; its Frank–Wolfe
//! steps move weight from the worst task to the best (Lacoste-Julien & Jaggi, "On the Global Linear
//! Convergence of Frank-Wolfe Optimization Variants", NeurIPS 2015). Gradients are those of the
//! shared weights, flat, one a task. Cost `O(k² · width)`.

use burn::prelude::*;
use quintet_core::Matrix;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::{Layer, Weight, index_tensor};

/// `Σ_k weights[k] · losses[k]`.
///
/// # Panics
/// Without a loss, or with another number of weights.
pub fn weighted_sum(losses: &[Tensor<1>], weights: &[f32]) -> Tensor<1> {
    assert!(!losses.is_empty(), "an objective has at least one term");
    assert_eq!(losses.len(), weights.len(), "one weight a loss");
    let first = losses[0].clone() * weights[0];
    losses[1..].iter().zip(&weights[1..]).fold(first, |sum, (l, w)| sum + l.clone() * *w)
}

/// Weights that are learned from how uncertain each task is. Losses must not be negative.
#[derive(Debug, Clone)]
pub struct UncertaintyWeights {
    /// `[1, n_tasks]`, the log variance of each task.
    pub log_variance: Weight,
}

impl UncertaintyWeights {
    /// All log variances zero: the mean of the losses times `n_tasks / 2`.
    pub fn new(n_tasks: usize, device: &Device) -> Self {
        Self { log_variance: Weight::new(&Matrix::zeros(1, n_tasks), device) }
    }

    /// `Σ_k ½ e^{-a_k} losses[k] + ½ a_k`.
    ///
    /// # Panics
    /// With another number of losses than tasks.
    pub fn total(&self, losses: &[Tensor<1>]) -> Tensor<1> {
        let a = self.log_variance.tensor();
        let [_, n] = a.dims();
        assert_eq!(losses.len(), n, "one loss a task");
        let losses = Tensor::cat(losses.to_vec(), 0).reshape([1, n]);
        (a.clone().neg().exp() * losses + a).sum() * 0.5
    }

    /// As [`UncertaintyWeights::total`] over the tasks that have a loss; the others keep their
    /// weights. None where no task has one.
    ///
    /// # Panics
    /// With another number of losses than tasks.
    pub fn total_of(&self, losses: &[Option<Tensor<1>>]) -> Option<Tensor<1>> {
        let a = self.log_variance.tensor();
        assert_eq!(losses.len(), a.dims()[1], "one loss a task, or none");
        let device = losses.iter().flatten().next()?.device();
        let known: Vec<u32> =
            (0..losses.len() as u32).filter(|k| losses[*k as usize].is_some()).collect();
        let n = known.len();
        let a = a.select(1, index_tensor(&known, &device));
        let losses = Tensor::cat(losses.iter().flatten().cloned().collect(), 0).reshape([1, n]);
        Some((a.clone().neg().exp() * losses + a).sum() * 0.5)
    }
}

impl Layer for UncertaintyWeights {
    fn weights(&self) -> Vec<(String, &Weight)> {
        vec![("log_variance".into(), &self.log_variance)]
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        vec![&mut self.log_variance]
    }
}

/// PCGrad: takes out of each gradient what conflicts with the others, in an order drawn from
/// `rng`, in place, and gives their sum.
///
/// # Panics
/// When the gradients differ in length.
pub fn project_conflicts(gradients: &mut [Vec<f32>], rng: &mut impl Rng) -> Vec<f32> {
    check_lengths(gradients);
    let given = gradients.to_vec();
    for (k, gradient) in gradients.iter_mut().enumerate() {
        let mut others: Vec<usize> = (0..given.len()).filter(|&j| j != k).collect();
        others.shuffle(rng);
        for other in others.into_iter().map(|j| &given[j]) {
            let (along, square) = (product(gradient, other), product(other, other));
            if along < 0.0 {
                // A negative product means that `other` is not zero.
                let share = (along / square) as f32;
                gradient.iter_mut().zip(other).for_each(|(g, o)| *g -= share * o);
            }
        }
    }
    combine_gradients(gradients, &vec![1.0; gradients.len()])
}

/// The weights, on the simplex, of the shortest convex combination of the gradients: a direction
/// in which no task gets worse, or zero where there is none. Equal for equal gradients.
///
/// # Panics
/// When the gradients differ in length.
pub fn pareto_weights(gradients: &[Vec<f32>]) -> Vec<f32> {
    const STEPS: usize = 1000;
    check_lengths(gradients);
    let n = gradients.len();
    let gram: Vec<Vec<f64>> =
        gradients.iter().map(|a| gradients.iter().map(|b| product(a, b)).collect()).collect();
    let mut weights = vec![1.0 / n as f64; n];
    let scale = (0..n).map(|k| gram[k][k]).fold(0.0, f64::max);
    for _ in 0..STEPS {
        // Half the slope of the squared length in each weight.
        let slope: Vec<f64> =
            gram.iter().map(|row| row.iter().zip(&weights).map(|(g, w)| g * w).sum()).collect();
        let best = (0..n).min_by(|&a, &b| slope[a].total_cmp(&slope[b]));
        let held = (0..n).filter(|&k| weights[k] > 0.0);
        let worst = held.max_by(|&a, &b| slope[a].total_cmp(&slope[b]));
        let (Some(best), Some(worst)) = (best, worst) else { break };
        if slope[worst] - slope[best] <= 1e-12 * scale {
            break;
        }
        let curve = gram[best][best] - 2.0 * gram[best][worst] + gram[worst][worst];
        let most = weights[worst];
        let step = (slope[worst] - slope[best]) / curve;
        // Rounding can make the curve of two nearly equal gradients zero or less.
        let step = if step.is_finite() && step > 0.0 { step.min(most) } else { most };
        weights[best] += step;
        weights[worst] = if step < most { most - step } else { 0.0 };
    }
    weights.into_iter().map(|w| w as f32).collect()
}

/// `Σ_k weights[k] · gradients[k]`; empty without a gradient.
///
/// # Panics
/// When the gradients differ in length, or there is another number of weights.
pub fn combine_gradients(gradients: &[Vec<f32>], weights: &[f32]) -> Vec<f32> {
    check_lengths(gradients);
    assert_eq!(gradients.len(), weights.len(), "one weight a gradient");
    let mut sum = vec![0.0f32; gradients.first().map_or(0, Vec::len)];
    for (gradient, weight) in gradients.iter().zip(weights) {
        sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += weight * g);
    }
    sum
}

fn check_lengths(gradients: &[Vec<f32>]) {
    let equal = gradients.windows(2).all(|w| w[0].len() == w[1].len());
    assert!(equal, "gradients of the same shared weights have one length");
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let near = found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-5);
        assert!(near, "expected {expected:?}, found {found:?}");
    }

    #[test]
    fn a_task_without_a_loss_keeps_its_weight() {
        let device = Device::flex().autodiff();
        let mut tasks = UncertaintyWeights::new(3, &device);
        let start = Matrix::from_vec(1, 3, vec![0.0, 7.0, 1.0]).unwrap();
        tasks.log_variance = Weight::new(&start, &device);
        let loss = |x: f32| Some(Tensor::<1>::from_floats([x], &device));
        let total = tasks.total_of(&[loss(2.0), None, loss(3.0)]).unwrap();
        let value = crate::tensor_to_vec(total.clone().inner()).unwrap();
        // ½ (2 + 0) + ½ (3 e^{-1} + 1)
        close(&value, &[1.0 + 0.5 * (3.0 * (-1.0f32).exp() + 1.0)]);
        let grads = total.backward();
        let slopes = tasks.log_variance.tensor().grad(&grads).unwrap();
        let slopes = crate::tensor_to_vec(slopes).unwrap();
        close(&slopes, &[-0.5, 0.0, 0.5 - 1.5 * (-1.0f32).exp()]);
        assert!(tasks.total_of(&[None, None, None]).is_none());
    }

    #[test]
    fn conflicting_gradients_lose_what_conflicts() {
        let mut rng = SeedStream::new(1).rng("pcgrad", 0);
        // (1, 0)·(-1, 1) = -1. First: (1, 0) + ½ (-1, 1) = (½, ½). Second: (-1, 1) + (1, 0).
        let mut gradients = vec![vec![1.0, 0.0], vec![-1.0, 1.0]];
        close(&project_conflicts(&mut gradients, &mut rng), &[0.5, 1.5]);
        close(&gradients[0], &[0.5, 0.5]);
        // Without a conflict nothing changes, a zero gradient included.
        let mut gradients = vec![vec![1.0, 0.0], vec![1.0, 1.0], vec![0.0, 0.0]];
        close(&project_conflicts(&mut gradients, &mut rng), &[2.0, 1.0]);
        assert!(project_conflicts(&mut [], &mut rng).is_empty());
    }

    #[test]
    fn the_shortest_combination_by_hand() {
        // w_1 = clip((g_2 - g_1)·g_2 / ‖g_1 - g_2‖², 0, 1) = ((-2)(-1) + 1) / 5
        close(&pareto_weights(&[vec![1.0, 0.0], vec![-1.0, 1.0]]), &[0.6, 0.4]);
        // The first is the shortest already: (1)(2)/1 clipped to 1.
        close(&pareto_weights(&[vec![1.0, 0.0], vec![2.0, 0.0]]), &[1.0, 0.0]);
        // Lengths 1, 2, 3 along the axes: w_k ∝ 1 / length², 36 : 9 : 4.
        let axes = [vec![1.0, 0.0, 0.0], vec![0.0, 2.0, 0.0], vec![0.0, 0.0, 3.0]];
        close(&pareto_weights(&axes), &[36.0 / 49.0, 9.0 / 49.0, 4.0 / 49.0]);
        close(&pareto_weights(&vec![vec![0.5, 2.0]; 4]), &[0.25; 4]);
        close(&pareto_weights(&[vec![3.0]]), &[1.0]);
        assert!(pareto_weights(&[]).is_empty());
    }
}
