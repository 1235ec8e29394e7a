//! SVD++: factorisation that also counts which items a user has rated.
//!
//! Y. Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering
//! Model", KDD 2008. `r̂_ui = μ + b_u + b_i + q_i · (p_u + z_u)` with
//! `z_u = n_u^{-1/2} Σ_{j∈R(u)} y_j`; updates as in [`super::svd`], with `p_u + z_u` in that of
//! `q_i`, and for **every** `j ∈ R(u)`, at every rating:
//!
//! ```text
//! y_j += γ (e n_u^{-1/2} q_i − λ y_j)
//! ```
//!
//! Written out, that is `O(Σ_u n_u² dim)` an epoch, as in Surprise. But while one user's ratings
//! are visited, all `y_j` of that user go through the same steps `y ← c y + g`, `c = 1 − γλ`. So
//! `z` follows `z ← c z + γ e q` by itself, and after `t` ratings
//! `y_j = c^t y_j + n_u^{-1/2} (z − c^t z_0)`, which is applied once: the same numbers as the
//! literal form (to rounding) in `O(nnz · dim)`. With `visits: "shuffled"` every rating is a
//! visit of its own, and the literal cost is back.
//!
//! For a test item `R(u)` is the training items, as in the paper. An unknown user has no `R(u)`.

use quintet_core::{Learns, Matrix, ModelState, RatingEntry, RatingError, SeedStream};
use serde::{Deserialize, Serialize};

use super::check::{at_least_one, not_negative, positive};
use super::factor_form::{FactorForm, normal_table};
use super::fitted::{Known, Learner, OutputConfig, Ratings, fit_rating, load, parse};
use super::sgd::{Rows, TAIL, Tour, Visits, dot};
use super::svd::{check_loss, values};

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SvdPpConfig {
    /// Length of the factors.
    pub dim: usize,
    /// Passes over the ratings.
    pub epochs: usize,
    /// `γ`.
    pub lr: f32,
    /// `λ`.
    pub l2: f32,
    /// Standard deviation of all factors at the start.
    pub init_std: f32,
    /// Order of the ratings; `shuffled` costs `n_u` times as much.
    pub visits: Visits,
    /// How predictions are given out.
    pub output: OutputConfig,
}

impl Default for SvdPpConfig {
    fn default() -> Self {
        Self {
            dim: 20,
            epochs: 20,
            lr: 0.007,
            l2: 0.02,
            init_std: 0.1,
            visits: Visits::Sequential,
            output: OutputConfig::default(),
        }
    }
}

pub(crate) fn entry() -> RatingEntry {
    RatingEntry {
        name: SvdPpConfig::NAME,
        summary: "matrix factorisation that also counts which items a user has rated",
        learns: Learns::Taste,
        build: |params| Ok(Box::new(parse::<SvdPpConfig>(params)?)),
        load: load::<SvdPpConfig>,
        tiny: &[
            r#"{"dim": 6, "epochs": 60, "lr": 0.03}"#,
            r#"{"dim": 6, "epochs": 60, "lr": 0.03, "visits": "users"}"#,
            r#"{"dim": 6, "epochs": 40, "lr": 0.03, "visits": "shuffled"}"#,
        ],
    }
}

fit_rating!(SvdPpConfig);

/// Factors at the start: users, items, and items as implicit feedback.
pub(crate) struct Start {
    pub(crate) users: Matrix,
    pub(crate) items: Matrix,
    pub(crate) implicit: Matrix,
}

impl Learner for SvdPpConfig {
    const NAME: &'static str = "svdpp";
    type Model = FactorForm;

    fn output(&self) -> &OutputConfig {
        &self.output
    }

    fn check(&self) -> Result<(), String> {
        at_least_one("dim", self.dim)?;
        at_least_one("epochs", self.epochs)?;
        positive("lr", self.lr)?;
        not_negative("l2", self.l2)?;
        not_negative("init_std", self.init_std)
    }

    fn learn(&self, ratings: &Ratings<'_>, seed: SeedStream) -> Result<FactorForm, RatingError> {
        let table = |rows, counter| {
            let rng = seed.rng("rating-factors", counter);
            normal_table(rows, self.dim, (0.0, self.init_std), rng)
        };
        let (n_users, n_items) = (ratings.by_user.n_users(), ratings.by_user.n_items());
        let start = Start {
            users: table(n_users, 0),
            items: table(n_items, 1),
            implicit: table(n_items, 2),
        };
        self.learn_from(ratings, seed, &start)
    }

    fn load(&self, state: &ModelState, known: &Known) -> Result<FactorForm, RatingError> {
        FactorForm::load(state, known, true, false)
    }
}

impl SvdPpConfig {
    /// Learns from a given start.
    pub(crate) fn learn_from(
        &self,
        ratings: &Ratings<'_>,
        seed: SeedStream,
        start: &Start,
    ) -> Result<FactorForm, RatingError> {
        let (by_user, values) = (ratings.by_user, values(ratings));
        let indices = by_user.indices();
        let (mut users, mut items) = (Rows::of(&start.users), Rows::of(&start.items));
        let mut implicit = Implicit::new(&start.implicit);
        let mut user_bias = vec![0.0f64; by_user.n_users()];
        let mut item_bias = vec![0.0f64; by_user.n_items()];
        let (rate, l2) = (f64::from(self.lr), f64::from(self.l2));
        let mean = f64::from(ratings.known.mean);
        let mut tour = Tour::new(by_user, self.visits, seed);
        for epoch in 1..=self.epochs {
            let mut loss = 0.0;
            tour.epoch(epoch, |user, run| {
                let rated = by_user.items(user);
                implicit.enter(rated.iter().map(|i| i.index()));
                let p = users.row_mut(user.index());
                let mut own = user_bias[user.index()];
                for &at in run {
                    let item = indices[at as usize].index();
                    let q = items.row_mut(item);
                    let other = &mut item_bias[item];
                    let guess = mean + own + *other + dot(p, q) + dot(&implicit.z, q);
                    let error = f64::from(values[at as usize]) - guess;
                    loss += error * error;
                    own += rate * (error - l2 * own);
                    *other += rate * (error - l2 * *other);
                    let decay = (rate * l2) as f32;
                    step(p, &mut implicit.z, q, decay, (rate * error) as f32);
                }
                user_bias[user.index()] = own;
                let lost = 1.0 - (1.0 - rate * l2).powi(run.len() as i32);
                implicit.leave(rated.iter().map(|i| i.index()), lost as f32);
            });
            check_loss(Self::NAME, epoch, loss / values.len() as f64)?;
        }
        for user in (0..by_user.n_users()).map(quintet_core::UserIdx::new) {
            implicit.enter(by_user.items(user).iter().map(|i| i.index()));
            for (p, z) in users.row_mut(user.index()).iter_mut().zip(&implicit.z) {
                *p += z;
            }
        }
        let narrow = |b: Vec<f64>| b.iter().map(|&b| b as f32).collect();
        FactorForm {
            users: users.into_matrix(),
            items: items.into_matrix(),
            biases: Some((narrow(user_bias), narrow(item_bias))),
            logistic: None,
        }
        .checked()
    }
}

/// `p`, `z` and `q` after one rating, all from the old values.
#[inline]
fn step(p: &mut [f32], z: &mut [f32], q: &mut [f32], decay: f32, gain: f32) {
    let blocks = p
        .as_chunks_mut::<TAIL>()
        .0
        .iter_mut()
        .zip(z.as_chunks_mut::<TAIL>().0)
        .zip(q.as_chunks_mut::<TAIL>().0);
    for ((p, z), q) in blocks {
        for lane in 0..TAIL {
            let (old_p, old_z, old_q) = (p[lane], z[lane], q[lane]);
            p[lane] = old_p + (gain * old_q - decay * old_p);
            z[lane] = old_z + (gain * old_q - decay * old_z);
            q[lane] = old_q + (gain * (old_p + old_z) - decay * old_q);
        }
    }
}

/// The table `y` and the sum of one user's rows.
struct Implicit {
    table: Rows,
    /// `n^{-1/2} Σ y_j`, as the visit at hand has left it.
    z: Vec<f32>,
    /// The same as the visit found it.
    before: Vec<f32>,
    scale: f32,
}

impl Implicit {
    fn new(start: &Matrix) -> Self {
        let table = Rows::of(start);
        let zeros = vec![0.0; table.stride()];
        Self { z: zeros.clone(), before: zeros, scale: 0.0, table }
    }

    /// Begins the visit of somebody who rated `items`.
    fn enter(&mut self, items: impl ExactSizeIterator<Item = usize>) {
        self.scale = if items.len() > 0 { 1.0 / (items.len() as f32).sqrt() } else { 0.0 };
        self.z.fill(0.0);
        for item in items {
            for (z, y) in self.z.iter_mut().zip(self.table.row(item)) {
                *z += y;
            }
        }
        self.z.iter_mut().for_each(|z| *z *= self.scale);
        self.before.copy_from_slice(&self.z);
    }

    /// Ends it: every `y` takes the steps that `z` took. `lost` is `1 − c^t`.
    fn leave(&mut self, items: impl Iterator<Item = usize>, lost: f32) {
        for (before, z) in self.before.iter_mut().zip(&self.z) {
            *before = self.scale * ((z - *before) + lost * *before);
        }
        for item in items {
            for (y, moved) in self.table.row_mut(item).iter_mut().zip(&self.before) {
                *y += moved - lost * *y;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quintet_core::{Interactions, ItemIdx, Triplet, UserIdx};

    use super::super::fitted::fit;
    use super::*;

    /// The updates as the paper writes them, in 64 bits.
    fn literal(ratings: &Interactions, config: &SvdPpConfig, start: &Start) -> Vec<f64> {
        let wide =
            |m: &Matrix| -> Vec<f64> { m.as_slice().iter().map(|&v| f64::from(v)).collect() };
        let (mut p, mut q, mut y) = (wide(&start.users), wide(&start.items), wide(&start.implicit));
        let (mut bu, mut bi) = (vec![0.0; ratings.n_users()], vec![0.0; ratings.n_items()]);
        let (rate, l2) = (f64::from(config.lr), f64::from(config.l2));
        let mean = ratings.iter().map(|t| f64::from(t.value)).sum::<f64>() / ratings.nnz() as f64;
        for _ in 0..config.epochs {
            for t in ratings.iter() {
                let (u, i, rated) = (t.user.index(), t.item.index(), ratings.items(t.user));
                let root = (rated.len() as f64).sqrt();
                let z: f64 = rated.iter().map(|j| y[j.index()]).sum::<f64>() / root;
                let e = f64::from(t.value) - (mean + bu[u] + bi[i] + q[i] * (p[u] + z));
                bu[u] += rate * (e - l2 * bu[u]);
                bi[i] += rate * (e - l2 * bi[i]);
                let (old_p, old_q) = (p[u], q[i]);
                p[u] += rate * (e * old_q - l2 * old_p);
                q[i] += rate * (e * (old_p + z) - l2 * old_q);
                for j in rated {
                    y[j.index()] += rate * (e * old_q / root - l2 * y[j.index()]);
                }
            }
        }
        let guess = |t: Triplet| {
            let rated = ratings.items(t.user);
            let z = rated.iter().map(|j| y[j.index()]).sum::<f64>() / (rated.len() as f64).sqrt();
            let (u, i) = (t.user.index(), t.item.index());
            mean + bu[u] + bi[i] + q[i] * (p[u] + z)
        };
        ratings.iter().map(guess).collect()
    }

    #[test]
    fn one_update_a_user_is_the_literal_form() {
        let cells = (0..5u32).flat_map(|u| {
            (0..6u32).filter(move |i| (u + i) % 3 > 0).map(move |i| Triplet {
                user: UserIdx(u),
                item: ItemIdx(i),
                value: ((3 * u + 5 * i) % 5) as f32 + 1.0,
            })
        });
        let ratings = Interactions::from_triplets(5, 6, cells).unwrap();
        let table = |rows: usize, shift: f32| {
            Matrix::from_vec(rows, 1, (0..rows).map(|r| (r as f32 * 0.7 + shift).sin()).collect())
                .unwrap()
        };
        let start = Start { users: table(5, 0.0), items: table(6, 1.0), implicit: table(6, 2.0) };
        let config =
            SvdPpConfig { dim: 1, epochs: 10, lr: 0.05, l2: 0.1, ..SvdPpConfig::default() };
        let seed = SeedStream::new(1);
        let model = fit(&config, &ratings, |all| config.learn_from(all, seed, &start)).unwrap();
        for (t, expected) in ratings.iter().zip(literal(&ratings, &config, &start)) {
            let p = quintet_core::RatingPredictor::predict(&model, Some(t.user), Some(t.item));
            let found = f64::from(p.unwrap().unclipped);
            assert!((found - expected).abs() < 2e-6, "{t:?}: {found} for {expected}");
        }
    }
}
