//! How differently groups of users are served, by any metric that is a value a user.
//!
//! Every group has the mean of its users. The gap is the largest minus the smallest mean, the
//! ratio the smallest over the largest, the spread the standard deviation of the means (of the
//! whole population). Groups of nobody do not count; a user of several groups counts in each.
//!
//! Paper: Ekstrand et al., "All The Cool Kids, How Do They Fit In?", FAT* 2018; Li, Chen, Fu, Ge,
//! Zhang, "User-oriented Fairness in Recommendation", WWW 2021 (the gap of two groups).
//! Cost: O(users + groups).

use serde::Serialize;

use super::Groups;
use crate::{EvalError, UserValues};

/// A metric by groups of users.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupGaps {
    /// The mean of every group, `[n_groups]`; `None` for a group of nobody.
    pub means: Vec<Option<f64>>,
    /// How many users of every group have a value, `[n_groups]`.
    pub n_users: Vec<usize>,
    /// Largest minus smallest mean; 0 is equal.
    pub gap: f64,
    /// Smallest over largest mean; 1 is equal. `None` when a mean is negative; 1 when all are 0.
    pub ratio: Option<f64>,
    /// Standard deviation of the means.
    pub spread: f64,
    /// The mean of the means: every group weighs the same.
    pub mean_of_groups: f64,
}

/// Compares the groups of users, `[n_users]`, by `values`.
///
/// # Errors
/// A user that the groups do not know, or no group with a value.
pub fn group_gaps(values: &UserValues, groups: &Groups) -> Result<GroupGaps, EvalError> {
    let mut sums = vec![0.0; groups.n_groups()];
    let mut n_users = vec![0; groups.n_groups()];
    for (user, value) in values.users().iter().zip(values.values()) {
        if user.index() >= groups.n_rows() {
            let (index, len) = (user.index(), groups.n_rows());
            return Err(EvalError::OutOfRange { what: "user", index, len });
        }
        for group in groups.of(user.index()) {
            sums[*group as usize] += value;
            n_users[*group as usize] += 1;
        }
    }
    let mean = |(sum, n): (&f64, &usize)| (*n > 0).then(|| sum / *n as f64);
    let means: Vec<Option<f64>> = sums.iter().zip(&n_users).map(mean).collect();
    let known: Vec<f64> = means.iter().flatten().copied().collect();
    if known.is_empty() {
        let test = "a comparison of groups of users";
        return Err(EvalError::TooFew { test, needed: 1, found: 0 });
    }
    let (low, high) = known
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), m| (low.min(*m), high.max(*m)));
    let mean_of_groups = known.iter().sum::<f64>() / known.len() as f64;
    let squares = known.iter().map(|m| (m - mean_of_groups) * (m - mean_of_groups));
    let spread = if low == high { 0.0 } else { (squares.sum::<f64>() / known.len() as f64).sqrt() };
    let ratio = if high == 0.0 { 1.0 } else { low / high };
    let ratio = (low >= 0.0).then_some(ratio);
    Ok(GroupGaps { means, n_users, gap: high - low, ratio, spread, mean_of_groups })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::UserIdx;

    fn groups() -> Groups {
        let names = ["a", "b", "c"].map(String::from).to_vec();
        Groups::from_labels(names, &[Some(0), Some(0), Some(1), None]).unwrap()
    }

    fn of(values: &[f64]) -> Result<GroupGaps, EvalError> {
        let users = (0..values.len()).map(UserIdx::new).collect();
        group_gaps(&UserValues::new(users, values.to_vec())?, &groups())
    }

    #[test]
    fn by_hand() {
        let got = of(&[0.25, 0.75, 0.25, 9.0]).unwrap();
        assert_eq!(
            (&got.means[..], &got.n_users[..]),
            (&[Some(0.5), Some(0.25), None][..], &[2, 1, 0][..])
        );
        assert_eq!((got.gap, got.ratio, got.spread), (0.25, Some(0.5), 0.125));
        assert_eq!(got.mean_of_groups, 0.375);
        let zero = of(&[0.0, 0.0, 0.0]).unwrap();
        assert_eq!((zero.gap, zero.ratio, zero.spread), (0.0, Some(1.0), 0.0));
        assert_eq!(of(&[-1.0, -1.0, 1.0]).unwrap().ratio, None);
    }

    #[test]
    fn bad_input_is_named() {
        let far = of(&[0.0; 5]).unwrap_err().to_string();
        assert_eq!(far, "user 4 is out of range: there are 4");
        let nobody = of(&[]).unwrap_err().to_string();
        assert_eq!(nobody, "a comparison of groups of users needs at least 1 values, found 0");
    }
}
