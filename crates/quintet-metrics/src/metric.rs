//! What a metric is: a name, a sentence and a function of ranked lists.

use quintet_core::{ItemIdx, Named};

/// The top of one user's ranked list, seen as hits and misses.
#[derive(Debug, Clone, Copy)]
pub struct RankedUser<'a> {
    hits: &'a [bool],
    n_truth: usize,
    k: usize,
}

impl<'a> RankedUser<'a> {
    /// Cuts `hits` (best rank first, any length) at `k`.
    ///
    /// # Panics
    /// When `k` or `n_truth` is zero, or when there are more hits than relevant items.
    pub fn new(hits: &'a [bool], n_truth: usize, k: usize) -> Self {
        assert!(k > 0, "a cutoff is at least 1");
        assert!(n_truth > 0, "a user without relevant items has no metric");
        let user = Self { hits: &hits[..hits.len().min(k)], n_truth, k };
        assert!(user.n_hits() <= n_truth, "more hits than the {n_truth} relevant items");
        user
    }

    /// Whether the item of each rank is relevant; at most `k` entries, fewer for a short list.
    pub fn hits(&self) -> &'a [bool] {
        self.hits
    }

    /// How many of the first `k` items are relevant.
    pub fn n_hits(&self) -> usize {
        self.hits.iter().filter(|hit| **hit).count()
    }

    /// How many items are relevant to the user, found or not; at least 1.
    pub fn n_truth(&self) -> usize {
        self.n_truth
    }

    /// The cutoff; at least 1.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The ranks of the hits, counted from 1, ascending.
    pub fn hit_ranks(&self) -> impl Iterator<Item = usize> + 'a {
        self.hits.iter().enumerate().filter(|(_, hit)| **hit).map(|(position, _)| position + 1)
    }
}

/// The ranked lists of all evaluated users, for metrics that are no mean over users.
#[derive(Debug, Clone, Copy)]
pub struct RankedLists<'a> {
    pub(crate) lists: &'a [Vec<ItemIdx>],
    pub(crate) n_items: usize,
    pub(crate) n_candidates: usize,
    pub(crate) k: usize,
}

impl<'a> RankedLists<'a> {
    /// Lists of any length, best first, over `n_items` positions of which `n_candidates` can
    /// occur; they are read up to `k`.
    ///
    /// # Panics
    /// When `k` is zero, or when `n_candidates` is zero or exceeds `n_items`.
    pub fn new(lists: &'a [Vec<ItemIdx>], n_items: usize, n_candidates: usize, k: usize) -> Self {
        assert!(k > 0, "a cutoff is at least 1");
        assert!((1..=n_items).contains(&n_candidates), "{n_candidates} of {n_items} items");
        Self { lists, n_items, n_candidates, k }
    }

    /// The list of every evaluated user, cut at `k`.
    pub fn iter(&self) -> impl Iterator<Item = &'a [ItemIdx]> + 'a {
        let k = self.k;
        self.lists.iter().map(move |list| &list[..list.len().min(k)])
    }

    /// Size of the item table: every position in the lists is smaller.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// How many items took part in the ranking; at least 1.
    pub fn n_candidates(&self) -> usize {
        self.n_candidates
    }

    /// The cutoff; at least 1.
    pub fn k(&self) -> usize {
        self.k
    }
}

/// What a metric is computed from, and thereby how it is reduced to one number.
#[derive(Debug, Clone, Copy)]
pub enum MetricKind {
    /// One value a user; the result is the mean over users.
    PerUser(fn(&RankedUser<'_>) -> f64),
    /// One value for all lists together.
    Whole(fn(&RankedLists<'_>) -> f64),
}

/// A metric as the registry holds it.
///
/// Contract: finite, in `[0, 1]`, higher is better; a per-user metric is 0 without a hit, and 1
/// when the first `k` items are exactly the `k` relevant ones.
#[derive(Debug, Clone, Copy)]
pub struct MetricEntry {
    /// Registry key, such as `"ndcg"`; results are keyed `"ndcg@10"`.
    pub name: &'static str,
    /// One sentence for people who choose a metric.
    pub summary: &'static str,
    /// The function.
    pub kind: MetricKind,
}

impl Named for MetricEntry {
    fn name(&self) -> &str {
        self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_at_k_and_a_short_one_stays_short() {
        let hits = [true, false, true];
        let user = RankedUser::new(&hits, 5, 2);
        assert_eq!((user.hits(), user.n_hits(), user.k()), (&hits[..2], 1, 2));
        let user = RankedUser::new(&hits, 5, 10);
        assert_eq!((user.hits().len(), user.n_hits()), (3, 2));
        assert_eq!(user.hit_ranks().collect::<Vec<_>>(), [1, 3]);
    }
}
