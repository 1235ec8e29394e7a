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
use quintet_core::{Capability, Interactions, Matrix, Modality, ModelState, Recommender};
use quintet_data::TripletSampler;
use quintet_tensor::{
    Adam, AdamConfig, EmbeddingTable, EpochStats, FactorModel, Fit, FitContext, FitError, Fitting,
    Layer, Linear, ModelEntry, PairBatch, Trainer, TrainingData, UnusedBias, Views, Weight,
    bpr_loss, check_interactions, check_training_params, clear_unused_items, load_weights,
    loss_value, parse_params, run_epoch, save_weights, score_pairs, squared_penalty, step_table,
    tensor_to_vec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;

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
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "BPR factors beside projected item content (He & McAuley 2016)",
        build: |params| Ok(Box::new(parse_params::<VbprConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(FactorModel::load(state)?)),
        tiny: r#"{"dim": 8, "content_dim": 8, "lr": 0.05, "batch_size": 256, "l2": 0.001}"#,
    }
}

/// One linear projection a modality, averaged over those present.
struct Projections {
    layers: Vec<Linear>,
}

impl Projections {
    /// `[batch, content_dim]`; zero for an item without content.
    fn forward(&self, views: &Views) -> Tensor<2> {
        let count = views.mask.clone().sum_dim(1).clamp_min(1.0);
        let sum = self
            .layers
            .iter()
            .enumerate()
            .map(|(m, layer)| layer.forward(views.masked(m)) * views.present(m))
            .reduce(|a, b| a + b);
        // `Content` refuses an empty list of modalities.
        sum.map_or_else(|| views.mask.clone(), |sum| sum / count)
    }
}

impl Layer for Projections {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let named = |(m, layer): (usize, &'static str)| format!("{m}.{layer}");
        self.layers
            .iter()
            .enumerate()
            .flat_map(|(m, l)| [(named((m, "weight")), &l.weight), (named((m, "bias")), &l.bias)])
            .collect()
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        self.layers.iter_mut().flat_map(Layer::weights_mut).collect()
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
        check_training_params(
            NAME,
            self.dim.min(self.content_dim),
            self.batch_size,
            self.lr,
            self.l2,
        )?;
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
        let shape = content.shape(self.content_dim);
        let layers = shape
            .modalities
            .iter()
            .map(|&(_, d)| Linear::new(d, self.content_dim, &mut rng, &device))
            .collect();
        let decayed = AdamConfig { weight_decay: self.projection_decay, ..adam };
        Ok(Fitting::Epochs(Box::new(VbprTrainer {
            users: EmbeddingTable::new(
                train.n_users(),
                self.dim + self.content_dim,
                adam,
                &mut rng,
            ),
            items: EmbeddingTable::new(train.n_items(), self.dim, adam, &mut rng),
            bias: EmbeddingTable::from_matrix(Matrix::zeros(train.n_items(), 1), adam),
            projections: Projections { layers },
            optimiser: Adam::new(decayed),
            content,
            sampler: Arc::new(TripletSampler::new(train)),
            train: train.clone(),
            config: self.clone(),
            context: context.clone(),
            device,
        })))
    }
}

struct VbprTrainer {
    users: EmbeddingTable,
    items: EmbeddingTable,
    bias: EmbeddingTable,
    projections: Projections,
    optimiser: Adam,
    content: Content,
    sampler: Arc<TripletSampler>,
    train: Interactions,
    config: VbprConfig,
    context: FitContext,
    device: Device,
}

impl VbprTrainer {
    fn step(&mut self, batch: &PairBatch) -> Result<f64, FitError> {
        let device = &self.device;
        let users = self.users.leaf(&batch.users, device);
        let items = self.items.leaf(&batch.items, device);
        let bias = self.bias.leaf(&batch.items, device);
        let content = self.projections.forward(&self.content.views(&batch.items, device));
        let u = batch.pick_users(users.clone(), device);
        let rows = Tensor::cat(vec![items.clone(), content], 1); // [items, dim + content_dim]
        let (i, j) = batch.pick_items(rows, device);
        let mut positive = score_pairs(u.clone(), i.clone());
        let mut negative = score_pairs(u.clone(), j.clone());
        if self.config.item_bias {
            let (bi, bj) = batch.pick_items(bias.clone(), device);
            positive = positive + bi;
            negative = negative + bj;
        }
        let mut loss = bpr_loss(positive, negative);
        if let Some(penalty) = squared_penalty(&[&u, &i, &j], self.config.l2, batch.len()) {
            loss = loss + penalty;
        }
        let mut grads = loss.backward();
        step_table(&mut self.users, &batch.users, &users, &mut grads)?;
        step_table(&mut self.items, &batch.items, &items, &mut grads)?;
        step_table(&mut self.bias, &batch.items, &bias, &mut grads)?;
        self.optimiser.step(&mut self.projections, &mut grads);
        loss_value(loss)
    }

    /// The content half of every item, `[n_items, content_dim]`.
    fn content_factors(&self) -> Result<Matrix, FitError> {
        let mut data = Vec::with_capacity(self.train.n_items() * self.config.content_dim);
        for chunk in self.content.chunks() {
            let rows = self.projections.forward(&self.content.views(&chunk, &self.device));
            data.extend(tensor_to_vec(rows.inner()).map_err(FitError::Device)?);
        }
        Ok(Matrix::from_vec(self.train.n_items(), self.config.content_dim, data)?)
    }
}

impl Trainer for VbprTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler
            .epoch(self.context.seed, epoch as u64, self.config.batch_size)
            .map(|b| PairBatch::new(&b.users, &b.positives, &b.negatives));
        run_epoch(NAME, epoch, batches, |batch| Ok((self.step(batch)?, batch.len())))
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let mut ids = self.items.values().clone();
        let mut bias = self.bias.values().as_slice().to_vec();
        clear_unused_items(&self.train, &mut ids, &mut bias, UnusedBias::Mean);
        let content = self.content_factors()?;
        let (dim, width) = (self.config.dim, self.config.dim + self.config.content_dim);
        let mut items = Matrix::zeros(ids.rows(), width);
        for item in 0..ids.rows() {
            let row = items.row_mut(item);
            row[..dim].copy_from_slice(ids.row(item));
            row[dim..].copy_from_slice(content.row(item));
        }
        let capability =
            Capability::personal().with_cold_items().with_modalities(self.content.names());
        let users = self.users.values().clone();
        let model = FactorModel::new(NAME, users, items, bias, capability)?;
        Ok(Box::new(model.with_part("taste", 0, dim).with_part("content", dim, width)))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.users.save("users.", &mut state);
        self.items.save("items.", &mut state);
        self.bias.save("bias.", &mut state);
        save_weights(&self.projections, "projections.", &mut state)?;
        self.optimiser.save("adam.", &mut state)?;
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.users.load("users.", state)?;
        self.items.load("items.", state)?;
        self.bias.load("bias.", state)?;
        load_weights(&mut self.projections, "projections.", state, &self.device)?;
        self.optimiser.load(&self.projections, "adam.", state, &self.device)
    }

    fn n_parameters(&self) -> usize {
        self.users.n_parameters()
            + self.items.n_parameters()
            + self.bias.n_parameters()
            + self.projections.n_parameters()
    }
}
