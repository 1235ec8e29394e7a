//! A fitted model in dot-product form.

use std::collections::BTreeMap;

use quintet_core::{
    Capability, Factors, ItemIdx, Matrix, Modality, ModelState, Reason, Recommender, ScoreError,
    StateError, StateTensor, UserIdx,
};
use rayon::prelude::*;

/// A slice of the factors with a meaning, such as the content half of VBPR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactorPart {
    /// What it is called in explanations.
    pub name: String,
    /// First column.
    pub from: usize,
    /// One past the last column.
    pub to: usize,
}

/// `score(u, i) = users[u] · items[i] + bias[i]`: what most trained recommenders end as. It
/// scores, explains and serves without a tensor framework.
#[derive(Debug, Clone)]
pub struct FactorModel {
    name: String,
    users: Matrix,
    items: Matrix,
    bias: Vec<f32>,
    capability: Capability,
    parts: Vec<FactorPart>,
    shares: Option<Matrix>,
    /// Further arrays of the saved form.
    beside: BTreeMap<String, StateTensor>,
}

impl FactorModel {
    /// Takes `users` `[n_users, dim]`, `items` `[n_items, dim]` and `bias` `[n_items]`.
    ///
    /// # Errors
    /// A number is not finite, or the shapes disagree: the message names the array and row.
    pub fn new(
        name: impl Into<String>,
        users: Matrix,
        items: Matrix,
        bias: Vec<f32>,
        capability: Capability,
    ) -> Result<Self, quintet_core::CoreError> {
        let name = name.into();
        let shape = |what: &str, expected, found| quintet_core::CoreError::Shape {
            what: format!("{name}: {what}"),
            expected,
            found,
        };
        if users.cols() != items.cols() {
            return Err(shape("width of the item factors", users.cols(), items.cols()));
        }
        if bias.len() != items.rows() {
            return Err(shape("length of the item bias", items.rows(), bias.len()));
        }
        users.check_finite(&format!("{name}: user factors"))?;
        items.check_finite(&format!("{name}: item factors"))?;
        Matrix::from_vec(1, bias.len(), bias.clone())?.check_finite(&format!("{name}: bias"))?;
        let (parts, beside) = (Vec::new(), BTreeMap::new());
        Ok(Self { name, users, items, bias, capability, parts, shares: None, beside })
    }

    /// Keeps the arrays of `state` in the saved form as well: what made the factors, which scoring
    /// does not need. [`FactorModel::load`] passes them over.
    pub fn with_arrays(mut self, state: ModelState) -> Self {
        self.beside = state.tensors;
        self
    }

    /// Names a range of columns, so that explanations can say what it adds.
    pub fn with_part(mut self, name: impl Into<String>, from: usize, to: usize) -> Self {
        self.parts.push(FactorPart { name: name.into(), from, to });
        self.capability.explains = true;
        self
    }

    /// Says how the part called `content` divides over the modalities of the capability:
    /// `[n_items, n_modalities]`, rows that sum to 1 (or to 0 for an item without content).
    ///
    /// # Errors
    /// Another shape.
    pub fn with_shares(mut self, shares: Matrix) -> Result<Self, quintet_core::CoreError> {
        let expected = self.items.rows() * self.capability.modalities.len();
        if shares.rows() != self.items.rows() || shares.as_slice().len() != expected {
            return Err(quintet_core::CoreError::Shape {
                what: format!("{}: modality shares", self.name),
                expected,
                found: shares.as_slice().len(),
            });
        }
        self.shares = Some(shares);
        Ok(self)
    }

    /// What a named part of the factors adds to the score, divided over the modalities where
    /// the shares are known.
    fn part_reasons(&self, part: &FactorPart, item: ItemIdx, weight: f32) -> Vec<Reason> {
        match &self.shares {
            Some(shares) if part.name == "content" => self
                .capability
                .modalities
                .iter()
                .zip(shares.row(item.index()))
                .filter(|(_, share)| **share > 0.0)
                .map(|(&modality, share)| Reason::Content { modality, weight: weight * share })
                .collect(),
            _ => match part.name.parse::<Modality>() {
                Ok(modality) => vec![Reason::Content { modality, weight }],
                Err(_) => vec![Reason::Part { name: part.name.clone(), weight }],
            },
        }
    }

    /// Loads what [`Recommender::state`] gave.
    ///
    /// # Errors
    /// An entry is missing or does not fit.
    pub fn load(state: &ModelState) -> Result<Self, crate::FitError> {
        let users = state.matrix("users")?.clone();
        let items = state.matrix("items")?.clone();
        let bias = state.shaped("bias", 1, items.rows())?.as_slice().to_vec();
        let modalities = parse_modalities(state)?;
        let mut capability = Capability::personal().with_modalities(modalities);
        capability.cold_items = state.text("cold_items")? == "true";
        let mut model = Self::new(state.kind.clone(), users, items, bias, capability)?;
        for part in state.text("parts")?.split(';').filter(|p| !p.is_empty()) {
            let fields: Vec<&str> = part.split(':').collect();
            let place = |i: usize| fields.get(i).and_then(|f| f.parse::<usize>().ok());
            let (Some(from), Some(to)) = (place(1), place(2)) else {
                return Err(state.mismatch("parts", "name:from:to", part).into());
            };
            let to = to.min(model.items.cols());
            model = model.with_part(fields[0], from, to);
        }
        if state.tensors.contains_key("shares") {
            model = model.with_shares(state.matrix("shares")?.clone())?;
        }
        Ok(model)
    }
}

fn parse_modalities(state: &ModelState) -> Result<Vec<Modality>, StateError> {
    state
        .text("modalities")?
        .split(',')
        .filter(|m| !m.is_empty())
        .map(|m| m.parse().map_err(|_| state.mismatch("modalities", "names of modalities", m)))
        .collect()
}

impl Recommender for FactorModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn n_users(&self) -> usize {
        self.users.rows()
    }

    fn n_items(&self) -> usize {
        self.items.rows()
    }

    fn capability(&self) -> Capability {
        self.capability.clone()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        if let Some(u) = users.iter().find(|u| u.index() >= self.n_users()) {
            return Err(ScoreError::OutOfRange {
                what: "user",
                index: u.index(),
                len: self.n_users(),
            });
        }
        out.reset(users.len(), self.n_items());
        let n_items = self.n_items().max(1);
        out.as_mut_slice().par_chunks_mut(n_items).zip(users).for_each(|(row, user)| {
            let query = self.users.row(user.index());
            for ((score, item), bias) in row.iter_mut().zip(0..self.items.rows()).zip(&self.bias) {
                *score = dot(query, self.items.row(item)) + bias;
            }
        });
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(self.name.clone());
        state.put("users", self.users.clone());
        state.put("items", self.items.clone());
        if let Ok(bias) = Matrix::from_vec(1, self.bias.len(), self.bias.clone()) {
            state.put("bias", bias);
        }
        let names: Vec<&str> = self.capability.modalities.iter().map(|m| m.as_str()).collect();
        state.meta.insert("modalities".into(), names.join(","));
        state.meta.insert("cold_items".into(), self.capability.cold_items.to_string());
        let parts: Vec<String> =
            self.parts.iter().map(|p| format!("{}:{}:{}", p.name, p.from, p.to)).collect();
        state.meta.insert("parts".into(), parts.join(";"));
        if let Some(shares) = &self.shares {
            state.put("shares", shares.clone());
        }
        state.tensors.extend(self.beside.clone());
        state
    }

    fn modality_shares(&self) -> Option<&Matrix> {
        self.shares.as_ref()
    }

    fn factors(&self) -> Option<Factors<'_>> {
        Some(Factors { users: &self.users, items: &self.items, bias: &self.bias })
    }

    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        let range = |what, index, len| ScoreError::OutOfRange { what, index, len };
        if user.index() >= self.n_users() {
            return Err(range("user", user.index(), self.n_users()));
        }
        if item.index() >= self.n_items() {
            return Err(range("item", item.index(), self.n_items()));
        }
        let (p, q) = (self.users.row(user.index()), self.items.row(item.index()));
        let mut reasons: Vec<Reason> = self
            .parts
            .iter()
            .flat_map(|part| {
                let weight = dot(&p[part.from..part.to], &q[part.from..part.to]);
                self.part_reasons(part, item, weight)
            })
            .collect();
        reasons.push(Reason::Part { name: "popularity".into(), weight: self.bias[item.index()] });
        let factors = Factors { users: &self.users, items: &self.items, bias: &self.bias };
        reasons.extend(factors.nearest(item, history, k));
        Ok(reasons)
    }
}

/// Dot product with eight running sums, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (heads_a, heads_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = heads_a.remainder().iter().zip(heads_b.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in heads_a.zip(heads_b) {
        for (s, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *s += x * y;
        }
    }
    sums.iter().sum::<f32>() + tail
}
