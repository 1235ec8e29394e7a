//! The most likely set of a determinantal point process, greedily.
//!
//! Chen, Zhang & Zhou, "Fast Greedy MAP Inference for Determinantal Point Process to Improve
//! Recommendation Diversity", NeurIPS 2018. The kernel is `L_ij = q_i q_j (s_ij + ε δ_ij)` with `q =
//! e^{θ r / 2}`, relevance `r` scaled to `[0, 1]` and the cosine `s`; the next item adds most to
//! `ln det L`. An item without a vector is similar to nothing. Where nothing more can be added (all
//! candidates lie in the span of what is chosen) the rest follows by relevance.
//! Cost: `O(k² · candidates + k · candidates · dim)`.

use quintet_core::{Modality, Scored};

use crate::context::{RuleContext, cosine};
use crate::relevance;

/// Added to the diagonal: two items of one vector are nearly, not quite, impossible together.
const RIDGE: f64 = 1e-6;

pub(crate) fn dpp(
    context: &RuleContext,
    list: &[Scored],
    k: usize,
    theta: f32,
    modality: Modality,
) -> Vec<Scored> {
    let n = list.len();
    let quality: Vec<f64> =
        relevance(list).iter().map(|r| f64::from(theta * r / 2.0).exp()).collect();
    let entry = |i: usize, j: usize| {
        let a = context.vector(modality, list[i].item);
        let same = if i == j { 1.0 + RIDGE } else { 0.0 };
        // The cosine of an item with itself is 1, also without a vector.
        let s = if i == j { 0.0 } else { cosine(a, context.vector(modality, list[j].item)) };
        quality[i] * quality[j] * (s + same)
    };
    let mut left: Vec<usize> = (0..n).collect();
    let mut gain: Vec<f64> = (0..n).map(|i| entry(i, i)).collect();
    // Rows of the Cholesky factor of what is chosen, extended to every candidate.
    let mut factors: Vec<Vec<f64>> = vec![Vec::new(); n];
    let mut picks = Vec::with_capacity(k.min(n));
    while picks.len() < k && !left.is_empty() {
        let largest = |a: &usize, b: &usize| if gain[*b] > gain[*a] { *b } else { *a };
        let Some(pick) = left.iter().copied().reduce(|a, b| largest(&a, &b)) else { break };
        if gain[pick] <= 0.0 {
            break;
        }
        left.retain(|&i| i != pick);
        picks.push(pick);
        let root = gain[pick].sqrt();
        let of_pick = factors[pick].clone();
        for &i in &left {
            let along: f64 = of_pick.iter().zip(&factors[i]).map(|(a, b)| a * b).sum();
            let e = (entry(pick, i) - along) / root;
            factors[i].push(e);
            gain[i] -= e * e;
        }
    }
    let missing = k.saturating_sub(picks.len());
    picks.extend(left.into_iter().take(missing));
    picks.into_iter().map(|i| list[i]).collect()
}
