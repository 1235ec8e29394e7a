//! The form in which factor models of ratings end: `r̂ = μ + b_u + b_i + p_u · q_i`.

use quintet_core::{Matrix, ModelState, RatingError};
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use super::fitted::{Estimate, Estimator, Known, KnownPair, get_row, put_row};

/// How the product of the factors becomes a rating.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// As it is.
    #[default]
    Identity,
    /// `low + (high − low) · σ(p · q)`: always inside the scale.
    Logistic,
}

/// A fitted factor model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FactorForm {
    /// `[n_users, dim]`.
    pub(crate) users: Matrix,
    /// `[n_items, dim]`.
    pub(crate) items: Matrix,
    /// What users and items add to the mean; `None` in models without biases, which then have
    /// nothing to say about unknown users and items.
    pub(crate) biases: Option<(Vec<f32>, Vec<f32>)>,
    /// The ends of the scale for [`Link::Logistic`].
    pub(crate) logistic: Option<[f32; 2]>,
}

impl FactorForm {
    /// Refuses what is not finite.
    pub(crate) fn checked(self) -> Result<Self, RatingError> {
        self.users.check_finite("user factors")?;
        self.items.check_finite("item factors")?;
        Ok(self)
    }

    pub(crate) fn load(
        state: &ModelState,
        known: &Known,
        biased: bool,
        logistic: bool,
    ) -> Result<Self, RatingError> {
        let (n_users, n_items) = (known.user_means.len(), known.item_means.len());
        let dim = state.matrix("users")?.cols();
        let logistic = match logistic {
            true => {
                let ends = get_row(state, "scale", 2)?;
                Some([ends[0], ends[1]])
            }
            false => None,
        };
        let biases = match biased {
            true => {
                let users = get_row(state, "user_bias", n_users)?;
                Some((users, get_row(state, "item_bias", n_items)?))
            }
            false => None,
        };
        Ok(Self {
            users: state.shaped("users", n_users, dim)?.clone(),
            items: state.shaped("items", n_items, dim)?.clone(),
            biases,
            logistic,
        })
    }
}

impl Estimator for FactorForm {
    fn estimate(&self, known: &Known, (user, item): KnownPair) -> Option<Estimate> {
        let (user, item) = (user as usize, item as usize);
        let wide = |(a, b): (&f32, &f32)| f64::from(*a) * f64::from(*b);
        let dot: f64 = self.users.row(user).iter().zip(self.items.row(item)).map(wide).sum();
        let base = self.partial(known, Some(user), Some(item)).unwrap_or(0.0);
        let value = match self.logistic {
            Some([low, high]) => {
                let (low, high) = (f64::from(low), f64::from(high));
                low + (high - low) / (1.0 + (-dot).exp())
            }
            None => base + dot,
        };
        Some(value.into())
    }

    fn partial(&self, known: &Known, user: Option<usize>, item: Option<usize>) -> Option<f64> {
        let (users, items) = self.biases.as_ref()?;
        let add = |side: &[f32], at: Option<usize>| at.map_or(0.0, |at| f64::from(side[at]));
        Some(f64::from(known.mean) + add(users, user) + add(items, item))
    }

    fn save(&self, state: &mut ModelState) {
        state.put("users", self.users.clone());
        state.put("items", self.items.clone());
        if let Some((users, items)) = &self.biases {
            put_row(state, "user_bias", users);
            put_row(state, "item_bias", items);
        }
    }
}

/// `[rows, cols]` of `N(mean, std²)`, from one generator.
pub(crate) fn normal_table(
    rows: usize,
    cols: usize,
    (mean, std): (f32, f32),
    mut rng: impl rand::Rng,
) -> Matrix {
    let mut table = Matrix::zeros(rows, cols);
    if let Ok(normal) = Normal::new(mean, std) {
        table.as_mut_slice().fill_with(|| normal.sample(&mut rng));
    }
    table
}
