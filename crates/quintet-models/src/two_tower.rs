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
//! Cost: one step `O(candidates · Σ d_m · dim + batch · candidates · dim)`.

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{Interactions, Matrix, Modality, ModelState, Recommender};
use quintet_tensor::{
    Adam, AdamConfig, EmbeddingTable, EpochStats, Fit, FitContext, FitError, Fitting, Fusion,
    Layer, ModelEntry, Robust, Trainer, TrainingData, Weight, check_interactions,
    check_training_params, index_tensor, load_weights, loss_value, parse_params, robust_mean,
    run_epoch, save_weights, squared_penalty, step_table,
};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::content_model::{ContentModel, Ids, Recipe, auxiliary, scaled};
use crate::graph::robust_in_range;
use crate::softmax_batch::{Candidates, SoftmaxBatch};

const NAME: &str = "two_tower";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwoTowerConfig {
    /// Width of the content half and of the id half.
    pub dim: usize,
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
}

impl Default for TwoTowerConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            modalities: None,
            components: 32,
            fusion: "gated".into(),
            fusion_params: Value::Null,
            candidates: Candidates::Batch,
            robust: None,
            id_dropout: 0.3,
            lr: 3e-3,
            batch_size: 1024,
            l2: 1e-2,
            head_weight: 0.25,
            fusion_decay: 4.0,
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

/// The fusion layer, and what stands in for a dropped id.
struct ItemTower {
    fusion: Box<dyn Fusion>,
    /// What fused vectors are multiplied by. Fusion layers give numbers of order one, so rows of
    /// length `sqrt(dim)`: beside them ids would learn too slowly, and content would be learned
    /// by heart before ids say anything.
    scale: f32,
    /// Times [`FAST`], the bias of an item without id.
    shared_bias: Weight,
    /// Times [`FAST`], the log of the factor of its content half.
    stretch: Weight,
}

/// Adam moves every weight by about `lr` a step. Two single numbers that have to travel far, not
/// finely, are stored this much smaller than they act.
const FAST: f32 = 3.0;

impl Layer for ItemTower {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all: Vec<(String, &Weight)> =
            self.fusion.weights().into_iter().map(|(n, w)| (format!("fusion.{n}"), w)).collect();
        all.push(("shared_bias".into(), &self.shared_bias));
        all.push(("stretch".into(), &self.stretch));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.fusion.weights_mut();
        all.push(&mut self.shared_bias);
        all.push(&mut self.stretch);
        all
    }
}

impl TwoTowerConfig {
    fn recipe(&self) -> Recipe {
        Recipe {
            fusion: self.fusion.clone(),
            fusion_params: self.fusion_params.clone(),
            dim: self.dim,
            content_at: 0,
            scale: 1.0 / (self.dim as f32).sqrt(),
            cold_scale: 1.0,
            cold_bias: 0.0,
        }
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
        check_training_params(NAME, self.dim, self.batch_size, self.lr, self.l2)?;
        if !(0.0..1.0).contains(&self.id_dropout) {
            return Err(FitError::Config {
                model: NAME.into(),
                reason: format!("id_dropout must lie in [0, 1); found {}", self.id_dropout),
            });
        }
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
        let fusion = recipe.layer(content.map(), context.seed, &device)?;
        let mut rng = context.seed.rng("two-tower-init", 0);
        let adam = AdamConfig::new(self.lr);
        Ok(Fitting::Epochs(Box::new(TwoTowerTrainer {
            users: EmbeddingTable::new(train.n_users(), 2 * self.dim, adam, &mut rng),
            ids: EmbeddingTable::new(train.n_items(), self.dim, adam, &mut rng),
            bias: EmbeddingTable::from_matrix(Matrix::zeros(train.n_items(), 1), adam),
            tower: ItemTower {
                fusion,
                scale: recipe.scale,
                shared_bias: Weight::new(&Matrix::zeros(1, 1), &device),
                stretch: Weight::new(&Matrix::zeros(1, 1), &device),
            },
            optimiser: Adam::new(AdamConfig { weight_decay: self.fusion_decay, ..adam }),
            counts: train.item_counts(),
            content,
            train: train.clone(),
            robust: self.robust.map(|robust| robust.at(1)),
            config: self.clone(),
            context: context.clone(),
            device,
        })))
    }
}

struct TwoTowerTrainer {
    users: EmbeddingTable,
    ids: EmbeddingTable,
    bias: EmbeddingTable,
    tower: ItemTower,
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
    /// A batch, and 1 for each candidate whose id takes part in the step, else 0.
    fn batch(&self, pairs: &[(u32, u32)], rng: &mut impl rand::Rng) -> (SoftmaxBatch, Vec<f32>) {
        let batch = SoftmaxBatch::new(pairs, self.config.candidates, &self.counts, &self.train);
        let rate = self.config.id_dropout;
        let keep = |_| if rng.random::<f32>() < rate { 0.0 } else { 1.0 };
        let keep = (0..batch.candidates.len()).map(keep).collect();
        (batch, keep)
    }

    fn step(
        &mut self,
        (b, keep): (&SoftmaxBatch, &[f32]),
        rng: &mut ChaCha8Rng,
    ) -> Result<f64, FitError> {
        let device = &self.device;
        let users = self.users.leaf(&b.users, device);
        let ids = self.ids.leaf(&b.candidates, device);
        let bias = self.bias.leaf(&b.candidates, device);
        let keep = TensorData::new(keep.to_vec(), [keep.len(), 1]);
        let keep = Tensor::<2>::from_data(keep, device);
        let dropped = keep.clone().neg() + 1.0;
        let views = self.content.views(&b.candidates, device);
        let fused = scaled(self.tower.fusion.forward_train(&views, rng), self.tower.scale);
        let stretch = self.tower.stretch.tensor().mul_scalar(FAST).exp();
        let factor = dropped.clone() * stretch + keep.clone();
        let kept_ids = ids.clone() * keep.clone();
        let biases =
            bias.clone() * keep + dropped * self.tower.shared_bias.tensor().mul_scalar(FAST);
        let u = users.clone().select(0, index_tensor(&b.user_places, device)); // [batch, 2 dim]
        let ranked = |content: Tensor<2>| {
            let rows = vec![content * factor.clone(), kept_ids.clone()];
            let items = Tensor::cat(rows, 1); // [candidates, 2 dim]
            let logits = u.clone().matmul(items.transpose()) + biases.clone().transpose();
            robust_mean(self.robust, b.rows(logits), None)
        };
        let mut loss = ranked(fused.vectors.clone());
        if let Some(p) = squared_penalty(&[&u, &ids], self.config.l2, b.len()) {
            loss = loss + p;
        }
        loss = loss + auxiliary(&fused, &views, self.config.head_weight, ranked);
        let mut grads = loss.backward();
        step_table(&mut self.users, &b.users, &users, &mut grads)?;
        step_table(&mut self.ids, &b.candidates, &ids, &mut grads)?;
        step_table(&mut self.bias, &b.candidates, &bias, &mut grads)?;
        self.optimiser.step(&mut self.tower, &mut grads);
        loss_value(loss)
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
        let recipe = Recipe {
            cold_bias: FAST * self.tower.shared_bias.to_matrix()?.as_slice()[0],
            cold_scale: (FAST * self.tower.stretch.to_matrix()?.as_slice()[0]).exp(),
            ..self.config.recipe()
        };
        let ids = Ids {
            users: self.users.values().clone(),
            items: self.ids.values(),
            bias: self.bias.values().as_slice(),
            warm: self.counts.iter().map(|&c| c > 0).collect(),
        };
        let (fusion, content) = (&*self.tower.fusion, &self.content);
        Ok(Box::new(ContentModel::new(NAME, recipe, ids, fusion, content, &self.device)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.users.save("users.", &mut state);
        self.ids.save("ids.", &mut state);
        self.bias.save("bias.", &mut state);
        save_weights(&self.tower, "tower.", &mut state)?;
        self.optimiser.save("adam.", &mut state)?;
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.users.load("users.", state)?;
        self.ids.load("ids.", state)?;
        self.bias.load("bias.", state)?;
        load_weights(&mut self.tower, "tower.", state, &self.device)?;
        self.optimiser.load(&self.tower, "adam.", state, &self.device)
    }

    fn n_parameters(&self) -> usize {
        self.users.n_parameters()
            + self.ids.n_parameters()
            + self.bias.n_parameters()
            + self.tower.n_parameters()
    }
}
