//! The k best of a stream, in constant time an offer.
//!
//! A buffer of up to `2 k` offers; when it is full, the better half is selected and its worst
//! score becomes the least that is still let in. What is kept does not depend on the order of the
//! offers: scores are compared first, then the smaller entity.

use std::cmp::Ordering;

/// An entity and its score.
pub(crate) type Offer = (u32, f32);

/// The `k` best of what was offered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Best {
    offers: Vec<Offer>,
    least: f32,
}

/// `Less` when `a` is better: the larger score, then the smaller entity.
fn order(a: &Offer, b: &Offer) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

impl Best {
    /// Scores below this are not among the best; at least 0.
    pub(crate) fn least(&self) -> f32 {
        self.least
    }

    /// Takes an offer whose score is positive and not below [`Best::least`]; `k` is at least 1.
    pub(crate) fn push(&mut self, k: usize, entity: u32, score: f32) {
        self.offers.push((entity, score));
        if self.offers.len() >= k.saturating_mul(2) {
            self.cut(k);
        }
    }

    fn cut(&mut self, k: usize) {
        if self.offers.len() < k {
            return;
        }
        let (_, worst, _) = self.offers.select_nth_unstable_by(k - 1, order);
        self.least = worst.1;
        self.offers.truncate(k);
    }

    /// The `k` best, by entity.
    pub(crate) fn finish(self, k: usize) -> Vec<Offer> {
        best_of(self.offers, k)
    }
}

/// The `k` best of some offers, by entity; `k` is at least 1.
pub(crate) fn best_of(mut offers: Vec<Offer>, k: usize) -> Vec<Offer> {
    if offers.len() > k {
        offers.select_nth_unstable_by(k - 1, order);
        offers.truncate(k);
    }
    offers.sort_unstable_by_key(|offer| offer.0);
    offers.shrink_to_fit();
    offers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_full_sort(scores in proptest::collection::vec(1u8..6, 0..60), k in 1usize..9) {
            let mut best = Best::default();
            for (entity, &score) in scores.iter().enumerate() {
                let score = f32::from(score);
                if score >= best.least() {
                    best.push(k, entity as u32, score);
                }
            }
            let mut all: Vec<Offer> =
                scores.iter().enumerate().map(|(i, &s)| (i as u32, f32::from(s))).collect();
            all.sort_by(order);
            all.truncate(k);
            all.sort_by_key(|offer| offer.0);
            prop_assert_eq!(best.finish(k), all);
        }
    }
}
