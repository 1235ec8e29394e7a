//! The fitted form: factors, and the way from features to the vectors of items.

use burn::tensor::Device;
use quintet_core::{
    Capability, Factors, FeatureSet, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError,
    SeedStream, UserIdx,
};
use quintet_tensor::{FactorModel, FitError, dot, tensor_to_vec};
use rayon::prelude::*;

use super::net::FusionNet;
use super::served::{UserVectors, longest_row};
use super::{FusionNetConfig, NAME};
use crate::content::{Content, ContentMap};
use crate::content_model::over_features;
use crate::network::{Kept, Over, all_kept, known_ids, read_config};

/// The fitted model.
pub(super) struct FusionNetModel {
    /// What ranks, or, where probabilities are multiplied, the sum of the heads before that.
    factors: FactorModel,
    users: UserVectors,
    config: FusionNetConfig,
    kept: Kept,
}

/// The vectors of all items; those without training interactions have no id.
fn item_vectors(
    net: &FusionNet,
    config: &FusionNetConfig,
    ids: (&Matrix, &[bool]),
    content: Option<&Content>,
    device: &Device,
) -> Result<Matrix, FitError> {
    let (n, dim) = (ids.1.len(), net.dim());
    let chunks = match content {
        Some(content) => content.chunks(),
        None => vec![(0..n as u32).collect()],
    };
    let mut rows = Vec::with_capacity(n * dim);
    for chunk in chunks {
        let views = content.map(|content| content.views(&chunk, device));
        let known = config.item_id.then(|| known_ids(&chunk, ids, device));
        let v = net.items(views.as_ref(), known, &mut all_kept());
        rows.extend(tensor_to_vec(v.inner()).map_err(FitError::Device)?);
    }
    Ok(Matrix::from_vec(n, dim, rows)?)
}

/// The length of the longest item of those that were trained.
fn longest_trained(items: &Matrix, warm: &[bool]) -> f32 {
    let known = (0..items.rows()).filter(|item| warm[*item]);
    known.map(|item| dot(items.row(item), items.row(item)).sqrt()).fold(0.0, f32::max)
}

impl FusionNetModel {
    /// `ids` are embeddings.
    pub(super) fn new(
        config: &FusionNetConfig,
        net: &FusionNet,
        (users, ids, warm): (UserVectors, Matrix, Vec<bool>),
        content: Option<&Content>,
        device: &Device,
    ) -> Result<Self, FitError> {
        let mut items = item_vectors(net, config, (&ids, &warm), content, device)?;
        let mut bias = vec![users.level; items.rows()];
        let mut capability = Capability::personal();
        match content {
            Some(content) => {
                capability = capability.with_cold_items().with_modalities(content.names());
            }
            // Nothing is known of an item that nobody used.
            None => {
                // No score of a trained item is below it: `|u · v| ≤ |u| |v|`.
                let longest = longest_trained(&items, &warm);
                let lowest = users.level - longest_row(&users.sum) * longest;
                for (item, _) in warm.iter().enumerate().filter(|(_, warm)| !**warm) {
                    items.row_mut(item).fill(0.0);
                    bias[item] = lowest;
                }
            }
        }
        let dim = net.dim();
        let factors = FactorModel::new(NAME, users.sum.clone(), items, bias, capability)?;
        Ok(Self {
            factors: factors.with_part("taste", 0, dim),
            users,
            config: config.clone(),
            kept: Kept::new(net, content, (ids, warm), device)?,
        })
    }

    /// Loads what [`Recommender::state`] gave.
    pub(super) fn load(state: &ModelState) -> Result<Self, FitError> {
        let factors = FactorModel::load(state)?;
        let config: FusionNetConfig = read_config(state)?;
        config.check()?;
        let (n, dim) = (factors.n_items(), config.dim);
        state.shaped("items", n, dim)?;
        let users = UserVectors::load(state, state.matrix("users")?.clone())?;
        Ok(Self { factors, users, config, kept: Kept::load(state, n, [n, dim])? })
    }

    fn over(&self, map: &ContentMap, features: &FeatureSet) -> Result<Self, FitError> {
        let Over { content, ids, warm, device } = self.kept.over(NAME, map, features)?;
        let net = FusionNet::new(&self.config, Some(map), SeedStream::new(0), &device);
        let net = self.kept.trained(net, &device)?;
        let parts = (self.users.clone(), ids, warm);
        Self::new(&self.config, &net, parts, Some(&content), &device)
    }

    /// Scores of a product of probabilities.
    fn score_product(&self, items: &Matrix, users: &[UserIdx], out: &mut Matrix) {
        // Nothing is known of an item that nobody used, where there is no content.
        let unknown: Vec<usize> = match self.kept.map {
            Some(_) => Vec::new(),
            None => (0..items.rows()).filter(|item| !self.kept.warm[*item]).collect(),
        };
        let lowest = self.users.lowest(longest_trained(items, &self.kept.warm));
        out.reset(users.len(), items.rows());
        let rows = out.as_mut_slice().par_chunks_mut(items.rows().max(1)).zip(users);
        rows.for_each(|(row, user)| {
            self.users.score(user.index(), items, row);
            unknown.iter().for_each(|item| row[*item] = lowest);
        });
    }
}

impl Recommender for FusionNetModel {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.factors.n_users()
    }

    fn n_items(&self) -> usize {
        self.factors.n_items()
    }

    fn capability(&self) -> Capability {
        self.factors.capability()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let factors = self.factors.factors().filter(|_| !self.users.product.is_empty());
        let Some(factors) = factors else { return self.factors.score(users, out) };
        let len = self.n_users();
        if let Some(u) = users.iter().find(|u| u.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "user", index: u.index(), len });
        }
        self.score_product(factors.items, users, out);
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = self.factors.state();
        self.kept.save(&self.config, &mut state);
        if self.config.tasks.is_some() {
            self.users.save(&mut state);
        }
        state
    }

    /// None where probabilities are multiplied: that is no product of two vectors.
    fn factors(&self) -> Option<Factors<'_>> {
        self.factors.factors().filter(|_| self.users.product.is_empty())
    }

    fn with_features(&self, features: &FeatureSet) -> Result<Box<dyn Recommender>, ScoreError> {
        match &self.kept.map {
            Some(map) => over_features(NAME, self.over(map, features)),
            None => Err(ScoreError::NoContent { model: NAME.into() }),
        }
    }

    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        self.factors.explain(user, item, history, k)
    }
}
