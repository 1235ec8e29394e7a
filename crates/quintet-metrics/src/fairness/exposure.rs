//! How much of the users' attention each item gets.
//!
//! A place at rank `r` gets `1`, `1 / log2(r + 1)` or `1 / r`; the exposure of an item is the sum
//! over its places in all lists. [`Groups::shares`](super::Groups::shares) makes shares of groups
//! of it; compare these with what is thought fair: the shares of the groups' items (parity), of
//! their interactions (popularity), of their held-out items (merit).
//!
//! Papers: Singh and Joachims, "Fairness of Exposure in Rankings", KDD 2018; Biega, Gummadi,
//! Weikum, "Equity of Attention", SIGIR 2018.
//! Cost: O(places + items).

use serde::{Deserialize, Serialize};

use crate::beyond::UserLists;

/// How attention falls from the first place down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discount {
    /// Every place counts 1.
    None,
    /// `1 / log2(rank + 1)`, as in NDCG.
    Log2,
    /// `1 / rank`, as in the mean reciprocal rank.
    Reciprocal,
}

impl Discount {
    /// The weight of a rank, counted from 1.
    pub fn weight(self, rank: usize) -> f64 {
        match self {
            Discount::None => 1.0,
            Discount::Log2 => 1.0 / (rank as f64 + 1.0).log2(),
            Discount::Reciprocal => 1.0 / rank as f64,
        }
    }
}

/// The exposure of every item, `[n_items]`.
pub fn item_exposure(lists: &UserLists<'_>, discount: Discount) -> Vec<f64> {
    let mut exposure = vec![0.0; lists.n_items()];
    for (_, list) in lists.iter() {
        for (rank, item) in (1..).zip(list) {
            exposure[item.index()] += discount.weight(rank);
        }
    }
    exposure
}

#[cfg(test)]
mod tests {
    use super::super::{Groups, total_variation};
    use super::*;
    use quintet_core::{ItemIdx, UserIdx};

    #[test]
    fn by_hand() {
        let users = [UserIdx(0), UserIdx(1)];
        let lists = [vec![ItemIdx(0), ItemIdx(1), ItemIdx(2)], vec![ItemIdx(1)]];
        let lists = UserLists::new(&users, &lists, 3, (2, 4)).unwrap();
        assert_eq!(item_exposure(&lists, Discount::None), [1.0, 2.0, 1.0, 0.0]);
        let second = 1.0 / 3f64.log2();
        assert_eq!(item_exposure(&lists, Discount::Log2), [1.0, second + 1.0, 0.5, 0.0]);
        let exposure = item_exposure(&lists, Discount::Reciprocal);
        assert_eq!(exposure, [1.0, 1.5, 1.0 / 3.0, 0.0]);
        // Items 0 and 1 against 2 and 3: 15/17 of the attention for half of the items.
        let names = ["a", "b"].map(String::from).to_vec();
        let groups = Groups::from_labels(names, &[Some(0), Some(0), Some(1), Some(1)]).unwrap();
        let (got, fair) = (groups.shares(&exposure).unwrap(), groups.shares(&[1.0; 4]).unwrap());
        assert!((total_variation(&got, &fair) - (15.0 / 17.0 - 0.5)).abs() < 1e-15);
    }
}
