//! The items that a target is compared with in a step.

use quintet_core::{Interactions, UserIdx};
use rand::{Rng, RngExt};

use super::NextItemLoss;
use super::windows::Window;

/// Draws of an own negative before one that the user knows is taken after all.
const TRIES: usize = 20;

/// Who competes with the targets of one step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rivals {
    /// The same items for every target, ascending, and the log of the probability that each is
    /// among them. A target that is among them does not compete with itself.
    Shared {
        /// The items.
        items: Vec<u32>,
        /// `[items]`.
        log_q: Vec<f32>,
    },
    /// One item a target.
    Own(Vec<u32>),
}

/// Draws rivals among the items that training shows: an item that nobody used in training teaches
/// nothing as a negative but that nobody used it.
pub(crate) struct RivalSampler {
    loss: NextItemLoss,
    negatives: usize,
    used: Vec<u32>,
    /// Chance of each of `used` in one draw, and their running sum.
    chance: Vec<f64>,
    up_to: Vec<f64>,
}

impl RivalSampler {
    /// Items are drawn in proportion to `count^exponent`.
    pub(crate) fn new(loss: NextItemLoss, negatives: usize, exponent: f32, counts: &[u32]) -> Self {
        let used: Vec<u32> = (0..counts.len() as u32).filter(|i| counts[*i as usize] > 0).collect();
        let weight = |item: &u32| f64::from(counts[*item as usize]).powf(f64::from(exponent));
        let mut chance: Vec<f64> = used.iter().map(weight).collect();
        let total: f64 = chance.iter().sum();
        chance.iter_mut().for_each(|c| *c /= total);
        let mut sum = 0.0;
        let running = chance.iter().map(|c| {
            sum += c;
            sum
        });
        let up_to = running.collect();
        Self { loss, negatives, used, chance, up_to }
    }

    /// The rivals of a step with these targets.
    pub(crate) fn draw(
        &self,
        windows: &[&Window],
        train: &Interactions,
        rng: &mut impl Rng,
    ) -> Rivals {
        match self.loss {
            NextItemLoss::Softmax => {
                Rivals::Shared { items: self.used.clone(), log_q: vec![0.0; self.used.len()] }
            }
            NextItemLoss::Bce => {
                let positions = windows.iter().flat_map(|w| (0..w.positions()).map(|_| w.user));
                Rivals::Own(positions.map(|user| self.own(UserIdx(user), train, rng)).collect())
            }
            _ => self.shared(rng),
        }
    }

    fn one(&self, rng: &mut impl Rng) -> usize {
        let at: f64 = rng.random();
        self.up_to.partition_point(|sum| *sum <= at).min(self.used.len() - 1)
    }

    /// An item that the user does not have in training, where one is found.
    fn own(&self, user: UserIdx, train: &Interactions, rng: &mut impl Rng) -> u32 {
        let mut item = self.used[self.one(rng)];
        for _ in 0..TRIES {
            if !train.contains(user, quintet_core::ItemIdx(item)) {
                break;
            }
            item = self.used[self.one(rng)];
        }
        item
    }

    fn shared(&self, rng: &mut impl Rng) -> Rivals {
        let mut places: Vec<usize> = (0..self.negatives).map(|_| self.one(rng)).collect();
        places.sort_unstable();
        places.dedup();
        let draws = self.negatives as f64;
        let log_q = |at: &usize| (1.0 - (1.0 - self.chance[*at]).powf(draws)).ln() as f32;
        Rivals::Shared {
            log_q: places.iter().map(log_q).collect(),
            items: places.iter().map(|at| self.used[*at]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;

    #[test]
    fn rivals_are_used_items_in_proportion_to_their_counts() {
        let mut rng = SeedStream::new(3).rng("t", 0);
        let sampler = RivalSampler::new(NextItemLoss::SampledSoftmax, 1, 1.0, &[6, 0, 2]);
        let train = Interactions::from_pairs(1, 3, [(0, 0)]).unwrap();
        let mut firsts = 0;
        for _ in 0..4000 {
            let Rivals::Shared { items, log_q } = sampler.draw(&[], &train, &mut rng) else {
                panic!("shared rivals");
            };
            let chance = if items == [0] { 0.75f32 } else { 0.25 };
            assert!(items == [0] || items == [2]);
            assert!((log_q[0] - chance.ln()).abs() < 1e-6);
            firsts += usize::from(items == [0]);
        }
        // 3000 expected, with a standard deviation of 27.
        assert!((2860..3140).contains(&firsts), "{firsts}");
    }

    #[test]
    fn an_own_rival_is_unknown_to_the_user() {
        let mut rng = SeedStream::new(3).rng("t", 0);
        let sampler = RivalSampler::new(NextItemLoss::Bce, 1, 0.0, &[1, 1, 0, 1]);
        let known = [(0, 0), (0, 3)];
        let train = Interactions::from_pairs(1, 4, known).unwrap();
        let window = Window { user: 0, range: 0..40 };
        let Rivals::Own(items) = sampler.draw(&[&window], &train, &mut rng) else {
            panic!("own rivals");
        };
        assert_eq!(items, [1; 39]);
    }
}
