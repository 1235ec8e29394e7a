//! A transformer, or a recurrent network, over what somebody did, with item vectors of ids, of fused content, or of both.
//!
//! Kang & McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, in the pre-norm form;
//! item vectors of content after Yuan et al., "Where to Go Next for Recommender Systems? ID- vs.
//! Modality-based Recommender Models Revisited", SIGIR 2023, and Hou et al., "Towards Universal
//! Sequence Representation Learning for Recommender Systems" (UniSRec), KDD 2022; the loss over all
//! items after Klenitskiy & Vasilev, RecSys 2023, the one in the batch after Yi et al., RecSys 2019.
//!
//! ```text
//! v_i = e_i  |  fuse(x_i) / √dim  |  e_i + fuse(x_i) / √dim     fuse: a layer of quintet-fusion
//! H = drop(√dim · v + position)
//! H ← H + drop(Attention(LN(H)) W_o)         causal, dropout on its weights
//! H ← H + drop(drop(ReLU(LN(H) W_1)) W_2)
//! s(t, j) = LN(H)_t · v_j                    the same v at the input and at the output
//! softmax:  -ln softmax_j s(t, j) at what comes next, over all items of training
//! in_batch: the same over what comes next anywhere in the batch, s - ln q, without other items of
//!           the user
//! ```
//! `body = "gru"` reads with recurrent layers instead, GRU4Rec (Hidasi et al., ICLR 2016) with item
//! vectors of content as above (Hidasi et al., "Parallel Recurrent Neural Network Architectures for
//! Feature-rich Session-based Recommendations", RecSys 2016, has a network for each kind of
//! features instead): `h ← GRU(drop(√dim · v), h)`, `s(t, j) = drop(h_t) · v_j`, no positions.
//! With `id_content`, ids are dropped with probability `id_dropout`, and an item without training
//! interactions has none: content alone ranks it. With `content` there are no ids.
//! Differences: all of a long history is learned from, in stretches; positions count from the last
//! item; the heads of a fusion layer that has them are trained at the output alone.
//! Cost: an epoch `O(nnz (blocks (dim² + max_len · dim) + items · dim))`, and the fusion layer over
//! the items of a batch (all items for `softmax`) in every step.

mod fitted;
mod net;
mod windows;

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{
    Interactions, Matrix, Modality, ModelState, Recommender, SeedStream, Sequences,
};
use quintet_tensor::{
    Adam, AdamConfig, Dropout, EmbeddingTable, EpochStats, Fit, FitContext, FitError, Fitting,
    Fused, Layer, ModelEntry, Trainer, TrainingData, check_training_params, contrast_rows,
    loss_value, parse_params, run_epoch, select_rows, step_table, unique_ids,
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::content_model::{auxiliary, scaled};
use crate::graph::{at_least_zero, below_one, refuse};
use crate::network::{load_training, save_training};
use crate::softmax_batch::{Candidates, SoftmaxBatch};
use fitted::HistoryModel;
use net::{HistoryNet, Rows};
use windows::{Window, batches, cut};

const NAME: &str = "history_transformer";

/// What the vector of an item is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemVectors {
    /// A vector of its own.
    Id,
    /// Its fused content.
    Content,
    /// Both.
    #[default]
    IdContent,
}

impl ItemVectors {
    fn reads_content(self) -> bool {
        self != ItemVectors::Id
    }

    fn has_ids(self) -> bool {
        self != ItemVectors::Content
    }
}

/// What reads a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryBody {
    /// Attention blocks.
    #[default]
    Transformer,
    /// Recurrent layers.
    Gru,
}

/// What the next item is told apart from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryLoss {
    /// All items of training.
    #[default]
    Softmax,
    /// What comes next elsewhere in the batch.
    InBatch,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryTransformerConfig {
    /// Width of the item vectors and of the network.
    pub dim: usize,
    /// What reads a history: `transformer` or `gru`.
    pub body: HistoryBody,
    /// Attention blocks, or recurrent layers.
    pub blocks: usize,
    /// Attention heads; they divide `dim`. Not read by `gru`.
    pub heads: usize,
    /// Most items that are looked back at.
    pub max_len: usize,
    /// What item vectors are made of: `id`, `content` or `id_content`.
    pub items: ItemVectors,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Principal components kept of each modality's features; 0 keeps all columns.
    pub components: usize,
    /// Fusion layer, by registry name.
    pub fusion: String,
    /// Parameters of the fusion layer.
    pub fusion_params: Value,
    /// How much the heads of a fusion layer that has them count, together.
    pub head_weight: f32,
    /// Share of numbers that are dropped in training.
    pub dropout: f32,
    /// Probability that an item's id is dropped in a step, beside content.
    pub id_dropout: f32,
    /// Probability that a modality of an item is hidden in a step, never all of them: a layer that
    /// has seen gaps does with what is left.
    pub modality_dropout: f32,
    /// What the next item is told apart from: `softmax` or `in_batch`.
    pub loss: HistoryLoss,
    /// Step size of Adam.
    pub lr: f32,
    /// Decoupled weight decay of network and fusion layer, times `lr` a step.
    pub weight_decay: f32,
    /// Stretches of histories a step.
    pub batch_size: usize,
}

impl Default for HistoryTransformerConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            body: HistoryBody::Transformer,
            blocks: 2,
            heads: 1,
            max_len: 50,
            items: ItemVectors::IdContent,
            modalities: None,
            components: 32,
            fusion: "gated".into(),
            fusion_params: Value::Null,
            head_weight: 0.25,
            dropout: 0.2,
            id_dropout: 0.2,
            modality_dropout: 0.0,
            loss: HistoryLoss::Softmax,
            lr: 1e-3,
            weight_decay: 0.0,
            batch_size: 128,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "the next item by self-attention or a GRU over ids and fused content (Kang 2018)",
        build: |params| Ok(Box::new(parse_params::<HistoryTransformerConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(HistoryModel::load(state)?)),
        // Softmax over all items would learn the order of the toy world instead of its groups.
        tiny: r#"{"dim": 8, "blocks": 1, "max_len": 6, "dropout": 0.1, "loss": "in_batch",
                  "lr": 0.01, "batch_size": 32}"#,
    }
}

impl HistoryTransformerConfig {
    fn check(&self) -> Result<(), FitError> {
        check_training_params(NAME, self.dim, self.batch_size, self.lr, 0.0)?;
        if self.blocks == 0 || self.max_len == 0 {
            let found = format!("{}, {}", self.blocks, self.max_len);
            return refuse(NAME, "blocks and max_len", "at least 1", found);
        }
        if self.heads == 0 || !self.dim.is_multiple_of(self.heads) {
            let found = format!("{} heads of {}", self.heads, self.dim);
            return refuse(NAME, "heads", "at least 1 and divide dim", found);
        }
        below_one(NAME, "dropout", self.dropout)?;
        below_one(NAME, "id_dropout", self.id_dropout)?;
        below_one(NAME, "modality_dropout", self.modality_dropout)?;
        at_least_zero(NAME, "weight_decay", self.weight_decay)?;
        at_least_zero(NAME, "head_weight", self.head_weight)
    }

    fn trainer(
        &self,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> Result<HistoryTrainer, FitError> {
        self.check()?;
        let bad = |reason: &str| FitError::Data { model: NAME.into(), reason: reason.into() };
        let sequences = data.sequences.ok_or_else(|| {
            bad("it learns from the order of events, and the data has none: every training \
                 interaction needs a time (a time column in the source)")
        })?;
        let windows = cut(sequences, self.max_len);
        if windows.is_empty() {
            return Err(bad("nobody has two interactions, so nothing comes next"));
        }
        let device = context.device.clone().autodiff();
        let content = match self.items.reads_content() {
            true => {
                let (wanted, components) = (self.modalities.as_deref(), self.components);
                Some(Content::new(NAME, data.features, wanted, components, &device)?)
            }
            false => None,
        };
        let net = HistoryNet::new(self, content.as_ref().map(Content::map), context.seed, &device)?;
        let mut rng = context.seed.rng("history-ids", 0);
        let n_ids = if self.items.has_ids() { data.train.n_items() } else { 0 };
        let adam = AdamConfig::new(self.lr);
        let mut counts = vec![0u32; data.train.n_items()];
        for user in (0..sequences.n_users()).map(quintet_core::UserIdx::new) {
            sequences.items(user).iter().for_each(|item| counts[item.index()] += 1);
        }
        Ok(HistoryTrainer {
            ids: EmbeddingTable::new(n_ids, self.dim, adam, &mut rng),
            net,
            optimiser: Adam::new(AdamConfig { weight_decay: self.weight_decay, ..adam }),
            content,
            windows,
            used: (0..counts.len() as u32).filter(|&i| counts[i as usize] > 0).collect(),
            counts,
            sequences: sequences.clone(),
            train: data.train.clone(),
            config: self.clone(),
            seed: context.seed,
            device,
        })
    }
}

impl Fit for HistoryTransformerConfig {
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

struct HistoryTrainer {
    /// Without rows where items have no ids.
    ids: EmbeddingTable,
    net: HistoryNet,
    optimiser: Adam,
    content: Option<Content>,
    windows: Vec<Window>,
    /// Items that occur in training, ascending.
    used: Vec<u32>,
    counts: Vec<u32>,
    sequences: Sequences,
    train: Interactions,
    config: HistoryTransformerConfig,
    seed: SeedStream,
    device: Device,
}

impl HistoryTrainer {
    /// Ids of `items`, some of them dropped where content stands in: the leaf, and what is used.
    fn ids(&self, items: &[u32], counter: u64) -> Option<(Tensor<2>, Tensor<2>)> {
        if !self.config.items.has_ids() {
            return None;
        }
        let leaf = self.ids.leaf(items, &self.device);
        let rate = if self.content.is_some() { self.config.id_dropout } else { 0.0 };
        if rate == 0.0 {
            return Some((leaf.clone(), leaf));
        }
        let mut rng = self.seed.rng("history-id-dropout", counter);
        let keep = |_| if rng.random::<f32>() < rate { 0.0 } else { 1.0 };
        let keep: Vec<f32> = (0..items.len()).map(keep).collect();
        let keep = Tensor::from_data(TensorData::new(keep, [items.len(), 1]), &self.device);
        Some((leaf.clone(), leaf * keep))
    }

    /// One step over windows; the loss before it.
    fn step(&mut self, windows: &[Window], counter: u64) -> Result<f64, FitError> {
        let device = &self.device;
        let rows = Rows::new(&self.sequences, windows);
        let wanted = match self.config.loss {
            HistoryLoss::Softmax => self.used.clone(),
            HistoryLoss::InBatch => {
                unique_ids(&[rows.read.as_slice(), rows.targets.as_slice()].concat()).0
            }
        };
        let place = |id: &u32| wanted.partition_point(|other| other < id) as u32;
        let ids = self.ids(&wanted, counter);
        let mut rng = self.seed.rng("history-fusion", counter);
        let hidden = self.config.modality_dropout;
        let views = match &self.content {
            Some(content) => Some(content.train_views(&wanted, hidden, &mut rng, device)?),
            None => None,
        };
        let fused: Option<Fused> = self
            .net
            .fusion
            .as_ref()
            .zip(views.as_ref())
            .map(|(f, views)| scaled(f.forward_train(views, &mut rng), self.net.scale));
        let kept = ids.as_ref().map(|ids| ids.1.clone());
        let vectors = |content: Option<Tensor<2>>| net::vectors(kept.clone(), content);
        let v = vectors(fused.as_ref().map(|fused| fused.vectors.clone()));
        let mut dropout =
            Dropout::new(self.config.dropout, self.seed.rng("history-dropout", counter));
        let read: Vec<u32> = rows.read.iter().map(place).collect();
        let states = self.net.states(v.clone(), &read, &rows.lengths, &mut dropout);
        let targets: Vec<u32> = rows.targets.iter().map(place).collect();
        let ranked = |states: Tensor<2>, v: Tensor<2>| match self.config.loss {
            HistoryLoss::Softmax => contrast_rows(states, v, &targets, 1.0),
            HistoryLoss::InBatch => {
                let pairs = rows.pairs();
                let compete = Candidates::Batch;
                let batch = SoftmaxBatch::new(&pairs, compete, &self.counts, &self.train);
                let places: Vec<u32> = batch.candidates.iter().map(place).collect();
                batch.loss(states.matmul(select_rows(v, &places).transpose()))
            }
        };
        let mut loss = ranked(states.clone(), v);
        if let (Some(fused), Some(views)) = (&fused, &views) {
            let fixed = states.detach();
            loss = loss
                + auxiliary(fused, views, self.config.head_weight, |head| {
                    ranked(fixed.clone(), vectors(Some(head)))
                });
        }
        let mut grads = loss.backward();
        if let Some((leaf, _)) = ids {
            step_table(&mut self.ids, &wanted, &leaf, &mut grads)?;
        }
        self.optimiser.step(&mut self.net, &mut grads);
        loss_value(loss)
    }
}

impl Trainer for HistoryTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let mut rng = self.seed.rng("history-order", epoch as u64);
        let order = batches(&self.windows, self.config.batch_size, &mut rng);
        let chosen: Vec<Vec<Window>> = order
            .iter()
            .map(|places| places.iter().map(|at| self.windows[*at].clone()).collect())
            .collect();
        let counters = (epoch as u64) << 32..;
        run_epoch(NAME, epoch, chosen.into_iter().zip(counters), |(windows, counter)| {
            let positions = windows.iter().map(Window::positions).sum();
            Ok((self.step(windows, *counter)?, positions))
        })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let warm = self.counts.iter().map(|&c| c > 0).collect();
        let ids: &Matrix = self.ids.values();
        let (content, device) = (self.content.as_ref(), &self.device);
        let parts = (ids.clone(), warm, self.sequences.clone());
        Ok(Box::new(HistoryModel::new(&self.config, &self.net, parts, content, device)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        save_training(NAME, &[("ids.", &self.ids)], &self.net, &self.optimiser)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        let mut tables = [("ids.", &mut self.ids)];
        let device = &self.device;
        load_training(&mut tables, &mut self.net, &mut self.optimiser, (state, device))
    }

    fn n_parameters(&self) -> usize {
        self.ids.n_parameters() + self.net.n_parameters()
    }
}

#[cfg(test)]
mod tests;
