//! What one positive teaches: the items it is compared with, and the slopes of the loss.

use pulp::{Arch, Simd, WithSimd};
use quintet_core::Interactions;

use super::attributes::Attributes;
use super::embeddings::Embeddings;
use super::{HybridLoss, HybridMfConfig};
use crate::factor_table::dot;
use crate::split_mix::SplitMix64;

/// Draws of a negative of BPR and the logistic loss before it is given up.
const MAX_DRAWS: usize = 16;

/// The slopes of the loss at the scores of a positive and a negative; both 0 where nothing moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drawn {
    pub(super) user: u32,
    pub(super) items: [u32; 2],
    pub(super) slopes: [f32; 2],
    pub(super) loss: f64,
}

/// Draws negatives, and positives of the k-order form.
pub(super) struct Drawer {
    indptr: Vec<usize>,
    /// Items of all users, ascending in each.
    columns: Vec<u32>,
    /// Items that somebody used.
    used: Vec<u32>,
    /// The weight of WARP by number of draws, from 1.
    weights: Vec<f32>,
    loss: HybridLoss,
    dim: usize,
    k: usize,
    n: usize,
}

type Sides<'a> = [(&'a Attributes, &'a Embeddings); 2];

impl Drawer {
    pub(super) fn new(train: &Interactions, config: &HybridMfConfig) -> Self {
        let counts = train.item_counts();
        let used: Vec<u32> = (0..counts.len() as u32).filter(|i| counts[*i as usize] > 0).collect();
        Self {
            indptr: train.indptr().to_vec(),
            columns: train.indices().iter().map(|i| i.0).collect(),
            weights: config.rank_weight.table(used.len(), config.max_sampled),
            used,
            loss: config.loss,
            dim: config.dim,
            k: config.k,
            n: config.n,
        }
    }

    /// Draws for one positive. The sums of the user, the positive and the negative go into the
    /// first buffer, `[3, stride]`; the second is scratch, `[stride]`.
    pub(super) fn draw(
        &self,
        [user, item]: [u32; 2],
        sides: Sides<'_>,
        mut rng: SplitMix64,
        (sums, scratch): (&mut [f32], &mut [f32]),
    ) -> Drawn {
        let (p, items) = sums.split_at_mut(scratch.len());
        let (q_i, q_j) = items.split_at_mut(scratch.len());
        let [(users, user_table), items] = sides;
        user_table.sum(users.row(user as usize), p);
        p[self.dim + 1] = 1.0;
        let known = &self.columns[self.indptr[user as usize]..self.indptr[user as usize + 1]];
        let item = match self.loss {
            HybridLoss::KOsWarp => self.kth_best(known, items, &mut rng, (p, q_i)),
            _ => item,
        };
        self.item(items, item, q_i);
        let s_i = score(p, q_i);
        let mut drawn = Drawn { user, items: [item; 2], slopes: [0.0; 2], loss: 0.0 };
        let mut next = || self.used[rng.below(self.used.len())];
        match self.loss {
            HybridLoss::Warp | HybridLoss::KOsWarp => {
                for weight in &self.weights {
                    let j = next();
                    if known.binary_search(&j).is_ok() {
                        continue;
                    }
                    self.item(items, j, scratch);
                    let s_j = score(p, scratch);
                    if s_j > s_i - 1.0 {
                        q_j.copy_from_slice(scratch);
                        drawn.items[1] = j;
                        drawn.slopes = [-weight, *weight];
                        drawn.loss = f64::from(weight * (1.0 - s_i + s_j));
                        break;
                    }
                }
            }
            HybridLoss::Bpr | HybridLoss::Logistic => {
                let free = (0..MAX_DRAWS).map(|_| next()).find(|j| known.binary_search(j).is_err());
                let Some(j) = free else { return drawn };
                self.item(items, j, q_j);
                let s_j = score(p, q_j);
                drawn.items[1] = j;
                (drawn.slopes, drawn.loss) = match self.loss {
                    HybridLoss::Bpr => {
                        let g = sigmoid(s_j - s_i);
                        ([-g, g], softplus(s_j - s_i))
                    }
                    _ => ([-sigmoid(-s_i), sigmoid(s_j)], softplus(-s_i) + softplus(s_j)),
                };
            }
        }
        drawn
    }

    /// The k-th best of n drawn items of the user, best first.
    fn kth_best(
        &self,
        known: &[u32],
        items: (&Attributes, &Embeddings),
        rng: &mut SplitMix64,
        (p, scratch): (&[f32], &mut [f32]),
    ) -> u32 {
        let mut drawn: Vec<(f32, u32)> = (0..self.n)
            .map(|_| {
                let item = known[rng.below(known.len())];
                self.item(items, item, scratch);
                (score(p, scratch), item)
            })
            .collect();
        drawn.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        drawn[self.k - 1].1
    }

    /// The sum of an item, with 1 for the user's bias.
    fn item(&self, (items, table): (&Attributes, &Embeddings), item: u32, out: &mut [f32]) {
        table.sum(items.row(item as usize), out);
        out[self.dim] = 1.0;
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + eˣ)` without overflow.
fn softplus(x: f32) -> f64 {
    f64::from(x.max(0.0) + (-x.abs()).exp().ln_1p())
}

fn score(p: &[f32], q: &[f32]) -> f32 {
    struct Score<'a>(&'a [f32], &'a [f32]);
    impl WithSimd for Score<'_> {
        type Output = f32;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            dot(simd, self.0, self.1)
        }
    }
    Arch::new().dispatch(Score(p, q))
}
