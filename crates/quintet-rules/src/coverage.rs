//! Lists that cover the categories of a user.
//!
//! ```text
//! xQuAD        (1 - λ) r_i + λ Σ_c p(c|u) p(c|i) Π_{j chosen} (1 - p(c|j))
//! calibrated   (1 - λ) Σ_{i chosen} r_i / k - λ KL(p(·|u) ‖ (1 - α) q + α p(·|u)),   α = 0.01
//! ```
//! Santos, Macdonald & Ounis, "Exploiting Query Reformulations for Web Search Result
//! Diversification", WWW 2010; Steck, "Calibrated Recommendations", RecSys 2018. `p(c|u)` are the
//! mean shares of categories in the history, `q` those of the chosen items, `r` relevance scaled to
//! `[0, 1]` within the candidates. A user without history has the mean shares of the candidates.
//! Cost: `O(k · candidates · categories of an item)` and `O(k · candidates · categories)`.

use std::cell::RefCell;

use quintet_core::{ItemIdx, Scored};

use crate::context::RuleContext;
use crate::{greedy, relevance};

/// How much of the user's own shares is mixed into the list's, so that its logarithm is finite.
const ALPHA: f64 = 0.01;

/// The shares that a list should cover.
fn wanted(context: &RuleContext, history: &[ItemIdx], list: &[Scored]) -> Vec<f64> {
    let known = history.iter().any(|i| !context.shares(*i).is_empty());
    if known {
        return context.mean_shares(history);
    }
    let items: Vec<ItemIdx> = list.iter().map(|s| s.item).collect();
    context.mean_shares(&items)
}

pub(crate) fn xquad(
    context: &RuleContext,
    history: &[ItemIdx],
    list: &[Scored],
    k: usize,
    lambda: f32,
) -> Vec<Scored> {
    let (relevance, lambda) = (relevance(list), f64::from(lambda));
    let wanted = wanted(context, history, list);
    // How much of each category is not covered yet.
    let open = RefCell::new(vec![1.0f64; context.n_categories()]);
    let value = |i: usize| {
        let open = open.borrow();
        let shares = context.shares(list[i].item).iter();
        let covers: f64 =
            shares.map(|(c, s)| wanted[*c as usize] * f64::from(*s) * open[*c as usize]).sum();
        (1.0 - lambda) * f64::from(relevance[i]) + lambda * covers
    };
    let chosen = |pick: usize| {
        let mut open = open.borrow_mut();
        for (c, share) in context.shares(list[pick].item) {
            open[*c as usize] *= 1.0 - f64::from(*share);
        }
    };
    greedy(list.len(), k, value, chosen).into_iter().map(|i| list[i]).collect()
}

pub(crate) fn calibrated(
    context: &RuleContext,
    history: &[ItemIdx],
    list: &[Scored],
    k: usize,
    lambda: f32,
) -> Vec<Scored> {
    let (relevance, lambda) = (relevance(list), f64::from(lambda));
    let wanted = wanted(context, history, list);
    // Sums of shares of the chosen items, and how many have any.
    let covered = RefCell::new((vec![0.0f64; context.n_categories()], 0usize));
    let value = |i: usize| {
        let covered = covered.borrow();
        let shares = context.shares(list[i].item);
        let n = (covered.1 + usize::from(!shares.is_empty())).max(1) as f64;
        let mut sums = covered.0.clone();
        shares.iter().for_each(|(c, s)| sums[*c as usize] += f64::from(*s));
        let apart: f64 = wanted
            .iter()
            .zip(&sums)
            .filter(|(p, _)| **p > 0.0)
            .map(|(p, q)| p * (p / ((1.0 - ALPHA) * q / n + ALPHA * p)).ln())
            .sum();
        // What was chosen before adds the same to every candidate.
        (1.0 - lambda) * f64::from(relevance[i]) / k.max(1) as f64 - lambda * apart
    };
    let chosen = |pick: usize| {
        let mut covered = covered.borrow_mut();
        let shares = context.shares(list[pick].item);
        shares.iter().for_each(|(c, s)| covered.0[*c as usize] += f64::from(*s));
        covered.1 += usize::from(!shares.is_empty());
    };
    greedy(list.len(), k, value, chosen).into_iter().map(|i| list[i]).collect()
}
