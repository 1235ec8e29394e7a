//! Hybrid two-tower: fused content plus a droppable item id against a user vector.
//!
//! `v_i = [fuse(x_i) ; k_i e_i]`, `score(u, i) = p_u · v_i + b_i`, trained by a softmax over
//! candidate items with log-Q correction (Yi et al., RecSys 2019). Content and id meet different
//! halves of the user vector, as in VBPR: what clicks alone say of an item is not forced into the
//! space that content spans. During training the id part of
//! an item (`e_i`, `b_i`) is dropped with probability `id_dropout`; a shared bias takes its place
//! and the content half is stretched by a shared factor, so that content alone learns to carry an
//! item against items that have both (after Volkovs et al., "DropoutNet", NeurIPS 2017). An item
//! without training interactions is scored in just that form.
//! With `users = "history"` a user is what they did, `u = g ⊙ Σ_j v_j / √|H_u|` (`history_pool.rs`):
//! in a step without the item that is to be ranked, and for people whom the model was not fitted
//! on as well. `id_history` is the sum of that and `p_u`.
//! Cost: one step `O(candidates · Σ d_m · dim + batch · candidates · dim)`; with histories the items of
//! the batch's users are fused as well.

pub(crate) mod step;
#[cfg(test)]
mod tests;

use burn::tensor::{Device, Tensor};
use quintet_core::{Interactions, Matrix, Modality, ModelState, Recommender, SeedStream};
use quintet_tensor::{
    Adam, AdamConfig, EmbeddingTable, EpochStats, Fit, FitContext, FitError, Fitting, Fusion,
    Layer, ModelEntry, Robust, Trainer, TrainingData, Weight, check_interactions,
    check_training_params, check_workers, load_weights, parse_params, run_epoch, save_weights,
    tensor_to_vec,
};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::content_model::{ContentModel, Ids, Recipe};
use crate::graph::{below_one, robust_in_range};
use crate::history_pool::{HistoryPool, UserVectors, Users};
use crate::softmax_batch::{Candidates, SoftmaxBatch};

const NAME: &str = "two_tower";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwoTowerConfig {
    /// Width of the content half and of the id half.
    pub dim: usize,
    /// What user vectors are made of: `id`, `history` or `id_history`.
    pub users: UserVectors,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Principal components kept of each modality's features; 0 keeps all columns.
    pub components: usize,
    /// Fusion layer, by registry name.
    pub fusion: String,
    /// Parameters of the fusion layer.
    pub fusion_params: Value,
    /// Which items compete in the softmax.
    pub candidates: Candidates,
    /// How losses are brought together where events are noisy; their mean by default.
    pub robust: Option<Robust>,
    /// Probability that an item's id part is dropped in a step.
    pub id_dropout: f32,
    /// Probability that a modality of an item is hidden in a step, never all of them: a layer that
    /// has seen gaps does with what is left.
    pub modality_dropout: f32,
    /// Step size of Adam.
    pub lr: f32,
    /// Interactions a step.
    pub batch_size: usize,
    /// Squared L2 on the user and id rows of a batch.
    pub l2: f32,
    /// How much the heads of a fusion layer that has them count, together.
    pub head_weight: f32,
    /// Decoupled weight decay of the fusion layer, times `lr` a step. Strong by default: a few
    /// hundred items would otherwise be learned by heart.
    pub fusion_decay: f32,
    /// Shards of a batch, computed at once; their gradients are added and make one step. Each
    /// meets the candidates of the whole batch. 1 cuts nothing; with more, a penalty that a fusion
    /// layer has of its own is a mean over shards, and `robust` leaves out a share of each shard.
    pub workers: usize,
}

impl Default for TwoTowerConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            users: UserVectors::Id,
            modalities: None,
            components: 32,
            fusion: "gated".into(),
            fusion_params: Value::Null,
            candidates: Candidates::Batch,
            robust: None,
            id_dropout: 0.3,
            modality_dropout: 0.0,
            lr: 3e-3,
            batch_size: 1024,
            l2: 1e-2,
            head_weight: 0.25,
            fusion_decay: 4.0,
            workers: 1,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "fused item content plus a droppable id against a user vector",
        build: |params| Ok(Box::new(parse_params::<TwoTowerConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(ContentModel::load(NAME, state)?)),
        tiny: r#"{"dim": 8, "lr": 0.03, "batch_size": 256, "l2": 0.001, "candidates": "all"}"#,
    }
}

/// The fusion layer, what stands in for a dropped id, and what histories are multiplied by.
pub(crate) struct ItemTower {
    pub(crate) fusion: Box<dyn Fusion>,
    /// What fused vectors are multiplied by. Fusion layers give numbers of order one, so rows of
    /// length `sqrt(dim)`: beside them ids would learn too slowly, and content would be learned
    /// by heart before ids say anything.
    scale: f32,
    /// Times [`FAST`], the bias of an item without id.
    shared_bias: Weight,
    /// Times [`FAST`], the log of the factor of its content half.
    stretch: Weight,
    /// Times [`FAST`], the log of what pooled histories are multiplied by, `[1, 2 dim]`, where
    /// users are made of them.
    gains: Option<Weight>,
}

/// Adam moves every weight by about `lr` a step. Numbers that have to travel far, not finely, are
/// stored this much smaller than they act.
const FAST: f32 = 3.0;

impl ItemTower {
    pub(crate) fn new(
        recipe: &Recipe,
        content: &Content,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        Ok(Self {
            fusion: recipe.layer(content.map(), seed, device)?,
            scale: recipe.scale,
            shared_bias: Weight::new(&Matrix::zeros(1, 1), device),
            stretch: Weight::new(&Matrix::zeros(1, 1), device),
            gains: None,
        })
    }

    /// Has gains for pooled histories.
    fn with_gains(mut self, dim: usize, device: &Device) -> Self {
        self.gains = Some(Weight::new(&Matrix::zeros(1, 2 * dim), device));
        self
    }

    /// What pooled histories are multiplied by, `[1, 2 dim]`.
    fn gains(&self) -> Option<Tensor<2>> {
        self.gains.as_ref().map(|gains| gains.tensor().mul_scalar(FAST).exp())
    }

    /// The users of the fitted model, `own` `[n_users, 2 dim]` where they have their own vectors.
    fn users(&self, own: Option<&Matrix>, train: &Interactions) -> Result<Users, FitError> {
        match (self.gains(), own) {
            (Some(gains), own) => {
                let gains = tensor_to_vec(gains.inner()).map_err(FitError::Device)?;
                Ok(Users::Pooled(HistoryPool::new(own.cloned(), gains, train.clone())))
            }
            (None, own) => Ok(Users::Vectors(own.cloned().unwrap_or_default())),
        }
    }

    /// The way to items without an id, as it is trained.
    pub(crate) fn recipe(&self, start: Recipe) -> Result<Recipe, FitError> {
        let number = |w: &Weight| -> Result<f32, FitError> {
            Ok(FAST * w.to_matrix()?.as_slice().first().copied().unwrap_or(0.0))
        };
        let (cold_bias, cold_scale) = (number(&self.shared_bias)?, number(&self.stretch)?.exp());
        Ok(Recipe { cold_bias, cold_scale, ..start })
    }
}

impl Layer for ItemTower {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all: Vec<(String, &Weight)> =
            self.fusion.weights().into_iter().map(|(n, w)| (format!("fusion.{n}"), w)).collect();
        all.push(("shared_bias".into(), &self.shared_bias));
        all.push(("stretch".into(), &self.stretch));
        all.extend(self.gains.iter().map(|gains| ("gains".into(), gains)));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.fusion.weights_mut();
        all.push(&mut self.shared_bias);
        all.push(&mut self.stretch);
        all.extend(&mut self.gains);
        all
    }
}

/// The item tower of a named fusion layer, `dim` wide, before it is trained.
pub(crate) fn tower_recipe((fusion, params): (&str, &Value), dim: usize) -> Recipe {
    Recipe {
        fusion: fusion.to_owned(),
        fusion_params: params.clone(),
        dim,
        content_at: 0,
        scale: 1.0 / (dim as f32).sqrt(),
        cold_scale: 1.0,
        cold_bias: 0.0,
    }
}

impl TwoTowerConfig {
    fn recipe(&self) -> Recipe {
        tower_recipe((&self.fusion, &self.fusion_params), self.dim)
    }
}

impl Fit for TwoTowerConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Epochs(Box::new(self.trainer(data, context)?)))
    }
}

impl TwoTowerConfig {
    pub(crate) fn trainer(
        &self,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> Result<TwoTowerTrainer, FitError> {
        check_workers(NAME, self.workers)?;
        check_training_params(NAME, self.dim, self.batch_size, self.lr, self.l2)?;
        if !(0.0..1.0).contains(&self.id_dropout) {
            return Err(FitError::Config {
                model: NAME.into(),
                reason: format!("id_dropout must lie in [0, 1); found {}", self.id_dropout),
            });
        }
        below_one(NAME, "modality_dropout", self.modality_dropout)?;
        robust_in_range(NAME, self.robust)?;
        let train = data.train;
        check_interactions(NAME, train)?;
        let device = context.device.clone().autodiff();
        let content = Content::new(
            NAME,
            data.features,
            self.modalities.as_deref(),
            self.components,
            &device,
        )?;
        let recipe = self.recipe();
        let tower = || {
            let tower = ItemTower::new(&recipe, &content, context.seed, &device)?;
            let reads = self.users.reads_history();
            Ok::<_, FitError>(if reads { tower.with_gains(self.dim, &device) } else { tower })
        };
        let mut rng = context.seed.rng("two-tower-init", 0);
        let adam = AdamConfig::new(self.lr);
        Ok(TwoTowerTrainer {
            users: self
                .users
                .has_ids()
                .then(|| EmbeddingTable::new(train.n_users(), 2 * self.dim, adam, &mut rng)),
            ids: EmbeddingTable::new(train.n_items(), self.dim, adam, &mut rng),
            bias: EmbeddingTable::from_matrix(Matrix::zeros(train.n_items(), 1), adam),
            tower: tower()?,
            replicas: (1..self.workers).map(|_| tower()).collect::<Result<_, _>>()?,
            optimiser: Adam::new(AdamConfig { weight_decay: self.fusion_decay, ..adam }),
            counts: train.item_counts(),
            content,
            train: train.clone(),
            robust: self.robust.map(|robust| robust.at(1)),
            config: self.clone(),
            context: context.clone(),
            device,
        })
    }
}

pub(crate) struct TwoTowerTrainer {
    /// None where users are their histories.
    users: Option<EmbeddingTable>,
    ids: EmbeddingTable,
    bias: EmbeddingTable,
    tower: ItemTower,
    /// The tower again for every shard but the first.
    replicas: Vec<ItemTower>,
    optimiser: Adam,
    content: Content,
    counts: Vec<u32>,
    train: Interactions,
    /// As it is in the epoch.
    robust: Option<Robust>,
    config: TwoTowerConfig,
    context: FitContext,
    device: Device,
}

impl TwoTowerTrainer {
    /// A batch, and 1 for each item whose id takes part in the step, else 0.
    fn batch(&self, pairs: &[(u32, u32)], rng: &mut impl rand::Rng) -> (SoftmaxBatch, Vec<f32>) {
        let batch = SoftmaxBatch::new(pairs, self.config.candidates, &self.counts, &self.train);
        let batch = match self.config.users.reads_history() {
            true => batch.with_histories(pairs, &self.train),
            false => batch,
        };
        let rate = self.config.id_dropout;
        let keep = |_| if rng.random::<f32>() < rate { 0.0 } else { 1.0 };
        let keep = (0..batch.items.len()).map(keep).collect();
        (batch, keep)
    }
}

#[cfg(test)]
impl TwoTowerTrainer {
    /// Puts other start values in place.
    pub(crate) fn start_from(
        &mut self,
        users: EmbeddingTable,
        ids: EmbeddingTable,
        tower: &ItemTower,
    ) {
        (self.users, self.ids) = (Some(users), ids);
        quintet_tensor::copy_weights(tower, &mut self.tower);
    }

    /// One step on a batch of all ids; the loss before it.
    pub(crate) fn step_on(&mut self, pairs: &[(u32, u32)]) -> Result<f64, FitError> {
        let mut rng = self.context.seed.rng("t", 0);
        let (batch, keep) = self.batch(pairs, &mut rng);
        self.step((&batch, &keep), &mut rng)
    }
}

impl Trainer for TwoTowerTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        self.robust = self.config.robust.map(|robust| robust.at(epoch));
        let mut rng = self.context.seed.rng("two-tower-epoch", epoch as u64);
        let mut pairs: Vec<(u32, u32)> = self.train.iter().map(|t| (t.user.0, t.item.0)).collect();
        pairs.shuffle(&mut rng);
        let chunks: Vec<Vec<(u32, u32)>> =
            pairs.chunks(self.config.batch_size).map(<[_]>::to_vec).collect();
        let mut fusion_rng = self.context.seed.rng("two-tower-fusion", epoch as u64);
        run_epoch(NAME, epoch, chunks.into_iter(), |pairs| {
            let (batch, keep) = self.batch(pairs, &mut rng);
            Ok((self.step((&batch, &keep), &mut fusion_rng)?, pairs.len()))
        })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let recipe = self.tower.recipe(self.config.recipe())?;
        let ids = Ids {
            users: self.tower.users(self.users.as_ref().map(|t| t.values()), &self.train)?,
            items: self.ids.values(),
            bias: self.bias.values().as_slice(),
            warm: self.counts.iter().map(|&c| c > 0).collect(),
        };
        let (fusion, content) = (&*self.tower.fusion, &self.content);
        Ok(Box::new(ContentModel::new(NAME, recipe, ids, fusion, content, &self.device)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        if let Some(users) = &self.users {
            users.save("users.", &mut state);
        }
        self.ids.save("ids.", &mut state);
        self.bias.save("bias.", &mut state);
        save_weights(&self.tower, "tower.", &mut state)?;
        self.optimiser.save("adam.", &mut state)?;
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        if let Some(users) = &mut self.users {
            users.load("users.", state)?;
        }
        self.ids.load("ids.", state)?;
        self.bias.load("bias.", state)?;
        load_weights(&mut self.tower, "tower.", state, &self.device)?;
        self.optimiser.load(&self.tower, "adam.", state, &self.device)
    }

    fn n_parameters(&self) -> usize {
        self.users.as_ref().map_or(0, EmbeddingTable::n_parameters)
            + self.ids.n_parameters()
            + self.bias.n_parameters()
            + self.tower.n_parameters()
    }
}
