//! Co-clustering: groups of users, groups of items, and the mean where they meet.
//!
//! T. George, S. Merugu, "A Scalable Collaborative Filtering Framework Based on Co-Clustering",
//! ICDM 2005. With `g` the group of the user, `h` that of the item and means over all ratings of
//! a group:
//!
//! ```text
//! r̂_ui = C_gh + (μ_u − μ_g) + (μ_i − μ_h)
//! ```
//!
//! An epoch takes the means, moves every user to the group with the smallest squared error, then
//! every item likewise. As in Surprise, with which it agrees from equal groups; an empty group
//! has the mean of all ratings, and equal errors go to the first group. Differences: Surprise
//! cuts ratings to whole numbers, and answers for unknown users and items by the mean of all
//! ratings, here [`super::fitted::Unknown`] says who does. Cost: `O(nnz · groups)` an epoch,
//! users and items in parallel.

use quintet_core::{
    Interactions, Learns, Matrix, ModelState, RatingEntry, RatingError, SeedStream, UserIdx,
};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::check::at_least_one;
use super::fitted::{
    Estimate, Estimator, Known, KnownPair, Learner, OutputConfig, Ratings, fit_rating, get_row,
    load, parse, put_row,
};

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoClusteringConfig {
    /// Groups of users.
    pub n_user_groups: usize,
    /// Groups of items.
    pub n_item_groups: usize,
    /// Rounds.
    pub epochs: usize,
    /// How predictions are given out.
    pub output: OutputConfig,
}

impl Default for CoClusteringConfig {
    fn default() -> Self {
        Self { n_user_groups: 3, n_item_groups: 3, epochs: 20, output: OutputConfig::default() }
    }
}

pub(crate) fn entry() -> RatingEntry {
    RatingEntry {
        name: CoClusteringConfig::NAME,
        summary: "groups of users and groups of items, and the mean where they meet",
        learns: Learns::Taste,
        build: |params| Ok(Box::new(parse::<CoClusteringConfig>(params)?)),
        load: load::<CoClusteringConfig>,
        tiny: &[r#"{"n_user_groups": 3, "n_item_groups": 3}"#],
    }
}

fit_rating!(CoClusteringConfig);

impl Learner for CoClusteringConfig {
    const NAME: &'static str = "coclustering";
    type Model = CoClustering;

    fn output(&self) -> &OutputConfig {
        &self.output
    }

    fn check(&self) -> Result<(), String> {
        at_least_one("n_user_groups", self.n_user_groups)?;
        at_least_one("n_item_groups", self.n_item_groups)?;
        at_least_one("epochs", self.epochs)
    }

    fn learn(&self, ratings: &Ratings<'_>, seed: SeedStream) -> Result<CoClustering, RatingError> {
        let groups = |n: usize, n_groups: usize, counter| -> Vec<usize> {
            let mut rng = seed.rng("rating-groups", counter);
            (0..n).map(|_| rng.random_range(0..n_groups)).collect()
        };
        let users = groups(ratings.by_user.n_users(), self.n_user_groups, 0);
        let items = groups(ratings.by_user.n_items(), self.n_item_groups, 1);
        Ok(self.learn_from(ratings, users, items))
    }

    fn load(&self, state: &ModelState, known: &Known) -> Result<CoClustering, RatingError> {
        let groups = |key, n: usize, n_groups: usize| {
            let found = state.whole(key)?;
            if found.len() != n || found.iter().any(|g| !(0..n_groups as i64).contains(g)) {
                let expected = format!("{n} groups below {n_groups}");
                return Err(RatingError::from(state.mismatch(key, &expected, "others")));
            }
            Ok(found.iter().map(|&g| g as usize).collect())
        };
        let (g, h) = (self.n_user_groups, self.n_item_groups);
        Ok(CoClustering {
            users: groups("user_groups", known.user_means.len(), g)?,
            items: groups("item_groups", known.item_means.len(), h)?,
            means: Means {
                user_groups: get_row(state, "user_group_means", g)?,
                item_groups: get_row(state, "item_group_means", h)?,
                blocks: state.shaped("block_means", g, h)?.clone(),
            },
        })
    }
}

impl CoClusteringConfig {
    /// Learns from given groups.
    pub(crate) fn learn_from(
        &self,
        ratings: &Ratings<'_>,
        mut users: Vec<usize>,
        mut items: Vec<usize>,
    ) -> CoClustering {
        let user_means = exact_means(ratings.by_user);
        let item_means = exact_means(ratings.by_item);
        let sizes = (self.n_user_groups, self.n_item_groups);
        let mean = |u: &[usize], i: &[usize]| GroupMeans::of(ratings, sizes, u, i);
        for _ in 0..self.epochs {
            let now = mean(&users, &items);
            let base = |g: usize, h: usize| now.block(g, h) - now.users[g] - now.items[h];
            let own = |g: usize, h: usize| base(g, h);
            users = assign(ratings.by_user, &user_means, &item_means, &items, sizes.0, own);
            let own = |h: usize, g: usize| base(g, h);
            items = assign(ratings.by_item, &item_means, &user_means, &users, sizes.1, own);
        }
        let means = mean(&users, &items).rounded(sizes);
        CoClustering { users, items, means }
    }
}

fn exact_means(rows: &Interactions) -> Vec<f64> {
    let mean = |row: usize| {
        let values = rows.values(UserIdx::new(row));
        values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64
    };
    (0..rows.n_users()).map(mean).collect()
}

/// The group of each row with the smallest squared error. `base(own, other)` is what a rating in
/// these groups has on top of the means of the row and the column.
fn assign(
    rows: &Interactions,
    row_means: &[f64],
    column_means: &[f64],
    column_groups: &[usize],
    n_groups: usize,
    base: impl Fn(usize, usize) -> f64 + Sync,
) -> Vec<usize> {
    let group = |row: usize| {
        let own = UserIdx::new(row);
        let error = |group: usize| -> f64 {
            let squares = rows.items(own).iter().zip(rows.values(own)).map(|(column, &value)| {
                let column = column.index();
                let guess =
                    base(group, column_groups[column]) + row_means[row] + column_means[column];
                (f64::from(value) - guess).powi(2)
            });
            squares.sum()
        };
        let first_best = (0..n_groups).map(|g| (g, error(g)));
        let least = first_best.reduce(|best, next| if next.1 < best.1 { next } else { best });
        least.map_or(0, |(group, _)| group)
    };
    (0..rows.n_users()).into_par_iter().map(group).collect()
}

/// Means over the ratings of groups, while learning.
struct GroupMeans {
    users: Vec<f64>,
    items: Vec<f64>,
    blocks: Vec<f64>,
}

impl GroupMeans {
    fn of(
        ratings: &Ratings<'_>,
        (n_users, n_items): (usize, usize),
        users: &[usize],
        items: &[usize],
    ) -> Self {
        let empty = |n: usize| vec![(0.0f64, 0u64); n];
        let (mut by_user, mut by_item) = (empty(n_users), empty(n_items));
        let mut blocks = empty(n_users * n_items);
        for t in ratings.by_user.iter() {
            let (g, h) = (users[t.user.index()], items[t.item.index()]);
            for slot in [&mut by_user[g], &mut by_item[h], &mut blocks[g * n_items + h]] {
                slot.0 += f64::from(t.value);
                slot.1 += 1;
            }
        }
        let overall = f64::from(ratings.known.mean);
        let mean = |sums: Vec<(f64, u64)>| {
            let of = |(sum, n): (f64, u64)| if n > 0 { sum / n as f64 } else { overall };
            sums.into_iter().map(of).collect()
        };
        Self { users: mean(by_user), items: mean(by_item), blocks: mean(blocks) }
    }

    fn block(&self, g: usize, h: usize) -> f64 {
        self.blocks[g * self.items.len() + h]
    }

    fn rounded(&self, (g, h): (usize, usize)) -> Means {
        let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let mut blocks = Matrix::zeros(g, h);
        blocks.as_mut_slice().copy_from_slice(&narrow(&self.blocks));
        Means { user_groups: narrow(&self.users), item_groups: narrow(&self.items), blocks }
    }
}

/// The means as they are saved.
struct Means {
    user_groups: Vec<f32>,
    item_groups: Vec<f32>,
    blocks: Matrix,
}

/// The fitted part.
pub(crate) struct CoClustering {
    users: Vec<usize>,
    items: Vec<usize>,
    means: Means,
}

impl Estimator for CoClustering {
    fn estimate(&self, known: &Known, (user, item): KnownPair) -> Option<Estimate> {
        let (user, item) = (user as usize, item as usize);
        let (g, h) = (self.users[user], self.items[item]);
        let own = f64::from(known.user_means[user]) - f64::from(self.means.user_groups[g]);
        let other = f64::from(known.item_means[item]) - f64::from(self.means.item_groups[h]);
        Some((f64::from(self.means.blocks.row(g)[h]) + own + other).into())
    }

    fn save(&self, state: &mut ModelState) {
        let whole = |groups: &[usize]| groups.iter().map(|&g| g as i64).collect();
        state.put_whole("user_groups", whole(&self.users));
        state.put_whole("item_groups", whole(&self.items));
        put_row(state, "user_group_means", &self.means.user_groups);
        put_row(state, "item_group_means", &self.means.item_groups);
        state.put("block_means", self.means.blocks.clone());
    }
}

#[cfg(test)]
mod tests {
    use quintet_core::{ItemIdx, RatingPredictor, Triplet};

    use super::super::fitted::fit;
    use super::*;

    #[test]
    fn two_groups_are_found_and_predicted_by_hand() {
        // Users 0, 1 like items 0, 1 (5) and not 2, 3 (1); users 2, 3 the reverse. The pair
        // (0, 0) is not rated.
        let cells = (0..4u32).flat_map(|u| (0..4u32).map(move |i| (u, i))).filter(|&p| p != (0, 0));
        let cell = |(u, i): (u32, u32)| Triplet {
            user: UserIdx(u),
            item: ItemIdx(i),
            value: if (u < 2) == (i < 2) { 5.0 } else { 1.0 },
        };
        let ratings = Interactions::from_triplets(4, 4, cells.map(cell)).unwrap();
        let config =
            CoClusteringConfig { n_user_groups: 2, n_item_groups: 2, ..Default::default() };
        let model = fit(&config, &ratings, |all| {
            let model = config.learn_from(all, vec![0, 0, 0, 1], vec![0, 0, 1, 1]);
            assert_eq!(model.users, [0, 0, 1, 1]);
            assert_eq!(model.items, [0, 0, 1, 1]);
            Ok(model)
        })
        .unwrap();
        let p = model.predict(Some(UserIdx(0)), Some(ItemIdx(0))).unwrap();
        // 5 + (7/3 − 19/7) + (7/3 − 19/7): user 0 and item 0 rated 7/3 on average, both groups
        // 19/7.
        let expected = 5.0 + 2.0 * (7.0 / 3.0 - 19.0 / 7.0);
        assert!((p.unclipped - expected as f32).abs() < 1e-6, "{p:?}");
    }
}
