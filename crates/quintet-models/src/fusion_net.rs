//! Additive fusion: projected modalities and the item's id added up, layers over the sum, and the
//! product with the user; trained to rank, or for several tasks, and to vary.
//!
//! Layers over embeddings and projected content after Covington, Adams & Sargin, "Deep Neural
//! Networks for YouTube Recommendations", RecSys 2016; the dropped ids after Volkovs, Yu &
//! Poutanen, "DropoutNet", NeurIPS 2017; the second objective after Wilhelm et al., "Practical
//! Diversified Recommendations on YouTube with Determinantal Point Processes", CIKM 2018, with the
//! weights of Kendall, Gal & Cipolla, CVPR 2018 (`uncertainty`), Sener & Koltun, NeurIPS 2018
//! (`pareto`), Yu et al., NeurIPS 2020 (`pc_grad`) and Chen et al., ICML 2018 (`gradnorm`). Heads for
//! kinds of events are in `tasks.rs`.
//!
//! ```text
//! h_0 = Σ_m k_m W_m x_m + b + e_i       h_l = W_l drop(ReLU(h_{l-1})) + b_l       v_i = h_L
//! u = p_u, or layers of the same form over it        s(u, i) = u · v_i
//! L_rank = BPR, binary cross-entropy, or softmax over candidates with log-Q correction
//! p = softmax(s / τ) over a list       ILD(p) = 1 - ‖Σ_i p_i f_i‖²       f: content, length 1
//! fixed: L_rank - weight ILD       uncertainty: Σ_k ½ e^{-a_k} L_k + ½ a_k of L_rank and 1 - ILD
//! pareto: Σ_k w_k L_k, w the shortest convex combination of the gradients at u and v
//! ```
//! In training `e_i` is dropped with probability `id_dropout`; an item without training
//! interactions has none. Without features it is a network over embeddings of users and items.
//! A list holds `candidates` items drawn evenly for a step and one item of the user; up to `users`
//! users of a batch have one. `weight` is read by `fixed` alone: the others find their own.
//! `pareto` leans to the objective with the shorter gradient: lists of near equal scores are varied
//! already, and a model may stay there; compare its ranking before it is used.
//! With tasks, `L_rank` is one loss a head, and all of them and variety are weighed together.
//! Cost: a step `O(items · (Σ d_m + layers · dim) · dim)`, lists `users · candidates · (dim + Σ d_m)`.

mod batch;
mod fitted;
mod heads;
mod net;
mod objective;
mod served;
mod tasks;

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{Interactions, Modality, ModelState, Recommender, SeedStream};
use quintet_data::{NegativeStrategy, TripletSampler};
use quintet_tensor::{
    Adam, AdamConfig, Dropout, EmbeddingTable, EpochStats, Fit, FitContext, FitError, Fitting,
    GradNorm, Layer, ModelEntry, Robust, Trainer, TrainingData, check_interactions,
    check_training_params, loss_value, parse_params, run_epoch, squared_penalty, step_table,
};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::graph::{at_least_zero, below_one, refuse, robust_in_range};
use crate::network::{load_training, save_training};
use crate::softmax_batch::Candidates;
use batch::{Lists, Ranking, StepBatch};
use fitted::FusionNetModel;
use net::FusionNet;
use objective::{Objective, n_goals, weighting};
use served::UserVectors;
use tasks::Known;
pub use tasks::Tasks;

const NAME: &str = "fusion_net";

/// What is minimised to rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankingLoss {
    /// Each positive against its uniform negatives.
    #[default]
    Bpr,
    /// Binary cross-entropy of each positive and its uniform negatives.
    Bce,
    /// Each positive against the items of the batch.
    SampledSoftmax,
}

/// How ranking or tasks and variety are brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// By a given weight.
    #[default]
    Fixed,
    /// By weights that are learned from how uncertain each is.
    Uncertainty,
    /// By weights, new in every step, under which none gets worse.
    Pareto,
    /// By gradients of which what conflicts is taken out.
    PcGrad,
    /// By weights under which all learn at one speed.
    #[serde(rename = "gradnorm")]
    GradNorm,
}

/// Step of the weights of GradNorm, that of the paper.
const BALANCE_STEP: f32 = 0.025;

/// The objective of varied lists.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Diversity {
    /// Weight of the intra-list distance, where weights are fixed.
    pub weight: f32,
    /// `τ`: what scores of a list are divided by.
    pub temperature: f32,
    /// How it is weighed against ranking.
    pub weighting: Weighting,
    /// Items drawn for the lists of a step.
    pub candidates: usize,
    /// Most users of a step that have a list.
    pub users: usize,
}

impl Default for Diversity {
    fn default() -> Self {
        Self {
            weight: 0.03,
            temperature: 1.0,
            weighting: Weighting::Fixed,
            candidates: 100,
            users: 128,
        }
    }
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FusionNetConfig {
    /// Width of all vectors.
    pub dim: usize,
    /// Layers over the sum of an item.
    pub layers: usize,
    /// Layers over the embedding of a user; 0 takes it as it is.
    pub user_layers: usize,
    /// Which modalities are read; all that have features by default, and none of an empty list.
    pub modalities: Option<Vec<Modality>>,
    /// Principal components kept of each modality's features; 0 keeps all columns.
    pub components: usize,
    /// Whether items have an id of their own beside their content.
    pub item_id: bool,
    /// Probability that an item's id is dropped in a step; without features nothing is dropped.
    pub id_dropout: f32,
    /// Probability that a modality of an item is hidden in a step, never all of them: a layer that
    /// has seen gaps does with what is left.
    pub modality_dropout: f32,
    /// Share of numbers dropped before each layer.
    pub dropout: f32,
    /// What is minimised to rank.
    pub loss: RankingLoss,
    /// Negatives of each interaction, for `bpr` and `bce`.
    pub negatives: usize,
    /// Which items compete in the softmax.
    pub candidates: Candidates,
    /// How losses are brought together where events are noisy; their mean by default.
    pub robust: Option<Robust>,
    /// Heads for kinds of events; without, one score a pair is learned from training interactions.
    pub tasks: Option<Tasks>,
    /// The objective of varied lists; none by default.
    pub diversity: Option<Diversity>,
    /// Step size of Adam.
    pub lr: f32,
    /// Interactions a step.
    pub batch_size: usize,
    /// Squared L2 on the embeddings of a batch.
    pub l2: f32,
    /// Decoupled weight decay of projections and layers, times `lr` a step.
    pub weight_decay: f32,
}

impl Default for FusionNetConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            user_layers: 0,
            modalities: None,
            components: 32,
            item_id: true,
            id_dropout: 0.3,
            modality_dropout: 0.0,
            dropout: 0.2,
            loss: RankingLoss::Bpr,
            negatives: 1,
            candidates: Candidates::Batch,
            robust: None,
            tasks: None,
            diversity: None,
            lr: 1e-3,
            batch_size: 1024,
            l2: 1e-3,
            weight_decay: 0.0,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "layers over the sum of projected modalities and id; may learn tasks and variety",
        build: |params| Ok(Box::new(parse_params::<FusionNetConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(FusionNetModel::load(state)?)),
        tiny: r#"{"dim": 8, "layers": 1, "dropout": 0.1, "lr": 0.03, "batch_size": 256,
                  "diversity": {"candidates": 10, "users": 16}}"#,
    }
}

impl FusionNetConfig {
    fn check(&self) -> Result<(), FitError> {
        check_training_params(NAME, self.dim, self.batch_size, self.lr, self.l2)?;
        below_one(NAME, "dropout", self.dropout)?;
        below_one(NAME, "id_dropout", self.id_dropout)?;
        below_one(NAME, "modality_dropout", self.modality_dropout)?;
        at_least_zero(NAME, "weight_decay", self.weight_decay)?;
        robust_in_range(NAME, self.robust)?;
        if let Some(tasks) = &self.tasks {
            tasks.check(self.loss)?;
        }
        let Some(diversity) = &self.diversity else { return Ok(()) };
        if self.tasks.is_some() && diversity.weighting != Weighting::Fixed {
            let expected = "left out beside tasks, whose weighting is that of variety as well";
            return refuse(NAME, "diversity.weighting", expected, "another");
        }
        at_least_zero(NAME, "diversity.weight", diversity.weight)?;
        let temperature = diversity.temperature;
        if !(temperature.is_finite() && temperature > 0.0) {
            return refuse(NAME, "diversity.temperature", "positive", temperature);
        }
        if diversity.candidates == 0 || diversity.users == 0 {
            let found = format!("{}, {}", diversity.candidates, diversity.users);
            return refuse(NAME, "diversity.candidates and users", "at least 1", found);
        }
        Ok(())
    }

    /// The content that is read; none without features, where there is an id.
    fn content(
        &self,
        data: TrainingData<'_>,
        device: &Device,
    ) -> Result<Option<Content>, FitError> {
        let none = self.modalities.as_ref().is_some_and(Vec::is_empty);
        let content = if none || (self.modalities.is_none() && data.features.is_empty()) {
            None
        } else {
            let (wanted, components) = (self.modalities.as_deref(), self.components);
            Some(Content::new(NAME, data.features, wanted, components, device)?)
        };
        let bad = |reason: &str| Err(FitError::Data { model: NAME.into(), reason: reason.into() });
        if content.is_none() && !self.item_id {
            return bad("without features items need item_id; run `quintet encode` first");
        }
        if content.is_none() && self.diversity.is_some() {
            return bad("diversity is measured on features, and there are none");
        }
        Ok(content)
    }

    fn trainer(
        &self,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> Result<FusionNetTrainer, FitError> {
        self.check()?;
        check_interactions(NAME, data.train)?;
        let (mut config, mut known) = (self.clone(), None);
        if let Some(tasks) = &self.tasks {
            let (named, found) = tasks.resolve(data, self.loss)?;
            (config.tasks, known) = (Some(named), Some(found));
        }
        let train = known.as_ref().map_or(data.train, |known| &known.union).clone();
        let device = context.device.clone().autodiff();
        let content = self.content(data, &device)?;
        let map = content.as_ref().map(Content::map);
        let net = FusionNet::new(&config, map, context.seed, &device);
        let sampler =
            TripletSampler::with_strategy(&train, NegativeStrategy::Uniform {}, self.negatives)
                .map_err(|e| FitError::Config { model: NAME.into(), reason: e.to_string() })?;
        let alpha = config.tasks.as_ref().map_or(Tasks::default().alpha, |tasks| tasks.alpha);
        let balanced = weighting(&config) == Weighting::GradNorm;
        let balance = balanced.then(|| GradNorm::new(n_goals(&config), alpha, BALANCE_STEP));
        let mut rng = context.seed.rng("fusion-net-tables", 0);
        let adam = AdamConfig::new(self.lr);
        let counts = train.item_counts();
        Ok(FusionNetTrainer {
            users: EmbeddingTable::new(train.n_users(), self.dim, adam, &mut rng),
            ids: EmbeddingTable::new(train.n_items(), self.dim, adam, &mut rng),
            net,
            optimiser: Adam::new(AdamConfig { weight_decay: self.weight_decay, ..adam }),
            content,
            balance,
            sampler: Arc::new(sampler),
            used: (0..counts.len() as u32).filter(|&i| counts[i as usize] > 0).collect(),
            counts,
            train,
            known,
            robust: config.robust.map(|robust| robust.at(1)),
            config,
            seed: context.seed,
            device,
        })
    }
}

impl Fit for FusionNetConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn reads_behaviours(&self) -> bool {
        self.tasks.is_some()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Epochs(Box::new(self.trainer(data, context)?)))
    }
}

struct FusionNetTrainer {
    users: EmbeddingTable,
    ids: EmbeddingTable,
    net: FusionNet,
    optimiser: Adam,
    /// Weights of GradNorm.
    balance: Option<GradNorm>,
    content: Option<Content>,
    sampler: Arc<TripletSampler>,
    counts: Vec<u32>,
    /// Items that occur in training.
    used: Vec<u32>,
    /// What is learned from: training interactions, or the pairs of all tasks.
    train: Interactions,
    known: Option<Known>,
    /// As it is in the epoch.
    robust: Option<Robust>,
    /// With the heads of tasks named.
    config: FusionNetConfig,
    seed: SeedStream,
    device: Device,
}

impl FusionNetTrainer {
    /// The batches of an epoch, without their lists.
    fn rankings(&self, epoch: usize) -> Box<dyn Iterator<Item = Ranking> + '_> {
        match self.config.loss {
            RankingLoss::Bpr | RankingLoss::Bce => {
                let size = self.config.batch_size;
                Box::new(self.sampler.epoch(self.seed, epoch as u64, size).map(Ranking::Pairs))
            }
            RankingLoss::SampledSoftmax => {
                let mut pairs: Vec<(u32, u32)> =
                    self.train.iter().map(|t| (t.user.0, t.item.0)).collect();
                pairs.shuffle(&mut self.seed.rng("fusion-net-order", epoch as u64));
                let chunks: Vec<_> =
                    pairs.chunks(self.config.batch_size).map(<[_]>::to_vec).collect();
                Box::new(chunks.into_iter().map(|pairs| {
                    let (compete, counts) = (self.config.candidates, &self.counts);
                    Ranking::softmax(&pairs, compete, counts, &self.train)
                }))
            }
        }
    }

    /// Draws the lists of a step.
    fn lists(&self, ranking: &Ranking, rng: &mut ChaCha8Rng) -> Option<Lists> {
        let diversity = self.config.diversity?;
        let n = diversity.candidates.min(self.used.len());
        let shared = rand::seq::index::sample(rng, self.used.len(), n);
        let shared: Vec<u32> = shared.iter().map(|at| self.used[at]).collect();
        Some(Lists::new(&ranking.pairs(), shared, diversity.users))
    }

    /// A step with its lists and with what is known of its pairs.
    fn batch(&self, ranking: Ranking, rng: &mut ChaCha8Rng) -> StepBatch {
        let lists = self.lists(&ranking, rng);
        let labels = self.known.as_ref().zip(ranking.triples());
        let labels = labels.map(|(known, batch)| known.labels(&batch.users, &batch.positives));
        let batch = StepBatch::new(ranking, lists);
        match labels {
            Some(labels) => batch.with_labels(labels),
            None => batch,
        }
    }

    fn step(&mut self, batch: &StepBatch, rng: &mut ChaCha8Rng) -> Result<f64, FitError> {
        let device = &self.device;
        let users = self.users.leaf(&batch.users, device);
        let ids = self.ids.leaf(&batch.items, device);
        let rate = if self.content.is_some() { self.config.id_dropout } else { 0.0 };
        let keep = |_| if rate > 0.0 && rng.random::<f32>() < rate { 0.0 } else { 1.0 };
        let keep: Vec<f32> = (0..batch.items.len()).map(keep).collect();
        let keep = Tensor::<2>::from_data(TensorData::new(keep, [batch.items.len(), 1]), device);
        let mut dropout = Dropout::new(self.config.dropout, rng.clone());
        let hidden = self.config.modality_dropout;
        let views = match &self.content {
            Some(content) => Some(content.train_views(&batch.items, hidden, rng, device)?),
            None => None,
        };
        let kept = self.config.item_id.then(|| ids.clone() * keep);
        let v = self.net.items(views.as_ref(), kept, &mut dropout);
        let u = self.net.users(users.clone(), &mut dropout);
        let facts = views.as_ref().map(net::facts);
        let (config, robust) = (&self.config, self.robust);
        let objective = Objective { net: &self.net, batch, facts, config, robust };
        let (mut loss, mut value) = objective.at((u, v), self.balance.as_mut(), rng)?;
        let penalised: Vec<&Tensor<2>> =
            if self.config.item_id { vec![&users, &ids] } else { vec![&users] };
        if let Some(penalty) = squared_penalty(&penalised, self.config.l2, batch.len()) {
            value = value + penalty.clone();
            loss = loss + penalty;
        }
        let mut grads = loss.backward();
        step_table(&mut self.users, &batch.users, &users, &mut grads)?;
        step_table(&mut self.ids, &batch.items, &ids, &mut grads)?;
        self.optimiser.step(&mut self.net, &mut grads);
        loss_value(value)
    }
}

impl Trainer for FusionNetTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let batches: Vec<StepBatch> = {
            let mut rng = self.seed.rng("fusion-net-lists", epoch as u64);
            self.rankings(epoch).map(|ranking| self.batch(ranking, &mut rng)).collect()
        };
        self.robust = self.config.robust.map(|robust| robust.at(epoch));
        let (seed, mut at) = (self.seed, (epoch as u64) << 32);
        run_epoch(NAME, epoch, batches.into_iter(), |batch| {
            at += 1;
            let mut rng = seed.rng("fusion-net-noise", at);
            Ok((self.step(batch, &mut rng)?, batch.len()))
        })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let warm = self.counts.iter().map(|&c| c > 0).collect();
        let (users, ids) = (self.users.values(), self.ids.values());
        let users = UserVectors::new(&self.net, &self.config, users, &self.device)?;
        let (content, device) = (self.content.as_ref(), &self.device);
        let parts = (users, ids.clone(), warm);
        Ok(Box::new(FusionNetModel::new(&self.config, &self.net, parts, content, device)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let tables = [("users.", &self.users), ("ids.", &self.ids)];
        let mut state = save_training(NAME, &tables, &self.net, &self.optimiser)?;
        if let Some(balance) = &self.balance {
            balance.save("balance.", &mut state)?;
        }
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        if let Some(balance) = &mut self.balance {
            balance.load("balance.", state)?;
        }
        let mut tables = [("users.", &mut self.users), ("ids.", &mut self.ids)];
        let device = &self.device;
        load_training(&mut tables, &mut self.net, &mut self.optimiser, (state, device))
    }

    fn n_parameters(&self) -> usize {
        self.users.n_parameters() + self.ids.n_parameters() + self.net.n_parameters()
    }
}

#[cfg(test)]
mod task_tests;
#[cfg(test)]
mod tests;
