//! UserKNN and ItemKNN for ratings: plain, centred, z-scored, over the baseline.
//!
//! P. Resnick et al., "GroupLens: An Open Architecture for Collaborative Filtering of Netnews",
//! CSCW 1994 (users); B. Sarwar et al., "Item-based Collaborative Filtering Recommendation
//! Algorithms", WWW 2001 (items); Y. Koren, TKDD 2010 (over the baseline). With `x` the user and
//! `y` the item (or the reverse), and `N` the `k` most similar `x'` among those with a rating
//! for `y`:
//!
//! ```text
//! basic     Σ s r_x'y / Σ s                        centred   μ_x + Σ s (r_x'y − μ_x') / Σ s
//! baseline  b_xy + Σ s (r_x'y − b_x'y) / Σ s       zscore    μ_x + σ_x Σ s (r_x'y − μ_x') / σ_x' / Σ s
//! ```
//!
//! As in Surprise: negative similarities are dropped after the `k` were chosen, equal ones rank
//! by position, a spread of 0 counts as that of all ratings. Differences: `x` itself is never
//! its own neighbour (Surprise lets it be one on training pairs), and what has fewer than `min_k`
//! neighbours is flagged; `basic` then leaves it to [`super::fitted::Unknown`].
//!
//! No table of all pairs is kept: see [`super::rows`]. Cost: a batch over everybody `Σ_y n_y²`,
//! one prediction alone `Σ_{y∈R(x)} n_y`; memory `O(nnz)`.

use quintet_core::{
    Interactions, Learns, ModelState, RatingEntry, RatingError, SeedStream, UserIdx,
};
use serde::{Deserialize, Serialize};

use super::baseline::{BiasConfig, Biases};
use super::check::{at_least_one, not_negative};
use super::fitted::{
    Estimate, Estimator, Known, KnownPair, Learner, OutputConfig, Ratings, fit_rating, load, parse,
};
use super::rows::{RATINGS, get_ratings, grouped};
use super::similarity::{Measure, RatingSimilarity, SimilarityRow};

/// What neighbours' ratings are compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnnKind {
    /// Nothing: a weighted mean of ratings.
    #[default]
    Basic,
    /// The neighbour's mean.
    Centred,
    /// The neighbour's mean, in units of its spread.
    Zscore,
    /// The baseline predictor.
    Baseline,
}

/// Parameters of UserKNN and ItemKNN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatingKnnConfig {
    /// What neighbours' ratings are compared with.
    pub kind: KnnKind,
    /// How neighbours are found.
    pub similarity: RatingSimilarity,
    /// Neighbours with a say, at most.
    pub k: usize,
    /// Neighbours that are needed.
    pub min_k: usize,
    /// Common raters that a similarity needs.
    pub min_support: usize,
    /// Common raters that count as doubt; absent: 100 for `pearson_baseline`, 0 otherwise.
    pub shrinkage: Option<f32>,
    /// The baseline predictor, where one is needed.
    pub biases: BiasConfig,
    /// How predictions are given out.
    pub output: OutputConfig,
}

impl Default for RatingKnnConfig {
    fn default() -> Self {
        Self {
            kind: KnnKind::Basic,
            similarity: RatingSimilarity::Msd,
            k: 40,
            min_k: 1,
            min_support: 1,
            shrinkage: None,
            biases: BiasConfig::default(),
            output: OutputConfig::default(),
        }
    }
}

const TINY: &[&str] = &[
    r#"{"similarity": "msd", "k": 10, "output": {"scale": [0.5, 6]}}"#,
    r#"{"kind": "centred", "similarity": "cosine", "k": 10, "shrinkage": 5}"#,
    r#"{"kind": "zscore", "similarity": "pearson", "min_support": 2, "output": {"unknown": "global_mean"}}"#,
    r#"{"kind": "baseline", "similarity": "pearson_baseline", "shrinkage": 10}"#,
    r#"{"kind": "basic", "similarity": "pearson", "k": 8, "min_k": 2}"#,
];

impl RatingKnnConfig {
    fn check(&self) -> Result<(), String> {
        at_least_one("k", self.k)?;
        at_least_one("min_k", self.min_k)?;
        at_least_one("min_support", self.min_support)?;
        not_negative("shrinkage", self.shrinkage.unwrap_or(0.0))?;
        self.biases.check()
    }
}

/// UserKNN: neighbours are users.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RatingUserKnnConfig(pub RatingKnnConfig);

/// ItemKNN: neighbours are items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RatingItemKnnConfig(pub RatingKnnConfig);

pub(crate) fn user_entry() -> RatingEntry {
    RatingEntry {
        name: RatingUserKnnConfig::NAME,
        summary: "ratings of the most similar users: plain, centred, z-scored or over the baseline",
        learns: Learns::Taste,
        build: |params| Ok(Box::new(parse::<RatingUserKnnConfig>(params)?)),
        load: load::<RatingUserKnnConfig>,
        tiny: TINY,
    }
}

pub(crate) fn item_entry() -> RatingEntry {
    RatingEntry {
        name: RatingItemKnnConfig::NAME,
        summary: "the user's ratings of the most similar items: plain, centred, z-scored or over the baseline",
        learns: Learns::Taste,
        build: |params| Ok(Box::new(parse::<RatingItemKnnConfig>(params)?)),
        load: load::<RatingItemKnnConfig>,
        tiny: TINY,
    }
}

/// The two models differ in the side that neighbours are on.
macro_rules! learner {
    ($config:ty, $name:literal, $by_user:literal) => {
        fit_rating!($config);

        impl Learner for $config {
            const NAME: &'static str = $name;
            type Model = RatingKnn;

            fn output(&self) -> &OutputConfig {
                &self.0.output
            }

            fn check(&self) -> Result<(), String> {
                self.0.check()
            }

            fn learn(&self, all: &Ratings<'_>, _: SeedStream) -> Result<RatingKnn, RatingError> {
                let sides = (all.by_user, all.by_item);
                let model = RatingKnn::new(&self.0, $by_user, sides, all.known)?;
                if let Some(biases) = &model.biases {
                    biases.check(Self::NAME)?;
                }
                Ok(model)
            }

            fn load(&self, state: &ModelState, known: &Known) -> Result<RatingKnn, RatingError> {
                let (n_users, n_items) = (known.user_means.len(), known.item_means.len());
                let ratings = get_ratings(state, n_users, n_items)?;
                RatingKnn::new(&self.0, $by_user, (&ratings, &ratings.transpose()), known)
            }
        }
    };
}

learner!(RatingUserKnnConfig, "knn-user", true);
learner!(RatingItemKnnConfig, "knn-item", false);

/// The ratings, and what they are compared with. `x` are the rows whose similarity counts.
pub(crate) struct RatingKnn {
    by_user: bool,
    kind: KnnKind,
    k: usize,
    min_k: usize,
    measure: Measure,
    by_x: Interactions,
    by_y: Interactions,
    /// Residuals of the baseline, by `x` and by `y`, where similarities need them.
    residuals: Option<(Interactions, Interactions)>,
    /// Where neighbours are compared with the baseline.
    biases: Option<Biases>,
    /// Spread of each `x`, where neighbours are z-scored.
    spread: Vec<f64>,
}

impl RatingKnn {
    /// Everything but the ratings is computed, at fitting as at loading.
    fn new(
        config: &RatingKnnConfig,
        neighbours_are_users: bool,
        (by_user, by_item): (&Interactions, &Interactions),
        known: &Known,
    ) -> Result<Self, RatingError> {
        let residual = config.similarity == RatingSimilarity::PearsonBaseline;
        let biases = (residual || config.kind == KnnKind::Baseline)
            .then(|| Biases::learn(by_user, by_item, known.mean, &config.biases));
        let (by_x, by_y) =
            if neighbours_are_users { (by_user, by_item) } else { (by_item, by_user) };
        let residuals = match &biases {
            Some(biases) if residual => {
                let by_x = residuals(by_x, neighbours_are_users, biases)?;
                let by_y = by_x.transpose();
                Some((by_x, by_y))
            }
            _ => None,
        };
        let spread = match config.kind {
            KnnKind::Zscore => {
                spreads(by_x, means(neighbours_are_users, known), f64::from(known.mean))
            }
            _ => Vec::new(),
        };
        let shrinkage = config.shrinkage.unwrap_or(config.similarity.shrinkage());
        Ok(Self {
            by_user: neighbours_are_users,
            kind: config.kind,
            k: config.k,
            min_k: config.min_k,
            measure: Measure {
                similarity: config.similarity,
                min_support: config.min_support,
                shrinkage: f64::from(shrinkage),
            },
            by_x: by_x.clone(),
            by_y: by_y.clone(),
            residuals,
            biases,
            spread,
        })
    }

    fn sides(&self, (user, item): KnownPair) -> (u32, u32) {
        if self.by_user { (user, item) } else { (item, user) }
    }

    fn scratch(&self) -> Scratch {
        let row = SimilarityRow::new(self.measure, self.by_x.n_users());
        Scratch { row, near: Vec::new() }
    }

    fn count(&self, scratch: &mut Scratch, x: u32) {
        match &self.residuals {
            Some((by_x, by_y)) => scratch.row.count(by_x, by_y, x),
            None => scratch.row.count(&self.by_x, &self.by_y, x),
        }
    }

    /// The estimate once the similarities of `x` are counted.
    fn of(&self, known: &Known, scratch: &mut Scratch, x: u32, y: u32) -> Option<Estimate> {
        let means = means(self.by_user, known);
        let mean = |x: u32| f64::from(means[x as usize]);
        let baseline = |x: u32| {
            let (user, item) = if self.by_user { (x, y) } else { (y, x) };
            self.biases.as_ref().map_or(0.0, |b| b.of(Some(user as usize), Some(item as usize)))
        };
        scratch.choose(&self.by_y, y, self.k);
        let (mut sum, mut weights) = (0.0, 0.0);
        for near in &scratch.near {
            let rating = f64::from(near.rating);
            let part = match self.kind {
                KnnKind::Basic => rating,
                KnnKind::Centred => rating - mean(near.x),
                KnnKind::Zscore => (rating - mean(near.x)) / self.spread[near.x as usize],
                KnnKind::Baseline => rating - baseline(near.x),
            };
            sum += near.similarity * part;
            weights += near.similarity;
        }
        let few = scratch.near.len() < self.min_k;
        let part = if few || weights <= 0.0 { 0.0 } else { sum / weights };
        let value = match self.kind {
            KnnKind::Basic if few => return None,
            KnnKind::Basic => part,
            KnnKind::Centred => mean(x) + part,
            KnnKind::Zscore => mean(x) + part * self.spread[x as usize],
            KnnKind::Baseline => baseline(x) + part,
        };
        Some(Estimate { value, few })
    }
}

impl Estimator for RatingKnn {
    fn estimate(&self, known: &Known, pair: KnownPair) -> Option<Estimate> {
        let (x, y) = self.sides(pair);
        let mut scratch = self.scratch();
        self.count(&mut scratch, x);
        self.of(known, &mut scratch, x, y)
    }

    fn estimate_all(&self, known: &Known, pairs: &[KnownPair]) -> Vec<Option<Estimate>> {
        grouped(
            pairs,
            |pair| self.sides(pair).0,
            || self.scratch(),
            |scratch, x| self.count(scratch, x),
            |scratch, pair| {
                let (x, y) = self.sides(pair);
                self.of(known, scratch, x, y)
            },
        )
    }

    fn partial(&self, _: &Known, user: Option<usize>, item: Option<usize>) -> Option<f64> {
        match (&self.biases, self.kind) {
            (Some(biases), KnnKind::Baseline) => Some(biases.of(user, item)),
            _ => None,
        }
    }

    fn save(&self, state: &mut ModelState) {
        state.put_interactions(RATINGS, if self.by_user { &self.by_x } else { &self.by_y });
    }
}

fn means(of_users: bool, known: &Known) -> &[f32] {
    if of_users { &known.user_means } else { &known.item_means }
}

/// What the baseline leaves of each rating.
fn residuals(
    by_x: &Interactions,
    by_user: bool,
    biases: &Biases,
) -> Result<Interactions, RatingError> {
    let cells = by_x.iter().map(|t| {
        let (x, y) = (t.user.index(), t.item.index());
        let (user, item) = if by_user { (x, y) } else { (y, x) };
        let rest = f64::from(t.value) - biases.of(Some(user), Some(item));
        quintet_core::Triplet { value: rest as f32, ..t }
    });
    Ok(Interactions::from_sorted(by_x.n_users(), by_x.n_items(), by_x.nnz(), cells)?)
}

/// Standard deviation of each row; that of all ratings, or 1, where it is 0.
fn spreads(by_x: &Interactions, means: &[f32], mean: f64) -> Vec<f64> {
    let deviation = |values: &mut dyn Iterator<Item = f32>, mean: f64| {
        let (mut squares, mut n) = (0.0, 0usize);
        for value in values {
            squares += (f64::from(value) - mean).powi(2);
            n += 1;
        }
        (squares / n.max(1) as f64).sqrt()
    };
    // Means are held in 32 bits: a row of equal ratings must not get a spread from that.
    let some = |s: f64| s > 1e-6;
    let all = deviation(&mut by_x.iter().map(|t| t.value), mean);
    let all = if some(all) { all } else { 1.0 };
    let row = |x: usize| {
        let mut values = by_x.values(UserIdx::new(x)).iter().copied();
        let own = deviation(&mut values, f64::from(means[x]));
        if some(own) { own } else { all }
    };
    (0..by_x.n_users()).map(row).collect()
}

/// One neighbour with a rating.
struct Near {
    similarity: f64,
    x: u32,
    rating: f32,
}

struct Scratch {
    row: SimilarityRow,
    near: Vec<Near>,
}

impl Scratch {
    /// The `k` most similar rows with a rating for `y`, most similar first, equal ones by
    /// position; only those with a positive similarity.
    fn choose(&mut self, by_y: &Interactions, y: u32, k: usize) {
        let y = UserIdx(y);
        self.near.clear();
        for (x, &rating) in by_y.items(y).iter().zip(by_y.values(y)) {
            let similarity = self.row.values[x.index()];
            if similarity > 0.0 {
                self.near.push(Near { similarity, x: x.0, rating });
            }
        }
        let order = |a: &Near, b: &Near| b.similarity.total_cmp(&a.similarity).then(a.x.cmp(&b.x));
        if self.near.len() > k {
            self.near.select_nth_unstable_by(k, order);
            self.near.truncate(k);
        }
        self.near.sort_unstable_by(order);
    }
}

#[cfg(test)]
mod tests {
    use quintet_core::{Fallback, FitRating, ItemIdx, Triplet};

    use super::*;

    #[test]
    fn two_neighbours_by_hand() {
        // User 0: (4, 2, ?), user 1: (4, 2, 5), user 2: (2, 4, 1), item 3 of user 3 alone.
        let rows: [&[(u32, f32)]; 4] = [
            &[(0, 4.0), (1, 2.0)],
            &[(0, 4.0), (1, 2.0), (2, 5.0)],
            &[(0, 2.0), (1, 4.0), (2, 1.0)],
            &[(3, 3.0)],
        ];
        let cell = |(u, row): (usize, &&[(u32, f32)])| {
            row.iter()
                .map(move |&(i, value)| Triplet { user: UserIdx::new(u), item: ItemIdx(i), value })
                .collect::<Vec<_>>()
        };
        let ratings = Interactions::from_triplets(4, 4, rows.iter().enumerate().flat_map(cell));
        let ratings = ratings.unwrap();
        let predict = |config: RatingKnnConfig, item| {
            let model = RatingUserKnnConfig(config).fit(&ratings, SeedStream::new(1)).unwrap();
            let p = model.predict(Some(UserIdx(0)), Some(ItemIdx(item))).unwrap();
            (p.value, p.fallback)
        };
        // s(0, 1) = 1, s(0, 2) = 1 / (1 + 4): (5 + 0.2) / 1.2.
        let (value, fallback) = predict(RatingKnnConfig::default(), 2);
        assert!((value - 5.2 / 1.2).abs() < 1e-6 && fallback.is_none(), "{value}");
        let one = RatingKnnConfig { k: 1, ..RatingKnnConfig::default() };
        assert_eq!(predict(one.clone(), 2), (5.0, None));
        // 3 + (5 − 11/3).
        let centred = RatingKnnConfig { kind: KnnKind::Centred, ..one };
        assert!((predict(centred, 2).0 - (3.0 + 4.0 / 3.0)).abs() < 1e-6);
        // Nobody similar to user 0 has item 3: its mean and the user's less that of all.
        let few = (3.0 + 3.0 - 3.0, Some(Fallback::FewNeighbours));
        assert_eq!(predict(RatingKnnConfig::default(), 3), few);
    }
}
