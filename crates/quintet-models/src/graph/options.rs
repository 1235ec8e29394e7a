//! Ways of training that every model of this family takes, beside its own parameters.
//!
//! ```text
//! optimiser     which optimiser, schedule, clipping and so on (quintet-tensor)
//! adversarial   loss(θ) + w · loss(θ + ε g / ‖g‖), g the gradient of each row     APR, AMR
//! truncate      positives of the lowest scores are left out of a batch           T-CE
//! ```
//! He, He, Du & Chua, "Adversarial Personalized Ranking for Recommendation", SIGIR 2018; Tang et
//! al., "Adversarial Training Towards Robust Multimedia Recommender System", TKDE 2019 (the same for
//! what is made of content: here every row of every weight is disturbed, projections of content
//! among them); Wang, Feng, He, Nie & Chua, "Denoising Implicit Feedback for Recommendation", WSDM
//! 2021. Difference of `truncate`: what to leave out is decided once an epoch, by the scores of all
//! training pairs, not within each batch.

use quintet_core::{Interactions, Matrix};
use quintet_data::TripletBatch;
use quintet_tensor::{FitError, OptimiserConfig, dot, parse_params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{above_zero, below_one};

/// Training against the worst small change of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Adversarial {
    /// Length of the change of a row.
    pub(crate) epsilon: f32,
    /// Weight of the loss after it.
    pub(crate) weight: f32,
}

impl Default for Adversarial {
    fn default() -> Self {
        Self { epsilon: 0.1, weight: 1.0 }
    }
}

/// Positives that are left out because they look like noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Truncate {
    /// Share of the training pairs, in the end.
    pub(crate) share: f32,
    /// Epochs until that share is reached, along a line from 0.
    pub(crate) warmup: usize,
}

impl Default for Truncate {
    fn default() -> Self {
        Self { share: 0.05, warmup: 10 }
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) optimiser: OptimiserConfig,
    pub(crate) adversarial: Option<Adversarial>,
    pub(crate) truncate: Option<Truncate>,
}

impl Options {
    /// Takes its keys out of the parameters of `model`.
    ///
    /// # Errors
    /// [`FitError::Config`] that names the key.
    pub(crate) fn take(model: &str, params: &mut Value) -> Result<Self, FitError> {
        let mut given = |key: &str| params.as_object_mut().and_then(|all| all.remove(key));
        let optimiser = given("optimiser").unwrap_or(Value::Null);
        let (adversarial, truncate) = (given("adversarial"), given("truncate"));
        let options = Self {
            optimiser: parse_params(model, &optimiser)?,
            adversarial: adversarial.map(|v| parse_params(model, &v)).transpose()?,
            truncate: truncate.map(|v| parse_params(model, &v)).transpose()?,
        };
        options.optimiser.check(model)?;
        if let Some(a) = options.adversarial {
            above_zero(model, "adversarial.epsilon", a.epsilon)?;
            above_zero(model, "adversarial.weight", a.weight)?;
        }
        if let Some(t) = options.truncate {
            below_one(model, "truncate.share", t.share)?;
        }
        Ok(options)
    }

    /// Adds its keys to the resolved parameters; those that are off are left out.
    pub(crate) fn write(&self, all: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Result<Value, serde_json::Error>| {
            all.insert(key.to_owned(), value.unwrap_or_default());
        };
        put("optimiser", serde_json::to_value(&self.optimiser));
        if let Some(a) = &self.adversarial {
            put("adversarial", serde_json::to_value(a));
        }
        if let Some(t) = &self.truncate {
            put("truncate", serde_json::to_value(t));
        }
    }
}

impl Truncate {
    /// The score below which a training pair is left out in `epoch`, counted from 1.
    pub(crate) fn limit(
        &self,
        epoch: usize,
        train: &Interactions,
        users: &Matrix,
        items: &Matrix,
    ) -> f32 {
        let grown = (epoch - 1) as f32 / self.warmup.max(1) as f32;
        let out = (self.share * grown.min(1.0) * train.nnz() as f32) as usize;
        if out == 0 {
            return f32::NEG_INFINITY;
        }
        let score =
            |t: quintet_core::Triplet| dot(users.row(t.user.index()), items.row(t.item.index()));
        let mut scores: Vec<f32> = train.iter().map(score).collect();
        let (_, limit, _) = scores.select_nth_unstable_by(out, f32::total_cmp);
        *limit
    }
}

/// The triples of a batch whose positive scores at least `limit`.
pub(crate) fn above(
    batch: &TripletBatch,
    limit: f32,
    users: &Matrix,
    items: &Matrix,
) -> TripletBatch {
    let mut kept = TripletBatch::default();
    let triples = batch.users.iter().zip(&batch.positives).zip(&batch.negatives);
    for ((&u, &i), &j) in triples {
        if dot(users.row(u as usize), items.row(i as usize)) >= limit {
            kept.users.push(u);
            kept.positives.push(i);
            kept.negatives.push(j);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_pairs_are_left_out_more_and_more() {
        let train = Interactions::from_pairs(2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)]).unwrap();
        let users = Matrix::from_vec(2, 1, vec![1.0, 2.0]).unwrap();
        let items = Matrix::from_vec(2, 1, vec![1.0, 3.0]).unwrap();
        // Scores 1, 3, 2, 6.
        let truncate = Truncate { share: 0.5, warmup: 2 };
        let limit = |epoch| truncate.limit(epoch, &train, &users, &items);
        assert_eq!((limit(1), limit(2), limit(9)), (f32::NEG_INFINITY, 2.0, 3.0));
        let batch = TripletBatch {
            users: vec![0, 1, 1],
            positives: vec![0, 0, 1],
            negatives: vec![1, 1, 0],
            ..TripletBatch::default()
        };
        let kept = above(&batch, 2.0, &users, &items);
        assert_eq!(
            (kept.users, kept.positives, kept.negatives),
            (vec![1, 1], vec![0, 1], vec![1, 0])
        );
    }

    #[test]
    fn keys_that_are_wrong_are_named() {
        for (text, key) in [
            (r#"{"adversarial": {"epsilon": 0}}"#, "adversarial.epsilon"),
            (r#"{"truncate": {"share": 1.0}}"#, "truncate.share"),
            (r#"{"optimiser": {"kind": "magic"}}"#, "magic"),
        ] {
            let mut params = serde_json::from_str(text).unwrap();
            let error = Options::take("m", &mut params).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
