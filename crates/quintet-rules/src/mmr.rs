//! Maximal marginal relevance.
//!
//! Carbonell & Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and
//! Producing Summaries", SIGIR 1998. The next item is the one of the largest `λ r_i - (1 - λ) max_j
//! s_ij` over what is chosen already, with relevance `r` scaled to `[0, 1]` within the candidates
//! and the cosine of the features as similarity. An item without a vector is similar to nothing.
//! Cost: `O(k · candidates · dim)`.

use quintet_core::{Modality, Scored};

use crate::context::{RuleContext, cosine};
use crate::{greedy, relevance};

pub(crate) fn mmr(
    context: &RuleContext,
    list: &[Scored],
    k: usize,
    lambda: f32,
    modality: Modality,
) -> Vec<Scored> {
    let relevance = relevance(list);
    let lambda = f64::from(lambda);
    let nearest = std::cell::RefCell::new(vec![None::<f64>; list.len()]);
    let value = |i: usize| {
        let near = nearest.borrow()[i].unwrap_or(0.0);
        lambda * f64::from(relevance[i]) - (1.0 - lambda) * near
    };
    let chosen = |pick: usize| {
        let of_pick = context.vector(modality, list[pick].item);
        for (near, scored) in nearest.borrow_mut().iter_mut().zip(list) {
            let similarity = cosine(of_pick, context.vector(modality, scored.item));
            *near = Some(near.map_or(similarity, |n| n.max(similarity)));
        }
    };
    greedy(list.len(), k, value, chosen).into_iter().map(|i| list[i]).collect()
}
