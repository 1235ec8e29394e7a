//! Which events are kept, and the account of where every row went; `shape` does the work.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::impute_config::bad;

/// Which events are kept.
///
/// The steps run in this order, whatever the order of the keys:
///
/// 1. `events`: kinds that were not asked for go.
/// 2. `min_value`: values below the threshold go.
/// 3. Repeats of a user and item become one event.
/// 4. `max_per_user`: all but the latest events of a user go.
/// 5. `user_core`, `item_core`: the k-core of what is left. It comes after `max_per_user`, so
///    that what it promises holds at the end.
/// 6. `binary`: the values that are left become 1. The threshold and the choice among repeats
///    have seen the real values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShapeConfig {
    /// Smallest value that counts as liking; none keeps every value.
    pub min_value: Option<f32>,
    /// Kinds of events to keep; none keeps every kind.
    pub events: Option<Vec<String>>,
    /// Most items of a user, the latest ones; at one time those later in the catalogue. None
    /// keeps all. Needs times.
    pub max_per_user: Option<usize>,
    /// Fewest different items a user must have; 0 and 1 keep every user.
    pub user_core: usize,
    /// Fewest different users an item must have; 0 and 1 keep every item.
    pub item_core: usize,
    /// Whether every value that is left becomes 1: a like is a like.
    pub binary: bool,
}

impl ShapeConfig {
    /// Checks the settings; `known` are the kinds of events that occur.
    ///
    /// # Errors
    /// A threshold that is not a number, a `max_per_user` below `user_core`, or a kind of event
    /// that does not occur.
    pub fn check(&self, known: &BTreeSet<&str>) -> Result<(), DataError> {
        if let Some(min) = self.min_value.filter(|m| !m.is_finite()) {
            return Err(bad("min_value", "a finite number", min));
        }
        if let Some(max) = self.max_per_user.filter(|max| *max < self.user_core.max(1)) {
            let expected = "at least 1 and at least `user_core`, or no user could stay";
            return Err(bad("max_per_user", expected, max));
        }
        let Some(asked) = &self.events else {
            return Ok(());
        };
        if asked.is_empty() {
            return Err(bad("events", "at least one kind of event", "an empty list"));
        }
        match asked.iter().find(|kind| !known.contains(kind.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let names: Vec<&str> = known.iter().copied().collect();
                let expected = format!("kinds that occur: {}", names.join(", "));
                Err(bad("events", &expected, format!("{unknown:?}")))
            }
        }
    }
}

/// Where every row went: `rows_in` is the sum of `rows_out`, `other_event`, `below_min_value`,
/// `merged_repeats`, `over_max_per_user`, `dropped_by_core_users` and `dropped_by_core_items`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShapeReport {
    /// Events that came.
    pub rows_in: usize,
    /// Left out: a kind that was not asked for.
    pub other_event: usize,
    /// Left out: a kind that was asked for, with a value below the threshold.
    pub below_min_value: usize,
    /// Merged into another event of the same user and item.
    pub merged_repeats: usize,
    /// Left out: the user has enough later ones.
    #[serde(default)]
    pub over_max_per_user: usize,
    /// Left out: the user has too few items.
    pub dropped_by_core_users: usize,
    /// Left out: the item has too few users.
    pub dropped_by_core_items: usize,
    /// How many times peeling users and then items took something away.
    pub core_rounds: usize,
    /// Users who had more than `max_per_user`.
    #[serde(default)]
    pub users_capped: usize,
    /// Users whose last events the k-core took away.
    pub users_dropped: usize,
    /// Items whose last events the k-core took away.
    pub items_dropped: usize,
    /// Users that are left.
    pub users_out: usize,
    /// Items that are left with events; the others stay in the catalogue, cold.
    pub items_out: usize,
    /// Events that are left.
    pub rows_out: usize,
    /// Events that are left and whose value was not 1 before `binary` made it so.
    #[serde(default)]
    pub made_binary: usize,
}

impl ShapeReport {
    /// Whether every row is accounted for.
    pub fn adds_up(&self) -> bool {
        self.rows_in
            == self.rows_out
                + self.other_event
                + self.below_min_value
                + self.merged_repeats
                + self.over_max_per_user
                + self.dropped_by_core_users
                + self.dropped_by_core_items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_strictly_and_checked() {
        assert!(toml::from_str::<ShapeConfig>("user_cor = 5").is_err());
        let config: ShapeConfig = toml::from_str("max_per_user = 4\nuser_core = 5").unwrap();
        let err = config.check(&BTreeSet::new()).unwrap_err().to_string();
        assert!(err.starts_with("max_per_user is 4; expected"), "{err}");
        let zero = ShapeConfig { max_per_user: Some(0), ..ShapeConfig::default() };
        assert!(zero.check(&BTreeSet::new()).is_err());
        let same = ShapeConfig { max_per_user: Some(5), user_core: 5, ..ShapeConfig::default() };
        assert!(same.check(&BTreeSet::new()).is_ok());
    }
}
