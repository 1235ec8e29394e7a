//! One number for each of some users, and whom it is not defined for.

use quintet_core::UserIdx;
use serde::Serialize;

use crate::EvalError;
use crate::rank::check;

/// A per-user metric: the users that it is defined for, and their values.
///
/// Some metrics do not exist for everybody: a list of one item has no pair to be diverse. Such
/// users are left out, never given a zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct UserValues {
    users: Vec<UserIdx>,
    values: Vec<f64>,
}

impl UserValues {
    /// `values[i]` belongs to `users[i]`.
    ///
    /// # Errors
    /// Not one value a user, or a value that is not finite.
    pub fn new(users: Vec<UserIdx>, values: Vec<f64>) -> Result<Self, EvalError> {
        check("values, one a user", users.len(), values.len())?;
        check_finite("value of user position", &values)?;
        Ok(Self { users, values })
    }

    /// Keeps the users that have a value; all values are finite.
    pub(crate) fn defined(users: &[UserIdx], values: impl Iterator<Item = Option<f64>>) -> Self {
        let (users, values) = users.iter().zip(values).filter_map(|(u, v)| Some((*u, v?))).unzip();
        Self { users, values }
    }

    /// The users that have a value, in the order in which they were measured.
    pub fn users(&self) -> &[UserIdx] {
        &self.users
    }

    /// Their values.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// How many users have a value.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody has a value.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The mean over these users; `None` for nobody.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.values.iter().sum::<f64>() / self.values.len() as f64)
    }
}

/// Refuses NaN and infinity; `what` names one value, such as `truth`.
pub(crate) fn check_finite(what: &'static str, values: &[f64]) -> Result<(), EvalError> {
    check_values(what, "a finite number", values, f64::is_finite)
}

/// Refuses the first value for which `allowed` is false.
pub(crate) fn check_values(
    what: &'static str,
    expected: &'static str,
    values: &[f64],
    allowed: fn(f64) -> bool,
) -> Result<(), EvalError> {
    match values.iter().position(|v| !allowed(*v)) {
        None => Ok(()),
        Some(index) => Err(EvalError::Value { what, index, expected, value: values[index] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_without_a_value_are_no_zeros() {
        let users = [UserIdx(3), UserIdx(5), UserIdx(8)];
        let got = UserValues::defined(&users, [Some(1.0), None, Some(2.0)].into_iter());
        assert_eq!((got.users(), got.mean()), (&[UserIdx(3), UserIdx(8)][..], Some(1.5)));
        assert_eq!(UserValues::default().mean(), None);
        let err = UserValues::new(vec![UserIdx(1); 2], vec![0.0, f64::NAN]).unwrap_err();
        assert_eq!(
            err.to_string(),
            "value of user position 1: expected a finite number, found NaN"
        );
    }
}
