//! Means over some of the users: light and heavy ones, new ones, the groups of an attribute.
//!
//! By item, see `Evaluator::evaluate_by_item_group`.

use std::collections::BTreeMap;

use quintet_core::Phase;
use serde::{Deserialize, Serialize};

use crate::rank::check;
use crate::{EvalError, Evaluation};

/// Results over one group of users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// How many of the evaluated users are in it; at least 1.
    pub n_users: usize,
    /// The mean over them of every metric that has values by user.
    pub means: BTreeMap<String, f64>,
}

impl<P: Phase> Evaluation<P> {
    /// The results by group of users: `groups` gives the group of every user of the data,
    /// `[n_users]` of the held-out interactions, evaluated or not. Groups without an evaluated
    /// user have no result. Metrics without values by user, such as coverage, are left out.
    ///
    /// # Errors
    /// Another number of groups than users.
    pub fn slice<G: Ord + Clone>(&self, groups: &[G]) -> Result<BTreeMap<G, Slice>, EvalError> {
        check("groups, one a user", self.n_users() + self.n_skipped, groups.len())?;
        let mut places: BTreeMap<&G, Vec<usize>> = BTreeMap::new();
        for (place, user) in self.users.iter().enumerate() {
            let group = groups.get(user.index()).ok_or(EvalError::OutOfRange {
                what: "user",
                index: user.index(),
                len: groups.len(),
            })?;
            places.entry(group).or_default().push(place);
        }
        let slice = |places: Vec<usize>| {
            let mean = |values: &[f64]| {
                places.iter().map(|place| values[*place]).sum::<f64>() / places.len() as f64
            };
            let means = self.per_user.iter().map(|(key, values)| (key.clone(), mean(values)));
            Slice { n_users: places.len(), means: means.collect() }
        };
        Ok(places.into_iter().map(|(group, places)| (group.clone(), slice(places))).collect())
    }
}
