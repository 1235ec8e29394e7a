//! Similarities of two users, or two items, over what both have ratings for.
//!
//! ```text
//! cosine            Σ r_x r_y / sqrt(Σ r_x² Σ r_y²)
//! msd               1 / (1 + mean (r_x − r_y)²)
//! pearson           correlation of the ratings
//! pearson_baseline  cosine of the residuals r − b of the baseline predictor, shrunk
//! ```
//!
//! All sums run over common raters only, as in Surprise, and in 64 bits: on whole and half
//! ratings they are exact, so that equal similarities are equal bit by bit. Pearson-baseline is
//! shrunk by `(n − 1) / (n − 1 + h)` (Koren, TKDD 2010; `h = 100`), the others, where shrinkage
//! is asked for, by `n / (n + h)`. No similarity is defined for fewer common raters than
//! `min_support` (Pearson-baseline: at least 2), nor where a sum of squares is 0 (Surprise
//! divides by it): it counts as 0.

use quintet_core::Interactions;
use serde::{Deserialize, Serialize};

use super::rows::{PairSums, common};

/// Which similarity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatingSimilarity {
    /// Cosine over common raters.
    Cosine,
    /// One over one plus the mean squared difference.
    #[default]
    Msd,
    /// Correlation of the ratings.
    Pearson,
    /// Correlation of the residuals of the baseline predictor, shrunk.
    PearsonBaseline,
}

impl RatingSimilarity {
    /// The shrinkage where the parameters name none.
    pub(crate) fn shrinkage(self) -> f32 {
        if self == Self::PearsonBaseline { 100.0 } else { 0.0 }
    }
}

/// What is counted, and how it is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    pub(crate) similarity: RatingSimilarity,
    pub(crate) min_support: usize,
    pub(crate) shrinkage: f64,
}

#[derive(Clone, Copy, Default)]
struct Products {
    n: u32,
    xy: f64,
    xx: f64,
    yy: f64,
}

impl PairSums for Products {
    #[inline]
    fn add(&mut self, own: f64, other: f64) {
        self.n += 1;
        self.xy += own * other;
        self.xx += own * own;
        self.yy += other * other;
    }
}

#[derive(Clone, Copy, Default)]
struct Squares {
    n: u32,
    sum: f64,
}

impl PairSums for Squares {
    #[inline]
    fn add(&mut self, own: f64, other: f64) {
        self.n += 1;
        self.sum += (own - other) * (own - other);
    }
}

#[derive(Clone, Copy, Default)]
struct Moments {
    products: Products,
    x: f64,
    y: f64,
}

impl PairSums for Moments {
    #[inline]
    fn add(&mut self, own: f64, other: f64) {
        self.products.add(own, other);
        self.x += own;
        self.y += other;
    }
}

/// Scratch for one row at a time; only the sums that the similarity needs have memory.
pub(crate) struct SimilarityRow {
    measure: Measure,
    products: Vec<Products>,
    squares: Vec<Squares>,
    moments: Vec<Moments>,
    /// The similarities of the row counted last, `[n_rows]`; its own place holds 0.
    pub(crate) values: Vec<f64>,
}

impl SimilarityRow {
    pub(crate) fn new(measure: Measure, n_rows: usize) -> Self {
        let len = |wanted: bool| if wanted { n_rows } else { 0 };
        let of = measure.similarity;
        let products = matches!(of, RatingSimilarity::Cosine | RatingSimilarity::PearsonBaseline);
        Self {
            measure,
            products: vec![Products::default(); len(products)],
            squares: vec![Squares::default(); len(of == RatingSimilarity::Msd)],
            moments: vec![Moments::default(); len(of == RatingSimilarity::Pearson)],
            values: vec![0.0; n_rows],
        }
    }

    /// Counts `row` of `by_row`: ratings, or for Pearson-baseline residuals. `by_column` is the
    /// transpose.
    pub(crate) fn count(&mut self, by_row: &Interactions, by_column: &Interactions, row: u32) {
        let Self { measure, products, squares, moments, values } = self;
        match measure.similarity {
            RatingSimilarity::Cosine | RatingSimilarity::PearsonBaseline => {
                common(by_row, by_column, row, products);
                for (value, sums) in values.iter_mut().zip(products) {
                    let cosine = ratio(sums.xy, sums.xx * sums.yy);
                    *value = measure.judge(sums.n, cosine);
                }
            }
            RatingSimilarity::Msd => {
                common(by_row, by_column, row, squares);
                for (value, sums) in values.iter_mut().zip(squares) {
                    let mean = sums.sum / f64::from(sums.n.max(1));
                    *value = measure.judge(sums.n, 1.0 / (mean + 1.0));
                }
            }
            RatingSimilarity::Pearson => {
                common(by_row, by_column, row, moments);
                for (value, sums) in values.iter_mut().zip(moments) {
                    *value = measure.judge(sums.products.n, correlation(sums));
                }
            }
        }
        values[row as usize] = 0.0;
    }
}

impl Measure {
    /// Support and shrinkage.
    fn judge(&self, n: u32, value: f64) -> f64 {
        let baseline = self.similarity == RatingSimilarity::PearsonBaseline;
        let support = self.min_support.max(if baseline { 2 } else { 1 });
        if (n as usize) < support {
            return 0.0;
        }
        let n = f64::from(n) - if baseline { 1.0 } else { 0.0 };
        if self.shrinkage > 0.0 { value * (n / (n + self.shrinkage)) } else { value }
    }
}

fn correlation(sums: &Moments) -> f64 {
    let Moments { products: p, x, y } = sums;
    let n = f64::from(p.n);
    ratio(n * p.xy - x * y, (n * p.xx - x * x) * (n * p.yy - y * y))
}

/// `a / sqrt(square)`, 0 where that is not defined.
fn ratio(a: f64, square: f64) -> f64 {
    if square > 0.0 { a / square.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use quintet_core::{ItemIdx, Triplet, UserIdx};

    use super::*;

    fn similarity(similarity: RatingSimilarity, min_support: usize, shrinkage: f64) -> f64 {
        // Rows (1, 2, 3, –) and (2, 4, –, 5): two common columns, (1, 2) and (2, 4).
        let cells = [(0, 0, 1.0), (0, 1, 2.0), (0, 2, 3.0), (1, 0, 2.0), (1, 1, 4.0), (1, 3, 5.0)];
        let cell = |(u, i, value)| Triplet { user: UserIdx(u), item: ItemIdx(i), value };
        let rows = Interactions::from_triplets(2, 4, cells.map(cell)).unwrap();
        let measure = Measure { similarity, min_support, shrinkage };
        let mut row = SimilarityRow::new(measure, 2);
        row.count(&rows, &rows.transpose(), 0);
        assert_eq!(row.values[0], 0.0);
        row.values[1]
    }

    #[test]
    fn similarities_by_hand() {
        // Parallel vectors: cosine 10 / sqrt(5 · 20) = 1; msd 1 / (1 + (1 + 4) / 2).
        assert_eq!(similarity(RatingSimilarity::Cosine, 1, 0.0), 1.0);
        assert_eq!(similarity(RatingSimilarity::Msd, 1, 0.0), 1.0 / 3.5);
        assert_eq!(similarity(RatingSimilarity::Pearson, 2, 0.0), 1.0);
        // (2 − 1) / (2 − 1 + 3), and 2 / (2 + 2) for the others.
        assert_eq!(similarity(RatingSimilarity::PearsonBaseline, 1, 3.0), 0.25);
        assert_eq!(similarity(RatingSimilarity::Cosine, 1, 2.0), 0.5);
        assert_eq!(similarity(RatingSimilarity::Cosine, 3, 0.0), 0.0);
    }
}
