//! VBPR: BPR factors beside projected content.
//!
//! He & McAuley, "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback", AAAI 2016,
//! in the form of the multimodal benchmarks: `q_i = [e_i ; c_i]`, `p_u` of the same width,
//! `score = p_u · q_i (+ β_i)`. `c_i` is the mean of the linear projections of the modalities
//! that the item has, so that an absent one adds nothing, not even a bias.
//! Differences: the squared L2 of the paper instead of the plain norm; Adam; several modalities.
//! An item without training interactions is ranked by its content half.
//! Cost: one step `O(batch · (Σ d_m · content_dim + dim))`.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use quintet_core::{Interactions, Matrix, Modality, ModelState, Recommender};
use quintet_data::TripletSampler;
use quintet_tensor::{
    Adam, AdamConfig, EmbeddingTable, EpochStats, Fit, FitContext, FitError, Fitting, Fusion,
    ModelEntry, PairBatch, RowGradients, Trainer, TrainingData, WeightGradients, bpr_loss,
    check_interactions, check_training_params, check_workers, copy_weights, load_weights,
    loss_value, on_workers, parse_params, run_epoch, save_weights, score_pairs, squared_penalty,
    step_shards,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::content_model::{ContentModel, Ids, Recipe, auxiliary, scaled};
use crate::graph::below_one;
use crate::history_pool::Users;
use crate::projections::{self, MeanProjections};

const NAME: &str = "vbpr";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VbprConfig {
    /// Width of the id half.
    pub dim: usize,
    /// Width of the content half.
    pub content_dim: usize,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Principal components kept of each modality's features; 0 keeps all columns.
    pub components: usize,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
    /// Squared L2 on the factor rows of a batch.
    pub l2: f32,
    /// Decoupled weight decay of the projections.
    pub projection_decay: f32,
    /// Whether items have a bias.
    pub item_bias: bool,
    /// Fusion layer of the content, by registry name; none is the mean of linear projections.
    pub fusion: Option<String>,
    /// Parameters of the fusion layer.
    pub fusion_params: Value,
    /// How much the heads of a fusion layer that has them count, together.
    pub head_weight: f32,
    /// Probability that a modality of an item is hidden in a step, never all of them: a layer that
    /// has seen gaps does with what is left.
    pub modality_dropout: f32,
    /// Shards of a batch, computed at once; their gradients are added and make one step. 1 cuts
    /// nothing. A penalty that a fusion layer has of its own is then a mean over shards.
    pub workers: usize,
}

impl Default for VbprConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            content_dim: 64,
            modalities: None,
            components: 32,
            lr: 5e-3,
            batch_size: 1024,
            l2: 1e-2,
            projection_decay: 1e-2,
            item_bias: true,
            fusion: None,
            fusion_params: Value::Null,
            head_weight: 0.25,
            modality_dropout: 0.0,
            workers: 1,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "BPR factors beside projected item content (He & McAuley 2016)",
        build: |params| Ok(Box::new(parse_params::<VbprConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(ContentModel::load(NAME, state)?)),
        tiny: r#"{"dim": 8, "content_dim": 8, "lr": 0.05, "batch_size": 256, "l2": 0.001}"#,
    }
}

impl VbprConfig {
    fn recipe(&self) -> Recipe {
        let named = self.fusion.clone();
        let own = named.is_some();
        Recipe {
            fusion: named.unwrap_or_else(|| projections::NAME.to_owned()),
            fusion_params: self.fusion_params.clone(),
            dim: self.content_dim,
            content_at: self.dim,
            // Fused vectors have numbers of order one; beside them ids would learn too slowly.
            scale: if own { 1.0 / (self.content_dim as f32).sqrt() } else { 1.0 },
            cold_scale: 1.0,
            cold_bias: 0.0,
        }
    }
}

impl Fit for VbprConfig {
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

impl VbprConfig {
    fn trainer(
        &self,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> Result<VbprTrainer, FitError> {
        check_workers(NAME, self.workers)?;
        check_training_params(
            NAME,
            self.dim.min(self.content_dim),
            self.batch_size,
            self.lr,
            self.l2,
        )?;
        below_one(NAME, "modality_dropout", self.modality_dropout)?;
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
        let mut rng = context.seed.rng("vbpr-init", 0);
        let adam = AdamConfig::new(self.lr);
        let fusion: Box<dyn Fusion> = match &self.fusion {
            None => {
                let shape = content.shape(self.content_dim);
                Box::new(MeanProjections::draw(&shape, &mut rng, &device))
            }
            Some(_) => self.recipe().layer(content.map(), context.seed, &device)?,
        };
        let replica = |_| self.recipe().layer(content.map(), context.seed, &device);
        let replicas = (1..self.workers).map(replica).collect::<Result<_, _>>()?;
        let decayed = AdamConfig { weight_decay: self.projection_decay, ..adam };
        Ok(VbprTrainer {
            users: EmbeddingTable::new(
                train.n_users(),
                self.dim + self.content_dim,
                adam,
                &mut rng,
            ),
            items: EmbeddingTable::new(train.n_items(), self.dim, adam, &mut rng),
            bias: EmbeddingTable::from_matrix(Matrix::zeros(train.n_items(), 1), adam),
            fusion,
            replicas,
            optimiser: Adam::new(decayed),
            content,
            sampler: Arc::new(TripletSampler::new(train)),
            train: train.clone(),
            config: self.clone(),
            context: context.clone(),
            device,
        })
    }
}

struct VbprTrainer {
    users: EmbeddingTable,
    items: EmbeddingTable,
    bias: EmbeddingTable,
    fusion: Box<dyn Fusion>,
    /// The fusion layer again for every shard but the first.
    replicas: Vec<Box<dyn Fusion>>,
    optimiser: Adam,
    content: Content,
    sampler: Arc<TripletSampler>,
    train: Interactions,
    config: VbprConfig,
    context: FitContext,
    device: Device,
}

/// What a shard adds to a step.
struct Part {
    loss: f64,
    users: Option<RowGradients>,
    items: Option<RowGradients>,
    bias: Option<RowGradients>,
    weights: WeightGradients,
}

impl VbprTrainer {
    /// Loss and gradients of a shard that is this `share` of its batch.
    fn part(
        &self,
        fusion: &dyn Fusion,
        (batch, share): (&PairBatch, f32),
        rng: &mut ChaCha8Rng,
    ) -> Result<Part, FitError> {
        let device = &self.device;
        let users = self.users.leaf(&batch.users, device);
        let items = self.items.leaf(&batch.items, device);
        let bias = self.bias.leaf(&batch.items, device);
        let hidden = self.config.modality_dropout;
        let views = self.content.train_views(&batch.items, hidden, rng, device)?;
        let fused = scaled(fusion.forward_train(&views, rng), self.config.recipe().scale);
        let u = batch.pick_users(users.clone(), device);
        let ranked = |content: Tensor<2>| {
            let rows = Tensor::cat(vec![items.clone(), content], 1); // [items, dim + content_dim]
            let (i, j) = batch.pick_items(rows, device);
            let mut positive = score_pairs(u.clone(), i.clone());
            let mut negative = score_pairs(u.clone(), j.clone());
            if self.config.item_bias {
                let (bi, bj) = batch.pick_items(bias.clone(), device);
                positive = positive + bi;
                negative = negative + bj;
            }
            (bpr_loss(positive, negative), i, j)
        };
        let (mut loss, i, j) = ranked(fused.vectors.clone());
        if let Some(penalty) = squared_penalty(&[&u, &i, &j], self.config.l2, batch.len()) {
            loss = loss + penalty;
        }
        loss = loss + auxiliary(&fused, &views, self.config.head_weight, |v| ranked(v).0);
        let loss = loss.mul_scalar(share);
        let mut grads = loss.backward();
        Ok(Part {
            users: RowGradients::take(&batch.users, &users, &mut grads)?,
            items: RowGradients::take(&batch.items, &items, &mut grads)?,
            bias: RowGradients::take(&batch.items, &bias, &mut grads)?,
            weights: WeightGradients::take(fusion, &mut grads),
            loss: loss_value(loss)?,
        })
    }

    fn step(&mut self, batch: &PairBatch, rng: &mut ChaCha8Rng) -> Result<f64, FitError> {
        let shards = match self.config.workers {
            1 => vec![batch.clone()],
            workers => batch.shards(workers),
        };
        for replica in &mut self.replicas {
            copy_weights(&*self.fusion, &mut **replica);
        }
        let parts = on_workers(rng, &shards, |k, shard, rng| {
            let fusion = if k == 0 { &self.fusion } else { &self.replicas[k - 1] };
            let share = shard.len() as f32 / batch.len().max(1) as f32;
            self.part(&**fusion, (shard, share), rng)
        })?;
        let mut loss = 0.0;
        let (mut users, mut items, mut bias) = (Vec::new(), Vec::new(), Vec::new());
        let mut weights = Vec::new();
        for part in parts {
            loss += part.loss;
            users.push(part.users);
            items.push(part.items);
            bias.push(part.bias);
            weights.push(part.weights);
        }
        step_shards(&mut self.users, users);
        step_shards(&mut self.items, items);
        step_shards(&mut self.bias, bias);
        if let Some(sum) = WeightGradients::sum(weights) {
            self.optimiser.step_gradients(&mut *self.fusion, sum);
        }
        Ok(loss)
    }
}

impl Trainer for VbprTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler
            .epoch(self.context.seed, epoch as u64, self.config.batch_size)
            .map(|b| PairBatch::new(&b.users, &b.positives, &b.negatives));
        let mut rng = self.context.seed.rng("vbpr-fusion", epoch as u64);
        run_epoch(NAME, epoch, batches, |batch| Ok((self.step(batch, &mut rng)?, batch.len())))
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let warm: Vec<bool> = self.train.item_counts().iter().map(|&c| c > 0).collect();
        let bias = self.bias.values().as_slice();
        let used = || bias.iter().zip(&warm).filter(|(_, w)| **w).map(|(b, _)| *b);
        // Neither favour nor handicap for an item without evidence: content decides.
        let cold_bias = used().sum::<f32>() / used().count().max(1) as f32;
        let recipe = Recipe { cold_bias, ..self.config.recipe() };
        let users = Users::Vectors(self.users.values().clone());
        let items = self.items.values();
        let ids = Ids { users, items, bias, warm };
        let (fusion, content) = (&*self.fusion, &self.content);
        Ok(Box::new(ContentModel::new(NAME, recipe, ids, fusion, content, &self.device)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.users.save("users.", &mut state);
        self.items.save("items.", &mut state);
        self.bias.save("bias.", &mut state);
        save_weights(&*self.fusion, "projections.", &mut state)?;
        self.optimiser.save("adam.", &mut state)?;
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.users.load("users.", state)?;
        self.items.load("items.", state)?;
        self.bias.load("bias.", state)?;
        load_weights(&mut *self.fusion, "projections.", state, &self.device)?;
        self.optimiser.load(&*self.fusion, "adam.", state, &self.device)
    }

    fn n_parameters(&self) -> usize {
        self.users.n_parameters()
            + self.items.n_parameters()
            + self.bias.n_parameters()
            + self.fusion.n_parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::context;
    use quintet_testkit::World;

    fn trainer(world: &World, workers: usize) -> VbprTrainer {
        let config =
            VbprConfig { dim: 8, content_dim: 6, batch_size: 96, workers, ..VbprConfig::default() };
        config.trainer(world.data(), &context()).unwrap()
    }

    /// State after one step; the first moments are a tenth of its gradients.
    fn after_a_step(world: &World, workers: usize) -> (f64, ModelState) {
        let mut trainer = trainer(world, workers);
        let mut rng = context().seed.rng("t", 0);
        let drawn = trainer.sampler.epoch(context().seed, 1, 96).next().unwrap();
        let batch = PairBatch::new(&drawn.users, &drawn.positives, &drawn.negatives);
        let loss = trainer.step(&batch, &mut rng).unwrap();
        (loss, trainer.save().unwrap())
    }

    #[test]
    fn gradients_of_several_workers_are_those_of_one() {
        let world = World::new();
        let (loss, one) = after_a_step(&world, 1);
        for workers in [2, 3, 96, 200] {
            let (sharded, several) = after_a_step(&world, workers);
            assert!((loss - sharded).abs() < 1e-5, "{loss} {sharded}");
            let mut compared = 0;
            for key in one.tensors.keys().filter(|key| key.ends_with(".m")) {
                let (a, b) = (one.matrix(key).unwrap(), several.matrix(key).unwrap());
                for (a, b) in a.as_slice().iter().zip(b.as_slice()) {
                    assert!((a - b).abs() < 1e-6, "{workers} {key}: {a} {b}");
                    compared += usize::from(*a != 0.0);
                }
            }
            assert!(compared > 300, "{compared} gradients that are not zero");
        }
    }

    #[test]
    fn threads_change_no_bit_and_neither_does_a_pause() {
        let world = World::new();
        let run = |threads: usize, pause: bool| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut now = trainer(&world, 3);
                for epoch in 1..=3 {
                    now.epoch(epoch).unwrap();
                    if pause {
                        let state = now.save().unwrap();
                        now = trainer(&world, 3);
                        now.load(&state).unwrap();
                    }
                }
                now.save().unwrap()
            })
        };
        let one = run(1, false);
        assert_eq!(one, run(4, false));
        assert_eq!(one, run(2, true));
    }
}
