//! Stacking: a linear model of what the models say.
//!
//! Features of a user and an item: for each model the normalised score, the rank scale and whether
//! it is absent; `ln(1 + n_i)`, `ln(1 + n_u)`; which modalities the item has. They are brought to
//! mean 0 and deviation 1. The target is whether the item was held out; negatives are drawn from
//! the other listed items. Logistic or ridge regression, see [`fit_logistic`] and [`fit_ridge`].
//!
//! Wolpert, "Stacked Generalization", Neural Networks 1992; Sill et al., "Feature-Weighted Linear
//! Stacking", 2009. Learn on rows of models that did not see what was held out, or the most
//! overfitted model is trusted most. Parameters `3 N + 3 + M`; cost `O(rows · parameters²)`.

use quintet_core::{Matrix, ModelState, SeedStream};
use quintet_tensor::{FitError, parse_params};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{
    Ballot, DecisionEntry, DecisionFusion, ItemFacts, Lesson, LinearFit, Normalise, config,
    fit_logistic, fit_ridge, title,
};

const NAME: &str = "stack";

/// Features of each model.
const PER_MODEL: usize = 3;

pub(crate) const ENTRY: DecisionEntry = DecisionEntry {
    name: NAME,
    summary: "linear model of scores, ranks, absences and counts (Wolpert 1992)",
    build: |params, n| Ok(Box::new(Stack::new(parse_params(&title(NAME), params)?, n)?)),
};

/// What is fitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learner {
    /// Logistic regression.
    #[default]
    Logistic,
    /// Ridge regression on 0 and 1.
    Ridge,
}

/// Parameters of [`Stack`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StackParams {
    /// What is fitted.
    pub learner: Learner,
    /// The scale of the scores.
    pub normalise: Normalise,
    /// Penalty of the squared coefficients.
    pub l2: f64,
    /// Negatives drawn for each held-out item.
    pub negatives: usize,
}

impl Default for StackParams {
    fn default() -> Self {
        let (learner, normalise) = (Learner::default(), Normalise::default());
        Self { learner, normalise, l2: 1.0, negatives: 20 }
    }
}

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
struct Learned {
    /// `[means; deviations; coefficients; standard errors; (intercept, its error, 0 …)]`.
    numbers: Matrix,
}

/// Linear stacking.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    params: StackParams,
    n_models: usize,
    learned: Option<Learned>,
}

impl Stack {
    /// For so many models.
    ///
    /// # Errors
    /// There is no model, or a parameter is out of range.
    pub fn new(params: StackParams, n_models: usize) -> Result<Self, FitError> {
        super::checked_weights(NAME, None, n_models)?;
        if !(params.l2.is_finite() && params.l2 > 0.0) {
            return Err(config(NAME, format!("l2 is {}, more than 0 is needed", params.l2)));
        }
        if params.negatives == 0 {
            return Err(config(NAME, "negatives is 0, at least 1 is needed".into()));
        }
        Ok(Self { params, n_models, learned: None })
    }

    /// Name, coefficient on the standardised feature and its standard error, for every feature;
    /// empty before anything is learned.
    pub fn coefficients(&self) -> Vec<(String, f64, f64)> {
        let Some(Learned { numbers }) = &self.learned else { return Vec::new() };
        let names = feature_names(self.n_models, numbers.cols() - PER_MODEL * self.n_models - 2);
        let number = |row: usize, at: usize| f64::from(numbers.row(row)[at]);
        let all = names.into_iter().enumerate();
        all.map(|(at, name)| (name, number(2, at), number(3, at))).collect()
    }

    /// The features of `items`, `[items, features]`.
    fn features(&self, ballot: &Ballot<'_>, items: &[usize]) -> Result<Matrix, FitError> {
        check_facts(ballot)?;
        let n_modalities = ballot.facts.modalities.first().map_or(0, Vec::len);
        let mut x = Matrix::zeros(items.len(), PER_MODEL * self.n_models + 2 + n_modalities);
        for (model, row) in ballot.rows.iter().enumerate() {
            let scores = self.params.normalise.filled(row)?;
            let ranks = Normalise::Rank.filled(row)?;
            for (at, &item) in items.iter().enumerate() {
                let own = &mut x.row_mut(at)[PER_MODEL * model..];
                own[0] = scores[item] as f32;
                own[1] = ranks[item] as f32;
                own[2] = f32::from(u8::from(row[item].is_none()));
            }
        }
        for (at, &item) in items.iter().enumerate() {
            let rest = &mut x.row_mut(at)[PER_MODEL * self.n_models..];
            rest[0] = (ballot.facts.counts[item] as f32).ln_1p();
            rest[1] = (ballot.user_count as f32).ln_1p();
            if let Some(flags) = ballot.facts.modalities.get(item) {
                rest[2..].iter_mut().zip(flags).for_each(|(x, f)| *x = f32::from(u8::from(*f)));
            }
        }
        Ok(x)
    }

    fn learned(&self, n_features: usize) -> Result<&Matrix, FitError> {
        match &self.learned {
            None => Err(config(NAME, "the stack is to be learned first".into())),
            Some(Learned { numbers }) if numbers.cols() != n_features => Err(FitError::Data {
                model: title(NAME),
                reason: format!("{n_features} features, {} were learned", numbers.cols()),
            }),
            Some(Learned { numbers }) => Ok(numbers),
        }
    }
}

fn feature_names(n_models: usize, n_modalities: usize) -> Vec<String> {
    let of_model = |m: usize| ["score", "rank", "absent"].map(|what| format!("model {m} {what}"));
    let models = (0..n_models).flat_map(of_model);
    let counts = ["ln item count", "ln user count"].map(str::to_owned);
    let modalities = (0..n_modalities).map(|m| format!("modality {m}"));
    models.chain(counts).chain(modalities).collect()
}

fn check_facts(ballot: &Ballot<'_>) -> Result<(), FitError> {
    let (n, facts) = (ballot.n_items(), ballot.facts);
    let equal = facts.modalities.windows(2).all(|w| w[0].len() == w[1].len());
    if facts.counts.len() != n || ![0, n].contains(&facts.modalities.len()) || !equal {
        let (counts, flags) = (facts.counts.len(), facts.modalities.len());
        return Err(FitError::Data {
            model: title(NAME),
            reason: format!("{n} items, {counts} counts and {flags} rows of modality flags"),
        });
    }
    Ok(())
}

/// Means and deviations of the columns; the deviation of a constant is 1.
fn moments(x: &Matrix) -> (Vec<f32>, Vec<f32>) {
    let n = x.rows().max(1) as f64;
    let column = |c: usize| (0..x.rows()).map(move |r| f64::from(x.row(r)[c]));
    let mean: Vec<f64> = (0..x.cols()).map(|c| column(c).sum::<f64>() / n).collect();
    let deviation = (0..x.cols()).map(|c| {
        let variance = column(c).map(|v| (v - mean[c]).powi(2)).sum::<f64>() / n;
        if variance > 1e-12 { variance.sqrt() as f32 } else { 1.0 }
    });
    (mean.iter().map(|m| *m as f32).collect(), deviation.collect())
}

fn standardise(x: &mut Matrix, mean: &[f32], deviation: &[f32]) {
    for row in 0..x.rows() {
        let columns = x.row_mut(row).iter_mut().zip(mean.iter().zip(deviation));
        columns.for_each(|(v, (m, d))| *v = (*v - m) / d);
    }
}

/// One matrix, so that a saved stack gives the same numbers as the learned one.
fn pack(mean: &[f32], deviation: &[f32], fit: &LinearFit) -> Result<Learned, FitError> {
    let d = mean.len();
    let mut numbers = Matrix::zeros(5, d);
    numbers.row_mut(0).copy_from_slice(mean);
    numbers.row_mut(1).copy_from_slice(deviation);
    for at in 0..d {
        numbers.row_mut(2)[at] = fit.coefficients[at] as f32;
        numbers.row_mut(3)[at] = fit.standard_errors[at] as f32;
    }
    // There are at least five features.
    numbers.row_mut(4)[0] = fit.intercept as f32;
    numbers.row_mut(4)[1] = fit.standard_errors[d] as f32;
    numbers.check_finite("learned stack")?;
    Ok(Learned { numbers })
}

impl DecisionFusion for Stack {
    fn name(&self) -> &str {
        NAME
    }

    /// The log odds (or, by ridge, the predicted target).
    fn fuse(&self, ballot: &Ballot<'_>) -> Result<Vec<f64>, FitError> {
        ballot.check(NAME, self.n_models)?;
        let items: Vec<usize> = (0..ballot.n_items()).collect();
        let mut x = self.features(ballot, &items)?;
        let numbers = self.learned(x.cols())?;
        standardise(&mut x, numbers.row(0), numbers.row(1));
        let along = |row: &[f32]| -> f64 {
            row.iter().zip(numbers.row(2)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let mut scores: Vec<f64> =
            items.iter().map(|&i| along(x.row(i)) + f64::from(numbers.row(4)[0])).collect();
        // A popular item in no list could have better odds than a listed one.
        let listed = |i: usize| ballot.rows.iter().any(|row| row[i].is_some());
        let (present, absent): (Vec<usize>, Vec<usize>) = items.iter().partition(|&&i| listed(i));
        let least = present.iter().map(|&i| scores[i]).fold(f64::INFINITY, f64::min);
        let floor = if least.is_finite() { least - 1.0 } else { 0.0 };
        absent.into_iter().for_each(|i| scores[i] = floor);
        Ok(scores)
    }

    fn addends(&self, ballot: &Ballot<'_>, item: usize) -> Result<Vec<f64>, FitError> {
        ballot.check(NAME, self.n_models)?;
        let mut x = self.features(ballot, &[item])?;
        let numbers = self.learned(x.cols())?;
        standardise(&mut x, numbers.row(0), numbers.row(1));
        let of = |model: usize| {
            let own = PER_MODEL * model..PER_MODEL * (model + 1);
            own.map(|c| f64::from(x.row(0)[c]) * f64::from(numbers.row(2)[c])).sum()
        };
        Ok((0..self.n_models).map(of).collect())
    }

    fn learns(&self) -> bool {
        true
    }

    fn learn(
        &mut self,
        lessons: &[Lesson],
        facts: &ItemFacts,
        seed: SeedStream,
    ) -> Result<(), FitError> {
        let (mut rows, mut labels, mut width) = (Vec::new(), Vec::new(), 0);
        for lesson in lessons.iter().filter(|l| !l.held.is_empty()) {
            let (user, user_count) = (lesson.user, lesson.user_count);
            let ballot = Ballot { rows: &lesson.rows, user, user_count, facts };
            ballot.check(NAME, self.n_models)?;
            let mut others: Vec<usize> = (0..ballot.n_items())
                .filter(|i| lesson.rows.iter().any(|row| row[*i].is_some()))
                .filter(|i| lesson.held.binary_search(i).is_err())
                .collect();
            let mut rng = seed.rng("stack-negatives", user as u64);
            let wanted = self.params.negatives * lesson.held.len();
            let (drawn, _) = others.partial_shuffle(&mut rng, wanted);
            let items: Vec<usize> = lesson.held.iter().chain(drawn.iter()).copied().collect();
            let x = self.features(&ballot, &items)?;
            labels.extend((0..items.len()).map(|at| at < lesson.held.len()));
            width = x.cols();
            rows.extend_from_slice(x.as_slice());
        }
        if labels.is_empty() {
            let reason = "nothing was held out to learn the stack from".into();
            return Err(FitError::Data { model: title(NAME), reason });
        }
        let mut x = Matrix::from_vec(labels.len(), width, rows)?;
        let (mean, deviation) = moments(&x);
        standardise(&mut x, &mean, &deviation);
        let fit = match self.params.learner {
            Learner::Logistic => fit_logistic(&x, &labels, self.params.l2)?,
            Learner::Ridge => {
                let y: Vec<f64> = labels.iter().map(|l| f64::from(u8::from(*l))).collect();
                fit_ridge(&x, &y, self.params.l2)?
            }
        };
        self.learned = Some(pack(&mean, &deviation, &fit)?);
        Ok(())
    }

    fn save(&self, prefix: &str, state: &mut ModelState) {
        if let Some(learned) = &self.learned {
            state.put(format!("{prefix}stack"), learned.numbers.clone());
        }
    }

    fn load(&mut self, prefix: &str, state: &ModelState) -> Result<(), FitError> {
        let key = format!("{prefix}stack");
        let numbers = state.matrix(&key)?;
        if numbers.rows() != 5 || numbers.cols() < PER_MODEL * self.n_models + 2 {
            let found = format!("[{}, {}]", numbers.rows(), numbers.cols());
            let expected = format!("[5, {} or more]", PER_MODEL * self.n_models + 2);
            return Err(state.mismatch(&key, &expected, &found).into());
        }
        self.learned = Some(Learned { numbers: numbers.clone() });
        Ok(())
    }
}
