//! A small world of ratings with a known answer: levels of users and items, and two tastes.

use quintet_core::{Interactions, ItemIdx, SeedStream, Triplet, UserIdx};
use rand::RngExt;

/// Users with an ordinary number of ratings.
const USERS: usize = 60;
/// Items likewise.
const ITEMS: usize = 40;

/// Ratings from 1 to 5 in halves: 3, the level of the user, the level of the item, 0.8 up or down
/// (users have one of two tastes, items are of one of two kinds), and noise. Three of four pairs
/// are rated, one rating in eight is held out. On top: a user and an item without ratings, and a user and an
/// item with a single one.
#[derive(Debug, Clone)]
pub struct RatingWorld {
    /// Training ratings, `[62, 42]`.
    pub train: Interactions,
    /// Held-out ratings of users and items that have training ratings.
    pub held_out: Vec<Triplet>,
    /// A user without ratings.
    pub empty_user: UserIdx,
    /// An item without ratings.
    pub empty_item: ItemIdx,
    /// A user with one rating.
    pub rare_user: UserIdx,
    /// An item with one rating.
    pub rare_item: ItemIdx,
}

impl Default for RatingWorld {
    fn default() -> Self {
        Self::new()
    }
}

impl RatingWorld {
    /// Builds the world; it is always the same.
    ///
    /// # Panics
    /// Never: its parts fit.
    pub fn new() -> Self {
        let mut rng = SeedStream::new(11).rng("rating-world", 0);
        let mut levels = |n: usize, width: f32| -> Vec<f32> {
            (0..n).map(|_| rng.random_range(-width..width)).collect()
        };
        let (users, items) = (levels(USERS, 1.0), levels(ITEMS, 1.0));
        let (mut cells, mut held_out) = (Vec::new(), Vec::new());
        for (u, user_level) in users.iter().enumerate() {
            for (i, item_level) in items.iter().enumerate() {
                let taste = if u % 2 == i % 2 { 0.8 } else { -0.8 };
                let noise: f32 = rng.random_range(-0.4..0.4);
                let value = 3.0 + user_level + item_level + taste + noise;
                let value = ((2.0 * value).round() / 2.0).clamp(1.0, 5.0);
                let cell = Triplet { user: UserIdx::new(u), item: ItemIdx::new(i), value };
                match rng.random_range(0..32u32) {
                    0..8 => {}
                    8..11 => held_out.push(cell),
                    _ => cells.push(cell),
                }
            }
        }
        let (rare_user, rare_item) = (UserIdx::new(USERS), ItemIdx::new(ITEMS));
        cells.push(Triplet { user: rare_user, item: ItemIdx(3), value: 4.0 });
        cells.push(Triplet { user: UserIdx(5), item: rare_item, value: 2.0 });
        Self {
            train: Interactions::from_triplets(USERS + 2, ITEMS + 2, cells).unwrap(),
            held_out,
            empty_user: UserIdx::new(USERS + 1),
            empty_item: ItemIdx::new(ITEMS + 1),
            rare_user,
            rare_item,
        }
    }

    /// Lowest and highest training rating.
    pub fn scale(&self) -> [f32; 2] {
        self.train.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], t| {
            [low.min(t.value), high.max(t.value)]
        })
    }

    /// Root of the mean squared error of predictions for the held-out ratings.
    pub(crate) fn rmse(&self, found: Vec<f64>) -> f64 {
        assert_eq!(found.len(), self.held_out.len());
        let squares =
            found.iter().zip(&self.held_out).map(|(p, t)| (p - f64::from(t.value)).powi(2));
        (squares.sum::<f64>() / found.len() as f64).sqrt()
    }

    /// That of the mean of all training ratings.
    pub(crate) fn rmse_of_mean(&self) -> f64 {
        self.rmse(vec![mean(self.train.iter().map(|t| t.value)); self.held_out.len()])
    }

    /// That of the user's and the item's mean less the mean of all.
    pub(crate) fn rmse_of_means(&self) -> f64 {
        let by_item = self.train.transpose();
        let all = mean(self.train.iter().map(|t| t.value));
        let row = |m: &Interactions, row: u32| mean(m.values(UserIdx(row)).iter().copied());
        let guess = |t: &Triplet| row(&self.train, t.user.0) + row(&by_item, t.item.0) - all;
        self.rmse(self.held_out.iter().map(guess).collect())
    }
}

fn mean(values: impl Iterator<Item = f32>) -> f64 {
    let (sum, n) = values.fold((0.0, 0usize), |(sum, n), v| (sum + f64::from(v), n + 1));
    sum / n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_is_as_described() {
        let world = RatingWorld::new();
        let row = |user: UserIdx| world.train.items(user).len();
        assert_eq!((row(world.empty_user), row(world.rare_user)), (0, 1));
        let counts = world.train.item_counts();
        assert_eq!((counts[world.empty_item.index()], counts[world.rare_item.index()]), (0, 1));
        assert!(world.held_out.iter().all(|t| row(t.user) > 5 && counts[t.item.index()] > 5));
        assert!(world.train.nnz() > 1_300 && world.held_out.len() > 150);
        let (mean, means) = (world.rmse_of_mean(), world.rmse_of_means());
        assert!(means < 0.85 * mean && means > 0.7, "{mean} {means}");
    }
}
