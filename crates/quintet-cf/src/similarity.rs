//! Similarities of items, or of users, by what they share.
//!
//! With weights `w` (see [`Weighting`]), `d = w_i · w_j`, `n = |w|²` and shrinkage `h`, the
//! similarity of a target `i` and a source `j` is
//!
//! ```text
//! cosine       d / (√n_i √n_j + h)
//! asymmetric   d / (n_i^(1−α) n_j^α + h)             α = ½ is the cosine
//! tversky      d / (d + a (n_i − d) + b (n_j − d) + h)
//! jaccard      tversky with a = b = 1
//! dot          d
//! ```
//!
//! with additive shrinkage; with significance shrinkage `h` is 0 above and the similarity is
//! multiplied by `c / (c + h)`, where `c` counts what both have.
//!
//! Papers: Aiolli, "Efficient Top-N Recommendation for Very Large Scale Binary Rated Datasets",
//! RecSys 2013 (asymmetric); Tversky, "Features of Similarity", Psychological Review 1977; Koren,
//! "Factorization Meets the Neighborhood", KDD 2008 (shrinkage).

use quintet_core::{Interactions, UserIdx};
use quintet_tensor::FitError;
use serde::{Deserialize, Serialize};

use crate::sparse::{NearestOptions, Offer, Order, Pair, Terms, Weigher, Weighting, neighbours};

/// Which similarity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Similarity {
    /// Of weighted rows.
    Cosine,
    /// A cosine that leans to one side.
    Asymmetric,
    /// What both have against what one of them has.
    Tversky,
    /// What both have against what at least one has.
    Jaccard,
    /// The plain product.
    Dot,
}

/// How similarities with little support are made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shrinkage {
    /// `h` is added to the denominator.
    #[default]
    Additive,
    /// The similarity is multiplied by `c / (c + h)`.
    Significance,
}

/// Of which items the `k` nearest are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Of each item that is scored: `score(u, i)` sums over `R(u) ∩ N(i)`.
    Target,
    /// Of each item that the user has: `score(u, i)` sums over the `j ∈ R(u)` with `i ∈ N(j)`.
    Source,
}

/// Everything that decides who is near.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Nearness {
    pub k: usize,
    pub weighting: Weighting,
    pub bm25: (f64, f64),
    pub similarity: Similarity,
    pub alpha: f32,
    pub tversky: (f32, f32),
    pub shrink: f32,
    pub shrinkage: Shrinkage,
    pub min_support: u32,
    pub itself: bool,
    pub cut: Cut,
}

impl Nearness {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`FitError::Config`] that names the key.
    pub(crate) fn check(&self, model: &str) -> Result<(), FitError> {
        let refuse = |key: &str, expected: &str, found: String| {
            let reason = format!("{key} must be {expected}; found {found}");
            Err(FitError::Config { model: model.into(), reason })
        };
        let (k1, b) = self.bm25;
        let at_least_0 = |v: f32| v.is_finite() && v >= 0.0;
        if self.k == 0 {
            return refuse("k", "at least 1", "0".into());
        }
        if !at_least_0(self.shrink) {
            return refuse("shrink", "at least 0", self.shrink.to_string());
        }
        if !(0.0..=1.0).contains(&self.alpha) {
            return refuse("alpha", "between 0 and 1", self.alpha.to_string());
        }
        if !at_least_0(self.tversky.0) || !at_least_0(self.tversky.1) {
            return refuse("tversky", "two numbers of at least 0", format!("{:?}", self.tversky));
        }
        if !(k1.is_finite() && k1 >= 0.0) {
            return refuse("bm25_k1", "at least 0", k1.to_string());
        }
        if !(0.0..=1.0).contains(&b) {
            return refuse("bm25_b", "between 0 and 1", b.to_string());
        }
        Ok(())
    }

    /// The nearest of each entity of `by_term`, `[terms, entities]`: rows are targets or sources
    /// as the cut says.
    ///
    /// # Errors
    /// [`FitError::Data`] when values cannot be weighed.
    pub(crate) fn nearest(
        &self,
        model: &str,
        by_term: &Interactions,
    ) -> Result<Vec<Vec<Offer>>, FitError> {
        let weights = self.weigh(model, by_term)?;
        let cells = weights.cells.as_deref();
        let terms = Terms::new(by_term, cells, weights.squares, Order::Popularity);
        let by_rank = |of: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            terms.order().iter().enumerate().map(|(rank, &e)| of(rank, e as usize)).collect()
        };
        let factor = weights.entities.map(|f| by_rank(&|_, entity| f[entity]));
        let of_rank = |rank: usize| factor.as_ref().map_or(1.0, |f| f[rank]);
        let norms = by_rank(&|rank, _| of_rank(rank) * terms.square(rank).sqrt());
        if let Some(rank) = norms.iter().position(|n| !n.is_finite()) {
            let reason = format!("the values of {} are too large to compare", terms.order()[rank]);
            return Err(FitError::Data { model: model.into(), reason });
        }
        Ok(self.cut_by(&terms, factor.as_deref(), &norms))
    }

    fn cut_by(&self, terms: &Terms, factor: Option<&[f32]>, norms: &[f32]) -> Vec<Vec<Offer>> {
        let significance = self.shrinkage == Shrinkage::Significance && self.shrink > 0.0;
        let options = NearestOptions {
            k: self.k,
            itself: self.itself,
            min_support: self.min_support,
            counts: significance,
            symmetric: matches!(
                self.similarity,
                Similarity::Cosine | Similarity::Dot | Similarity::Jaccard
            ),
        };
        let (h, add) = if significance { (self.shrink, 0.0) } else { (0.0, self.shrink) };
        let dot = |p: Pair| factor.map_or(p.dot, |f| p.dot * f[p.row] * f[p.col]);
        let trust = |p: Pair, s: f32| if h > 0.0 { s * (p.common / (p.common + h)) } else { s };
        let over = |d: f32, n: f32| d / (n + add).max(f32::MIN_POSITIVE);
        match self.similarity {
            Similarity::Dot => neighbours(terms, options, |p| trust(p, dot(p))),
            Similarity::Cosine => {
                neighbours(terms, options, |p| trust(p, over(dot(p), norms[p.row] * norms[p.col])))
            }
            Similarity::Asymmetric => {
                let power = |e: f32| norms.iter().map(|n| n.powf(2.0 * e)).collect::<Vec<f32>>();
                let (target, source) = (power(1.0 - self.alpha), power(self.alpha));
                let (row, col) = self.sides(target, source);
                neighbours(terms, options, |p| trust(p, over(dot(p), row[p.row] * col[p.col])))
            }
            Similarity::Tversky | Similarity::Jaccard => {
                let (a, b) = match self.similarity {
                    Similarity::Jaccard => (1.0, 1.0),
                    _ => self.sides(self.tversky.0, self.tversky.1),
                };
                let n: Vec<f32> = norms.iter().map(|n| n * n).collect();
                neighbours(terms, options, |p| {
                    let d = dot(p);
                    let (only_row, only_col) = ((n[p.row] - d).max(0.0), (n[p.col] - d).max(0.0));
                    trust(p, over(d, d + a * only_row + b * only_col))
                })
            }
        }
    }

    /// What belongs to the target and the source, as row and column of the lists.
    fn sides<T>(&self, target: T, source: T) -> (T, T) {
        if self.cut == Cut::Target { (target, source) } else { (source, target) }
    }

    fn weigh(&self, model: &str, by_term: &Interactions) -> Result<Weights, FitError> {
        let binary = by_term.iter().all(|t| t.value == 1.0);
        let weigher = self.weigher(by_term);
        if self.weighting == Weighting::None {
            let cells = (!binary).then(|| by_term.iter().map(|t| t.value).collect());
            return Ok(Weights { cells, squares: None, entities: None });
        }
        let mut lengths = vec![0.0f64; by_term.n_items()];
        for t in by_term.iter() {
            lengths[t.item.index()] += f64::from(t.value);
            if t.value < 0.0 {
                let reason = format!(
                    "weighting counts values, which must not be negative; user {} and item {} \
                     have {}",
                    t.user, t.item, t.value
                );
                return Err(FitError::Data { model: model.into(), reason });
            }
        }
        if binary {
            let squares = (0..by_term.n_users()).map(|t| weigher.of_term(t).powi(2) as f32);
            let entities = lengths.iter().map(|&l| weigher.of_entity(l) as f32);
            return Ok(Weights {
                cells: None,
                squares: Some(squares.collect()),
                entities: (self.weighting == Weighting::Bm25).then(|| entities.collect()),
            });
        }
        let cells = by_term.iter().map(|t| {
            let length = lengths[t.item.index()];
            weigher.weight(f64::from(t.value), length, t.user.index()) as f32
        });
        Ok(Weights { cells: Some(cells.collect()), squares: None, entities: None })
    }

    /// The weights of cells of `by_term`, `[terms, entities]`.
    pub(crate) fn weigher(&self, by_term: &Interactions) -> Weigher {
        Weigher::new(by_term, self.weighting, self.bm25.0, self.bm25.1)
    }

    /// The similarity of a target and a source, one pair at a time.
    pub(crate) fn of(&self, d: f32, target: f32, source: f32, common: f32) -> f32 {
        let significance = self.shrinkage == Shrinkage::Significance && self.shrink > 0.0;
        let add = if significance { 0.0 } else { self.shrink };
        let over = |n: f32| d / (n + add).max(f32::MIN_POSITIVE);
        let (a, b) = match self.similarity {
            Similarity::Jaccard => (1.0, 1.0),
            _ => self.tversky,
        };
        let s = match self.similarity {
            Similarity::Dot => d,
            Similarity::Cosine => over(target * source),
            Similarity::Asymmetric => {
                over(target.powf(2.0 * (1.0 - self.alpha)) * source.powf(2.0 * self.alpha))
            }
            Similarity::Tversky | Similarity::Jaccard => {
                let (t, s) = (target * target - d, source * source - d);
                over(d + a * t.max(0.0) + b * s.max(0.0))
            }
        };
        if significance { s * (common / (common + self.shrink)) } else { s }
    }
}

/// Weights of cells: each its own, or the product of one of the term and one of the entity.
struct Weights {
    cells: Option<Vec<f32>>,
    squares: Option<Vec<f32>>,
    entities: Option<Vec<f32>>,
}

/// A newcomer's events as a row: items ascending, of repeats the last one; every value 1 where
/// the model does not read values.
pub(crate) fn newcomer(
    items: &[quintet_core::ItemIdx],
    values: &[f32],
    n_items: usize,
    binary: bool,
) -> Result<Vec<(u32, f32)>, quintet_core::ScoreError> {
    assert_eq!(items.len(), values.len(), "items and their values differ in number");
    if let Some(i) = items.iter().find(|i| i.index() >= n_items) {
        let (what, index) = ("item", i.index());
        return Err(quintet_core::ScoreError::OutOfRange { what, index, len: n_items });
    }
    let mut row: Vec<(u32, f32)> = Vec::with_capacity(items.len());
    for (item, value) in items.iter().zip(values) {
        row.push((item.0, if binary { 1.0 } else { *value }));
    }
    row.sort_by_key(|cell| cell.0);
    row.reverse();
    row.dedup_by_key(|cell| cell.0);
    row.reverse();
    Ok(row)
}

/// Number of entries of each row, as weights need it: the sum of its values.
pub(crate) fn length_of(m: &Interactions, row: usize) -> f64 {
    m.values(UserIdx::new(row)).iter().map(|&v| f64::from(v)).sum()
}
