//! The result of an evaluation, typed by the phase of its data.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use quintet_core::{Phase, UserIdx};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::EvalError;

/// Metrics of one model on the held-out data of phase `P`, by key such as `"ndcg@10"`.
///
/// `Evaluation<Valid>` and `Evaluation<Test>` are different types, and the phase is saved with
/// the numbers: a test result cannot be loaded as a validation result.
#[derive(Clone, PartialEq)]
pub struct Evaluation<P: Phase> {
    pub(crate) n_skipped: usize,
    pub(crate) means: BTreeMap<String, f64>,
    pub(crate) users: Vec<UserIdx>,
    pub(crate) per_user: BTreeMap<String, Vec<f64>>,
    pub(crate) phase: PhantomData<P>,
}

impl<P: Phase> Evaluation<P> {
    /// One metric, such as `"ndcg@10"`, unrounded.
    pub fn get(&self, key: &str) -> Option<f64> {
        self.means.get(key).copied()
    }

    /// As [`Evaluation::get`], for keys that come from a person.
    ///
    /// # Errors
    /// [`EvalError::UnknownKey`], which lists the keys that are there.
    pub fn require(&self, key: &str) -> Result<f64, EvalError> {
        self.get(key).ok_or_else(|| self.unknown(key, self.means.keys()))
    }

    /// The values of the users of [`Evaluation::users`], in their order; `None` for an unknown
    /// key and for metrics that are no mean over users, such as coverage.
    pub fn per_user(&self, key: &str) -> Option<&[f64]> {
        self.per_user.get(key).map(Vec::as_slice)
    }

    /// As [`Evaluation::per_user`], for keys that come from a person.
    ///
    /// # Errors
    /// [`EvalError::UnknownKey`], which lists the keys that have per-user values.
    pub fn require_per_user(&self, key: &str) -> Result<&[f64], EvalError> {
        self.per_user(key).ok_or_else(|| self.unknown(key, self.per_user.keys()))
    }

    /// Every metric, sorted by key.
    pub fn means(&self) -> &BTreeMap<String, f64> {
        &self.means
    }

    /// The keys that have per-user values, sorted, each with its values.
    pub fn per_user_values(&self) -> &BTreeMap<String, Vec<f64>> {
        &self.per_user
    }

    /// The evaluated users, ascending.
    pub fn users(&self) -> &[UserIdx] {
        &self.users
    }

    /// How many users were evaluated.
    pub fn n_users(&self) -> usize {
        self.users.len()
    }

    /// How many users were left out because no held-out item of theirs took part.
    pub fn n_skipped(&self) -> usize {
        self.n_skipped
    }

    fn unknown<'a>(&self, key: &str, known: impl Iterator<Item = &'a String>) -> EvalError {
        EvalError::UnknownKey {
            key: key.to_owned(),
            known: known.cloned().collect::<Vec<_>>().join(", "),
        }
    }
}

impl<P: Phase> fmt::Debug for Evaluation<P> {
    /// Leaves the per-user values out: they are as long as the data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluation")
            .field("phase", &P::NAME)
            .field("n_users", &self.n_users())
            .field("n_skipped", &self.n_skipped)
            .field("means", &self.means)
            .finish_non_exhaustive()
    }
}

/// The saved form; the order of the fields is part of it.
#[derive(Serialize)]
struct SavedRef<'a> {
    phase: &'a str,
    n_users: usize,
    n_skipped: usize,
    means: &'a BTreeMap<String, f64>,
    users: &'a [UserIdx],
    per_user: &'a BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    phase: String,
    n_users: usize,
    n_skipped: usize,
    means: BTreeMap<String, f64>,
    users: Vec<UserIdx>,
    per_user: BTreeMap<String, Vec<f64>>,
}

impl<P: Phase> Serialize for Evaluation<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SavedRef {
            phase: P::NAME,
            n_users: self.n_users(),
            n_skipped: self.n_skipped,
            means: &self.means,
            users: &self.users,
            per_user: &self.per_user,
        }
        .serialize(serializer)
    }
}

impl<'de, P: Phase> Deserialize<'de> for Evaluation<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let saved = Saved::deserialize(deserializer)?;
        if saved.phase != P::NAME {
            return Err(D::Error::custom(format!(
                "expected an evaluation on the {} data, found one on the {} data",
                P::NAME,
                saved.phase
            )));
        }
        let n_users = saved.users.len();
        let lengths = saved.per_user.iter().map(|(key, values)| (key.as_str(), values.len()));
        for (what, found) in lengths.chain([("n_users", saved.n_users)]) {
            if found != n_users {
                return Err(D::Error::custom(format!(
                    "evaluation, {what}: expected {n_users} (the number of users), found {found}"
                )));
            }
        }
        Ok(Self {
            n_skipped: saved.n_skipped,
            means: saved.means,
            users: saved.users,
            per_user: saved.per_user,
            phase: PhantomData,
        })
    }
}
