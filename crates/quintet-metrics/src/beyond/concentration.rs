//! How evenly all lists together use the catalogue: Gini index and Shannon entropy.
//!
//! `x_1 ≤ … ≤ x_n` are the places that each of `n` items has in all lists, items without a place
//! included. `Gini = Σ (2i - n - 1) x_i / (n Σ x_i)`: 0 for equal use, `1 - 1/n` for one item
//! everywhere. `Entropy = -Σ p_i ln p_i` in nats, `p_i = x_i / Σ x`.
//!
//! In the registry higher is better, so there they are `gini_complement = 1 - Gini` and `entropy =
//! Entropy / ln n`, both 1 for equal use; lists without any item give 0. Differences: Castells,
//! Hurley and Vargas divide Gini by `n - 1`; RecBole divides by `n`, as here.
//!
//! Papers: Gini, "Variabilità e mutabilità", 1912, in recommendation Fleder and Hosanagar,
//! "Blockbuster Culture's Next Rise or Fall", Management Science 55(5), 2009; Shannon, "A
//! Mathematical Theory of Communication", 1948, in recommendation Szlávik, Kowalczyk, Schut,
//! "Diversity Measurement of Recommender Systems under Different User Choice Models", ICWSM 2011.
//! Cost: O(places + items log items).

use crate::{MetricEntry, MetricKind, RankedLists};

/// The registry entry of the Gini index.
pub(crate) const GINI_COMPLEMENT: MetricEntry = MetricEntry {
    name: "gini_complement",
    summary: "1 - Gini index of how often items are shown; 1 when all are shown equally often",
    kind: MetricKind::Whole(gini_complement),
};

/// The registry entry of the entropy.
pub(crate) const ENTROPY: MetricEntry = MetricEntry {
    name: "entropy",
    summary: "Shannon entropy of the items' shares of all lists, over that of equal shares",
    kind: MetricKind::Whole(entropy),
};

/// The Gini index of counts, `[n]`, zeros included: 0 when all are equal. No count at all, or
/// only zeros, give 0.
pub fn gini(counts: &[u64]) -> f64 {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    let (n, total) = (sorted.len() as i128, sorted.iter().map(|x| i128::from(*x)).sum::<i128>());
    if total == 0 {
        return 0.0;
    }
    // Whole numbers, so that equal counts give exactly 0.
    let weighted: i128 =
        (1..).zip(&sorted).map(|(i, x): (i128, &u64)| (2 * i - n - 1) * i128::from(*x)).sum();
    weighted as f64 / (n * total) as f64
}

/// The entropy of the shares of counts, in nats: `ln n` when `n` counts are equal. No count at
/// all, or only zeros, give 0.
pub fn shannon_entropy(counts: &[u64]) -> f64 {
    let total = counts.iter().sum::<u64>() as f64;
    let shares = counts.iter().filter(|x| **x > 0).map(|x| *x as f64 / total);
    // Not -0 for a single share.
    shares.map(|share| -share * share.ln()).sum::<f64>().max(0.0)
}

/// How often each item that takes part is shown; the order of items without a place is left open.
pub(super) fn places(lists: &RankedLists<'_>) -> Vec<u64> {
    let mut counts = vec![0; lists.n_items()];
    for item in lists.iter().flatten() {
        counts[item.index()] += 1;
    }
    counts.retain(|count| *count > 0);
    counts.resize(lists.n_candidates().max(counts.len()), 0);
    counts
}

fn gini_complement(lists: &RankedLists<'_>) -> f64 {
    let counts = places(lists);
    if counts.iter().all(|count| *count == 0) { 0.0 } else { 1.0 - gini(&counts) }
}

pub(super) fn entropy(lists: &RankedLists<'_>) -> f64 {
    let counts = places(lists);
    let (first, equal) = (counts[0], counts.iter().all(|count| *count == counts[0]));
    match (equal, first) {
        (true, 0) => 0.0,
        // Also for one item, where the formula is 0 / 0.
        (true, _) => 1.0,
        (false, _) => (shannon_entropy(&counts) / (counts.len() as f64).ln()).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::ItemIdx;

    #[test]
    fn by_hand() {
        // Counts 0 0 1 3: Σ (2i - 5) x = 1 · 1 + 3 · 3 = 10, over 4 · 4.
        assert_eq!(gini(&[3, 0, 1, 0]), 10.0 / 16.0);
        let quarter = 0.25f64;
        let want = -quarter * quarter.ln() - 0.75 * 0.75f64.ln();
        assert!((shannon_entropy(&[3, 0, 1, 0]) - want).abs() < 1e-15);
        let lists = [vec![ItemIdx(2), ItemIdx(5)], vec![ItemIdx(2)], vec![ItemIdx(2), ItemIdx(1)]];
        // Cut at 2: item 2 three times, items 5 and 1 once; six items take part.
        let lists = RankedLists::new(&lists, 9, 6, 2);
        // 0 0 0 1 1 3: (1 + 3 + 15) / (6 · 5).
        assert!((gini_complement(&lists) - (1.0 - 19.0 / 30.0)).abs() < 1e-15);
        let want = (0.6 * (5f64 / 3.0).ln() + 0.4 * 5f64.ln()) / 6f64.ln();
        assert!((entropy(&lists) - want).abs() < 1e-15);
    }

    #[test]
    fn equal_use_and_none() {
        assert_eq!((gini(&[2, 2, 2]), gini(&[]), gini(&[0, 0])), (0.0, 0.0, 0.0));
        assert_eq!((shannon_entropy(&[4]), shannon_entropy(&[])), (0.0, 0.0));
        assert!((shannon_entropy(&[7; 5]) - 5f64.ln()).abs() < 1e-15);
        let one = [vec![ItemIdx(0)]];
        assert_eq!(entropy(&RankedLists::new(&one, 1, 1, 3)), 1.0);
        assert_eq!(gini_complement(&RankedLists::new(&one, 1, 1, 3)), 1.0);
        // One item everywhere, of two.
        assert_eq!(gini_complement(&RankedLists::new(&one, 2, 2, 3)), 0.5);
        assert_eq!(entropy(&RankedLists::new(&one, 2, 2, 3)), 0.0);
    }
}
