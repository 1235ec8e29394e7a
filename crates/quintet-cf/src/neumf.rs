//! NeuMF: a generalised product of factors and a perceptron, side by side.
//!
//! He, Liao, Zhang, Nie, Hu, Chua, "Neural Collaborative Filtering", WWW 2017.
//!
//! ```text
//! φ_G = p^G_u ∘ q^G_i      φ_0 = [p^M_u; q^M_i]      φ_{l+1} = ReLU(φ_l W_l + b_l)
//! ŷ = σ(h_G · φ_G + h_M · φ_L + c)       L = mean binary cross-entropy
//! ```
//!
//! with `negatives` fresh uniform negatives for each positive. `kind` chooses one part alone
//! (`gmf`, `mlp`) or both. With `pretrain_epochs`, the parts train apart first, each with an
//! output of its own, and are joined with their outputs halved.
//! Differences: embedding rows that a batch does not touch stay where they are (lazy Adam); after
//! the pre-training Adam goes on, with its moments, where the paper takes plain SGD.
//! Scores are logits, one pass through the perceptron for every user and item:
//! `O(n_users · n_items · Σ_l d_l d_{l+1})`; Rendle, Krichene, Zhang, Anderson, "Neural
//! Collaborative Filtering vs. Matrix Factorization Revisited", RecSys 2020, find that a tuned
//! dot product does better.
//! Cost of an epoch: `O(nnz · (1 + negatives) · (dim + Σ_l d_l d_{l+1}))`.

mod fitted;

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData, activation};
use quintet_core::{Interactions, ModelState, Recommender};
use quintet_data::{TripletBatch, TripletSampler};
use quintet_tensor::{
    Adam, AdamConfig, Device, EmbeddingTable, EpochStats, Fit, FitContext, FitError, Fitting,
    Layer, Linear, ModelEntry, Trainer, TrainingData, Weight, check_interactions,
    check_training_params, index_tensor, load_weights, loss_value, normal_matrix, parse_params,
    run_epoch, save_weights, softplus, step_table, unique_ids,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sampling::uniform_sampler;

const NAME: &str = "neumf";

/// Which parts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeuMfKind {
    /// The product of factors alone.
    Gmf,
    /// The perceptron alone.
    Mlp,
    /// Both.
    #[default]
    Neumf,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NeuMfConfig {
    /// Which parts there are.
    pub kind: NeuMfKind,
    /// Width of the factors of the product.
    pub dim: usize,
    /// Widths of the perceptron: of `φ_0`, half of it each for user and item, then of its layers.
    pub layers: Vec<usize>,
    /// Negatives of each positive.
    pub negatives: usize,
    /// Step size of Adam.
    pub lr: f32,
    /// Positives a step.
    pub batch_size: usize,
    /// Standard deviation of the start of the embeddings.
    pub init_std: f32,
    /// Epochs in which the parts train apart; for `kind = "neumf"` alone.
    pub pretrain_epochs: usize,
}

impl Default for NeuMfConfig {
    fn default() -> Self {
        Self {
            kind: NeuMfKind::Neumf,
            dim: 16,
            layers: vec![64, 32, 16],
            negatives: 4,
            lr: 1e-3,
            batch_size: 256,
            init_std: 0.01,
            pretrain_epochs: 0,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "product of factors beside a perceptron: GMF, MLP, NeuMF (He 2017)",
        build: |params| Ok(Box::new(parse_params::<NeuMfConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(fitted::NeuMf::load(state)?)),
        tiny: r#"{"dim": 8, "layers": [16, 8, 4], "lr": 0.02, "batch_size": 64, "init_std": 0.1,
                  "negatives": 2, "pretrain_epochs": 4}"#,
    }
}

impl NeuMfConfig {
    fn check(&self) -> Result<(), FitError> {
        check_training_params(NAME, self.dim, self.batch_size, self.lr, 0.0)?;
        let bad = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        let halves = self.layers.first().is_some_and(|w| w % 2 == 0);
        if self.layers.len() < 2 || self.layers.contains(&0) || !halves {
            return bad(format!(
                "layers must be two widths or more of at least 1, the first even; found {:?}",
                self.layers
            ));
        }
        if !(self.init_std.is_finite() && self.init_std > 0.0) {
            return bad(format!("init_std must be positive; found {}", self.init_std));
        }
        if self.pretrain_epochs > 0 && self.kind != NeuMfKind::Neumf {
            return bad(format!(
                "pretrain_epochs is for kind \"neumf\"; found {} and {:?}",
                self.pretrain_epochs, self.kind
            ));
        }
        Ok(())
    }
}

impl Fit for NeuMfConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Epochs(Box::new(self.trainer(data.train, context)?)))
    }
}

impl NeuMfConfig {
    fn trainer(
        &self,
        train: &Interactions,
        context: &FitContext,
    ) -> Result<NeuMfTrainer, FitError> {
        self.check()?;
        check_interactions(NAME, train)?;
        let sampler = uniform_sampler(NAME, train, self.negatives)?;
        let device = context.device.clone().autodiff();
        let mut rng = context.seed.rng("neumf-init", 0);
        let half = self.layers[0] / 2;
        let mut table = |rows: usize, dim: usize| {
            let start = normal_matrix(rows, dim, self.init_std, &mut rng);
            EmbeddingTable::from_matrix(start, AdamConfig::new(self.lr))
        };
        let tables = Tables {
            product_users: table(train.n_users(), self.dim),
            product_items: table(train.n_items(), self.dim),
            mlp_users: table(train.n_users(), half),
            mlp_items: table(train.n_items(), half),
        };
        let layers = self.layers.windows(2).map(|w| Linear::new(w[0], w[1], &mut rng, &device));
        let layers = layers.collect();
        let network = Network {
            layers,
            product_output: Linear::new(self.dim, 1, &mut rng, &device),
            mlp_output: Linear::new(self.layers[self.layers.len() - 1], 1, &mut rng, &device),
            kind: self.kind,
        };
        Ok(NeuMfTrainer {
            tables,
            network,
            adam: Adam::new(AdamConfig::new(self.lr)),
            epochs: 0,
            sampler: Arc::new(sampler),
            train: train.clone(),
            config: self.clone(),
            context: context.clone(),
        })
    }
}

/// The embeddings of both parts.
#[derive(Debug, Clone)]
struct Tables {
    product_users: EmbeddingTable,
    product_items: EmbeddingTable,
    mlp_users: EmbeddingTable,
    mlp_items: EmbeddingTable,
}

impl Tables {
    fn named(&self) -> [(&'static str, &EmbeddingTable); 4] {
        [
            ("product_users.", &self.product_users),
            ("product_items.", &self.product_items),
            ("mlp_users.", &self.mlp_users),
            ("mlp_items.", &self.mlp_items),
        ]
    }
}

/// Everything but the embeddings.
#[derive(Debug, Clone)]
struct Network {
    layers: Vec<Linear>,
    /// `h_G` and its share of `c`, `[dim, 1]`.
    product_output: Linear,
    /// `h_M` and its share of `c`.
    mlp_output: Linear,
    kind: NeuMfKind,
}

impl Network {
    /// What the product adds to the logits, `[batch, 1]`.
    fn product(&self, users: Tensor<2>, items: Tensor<2>) -> Tensor<2> {
        self.product_output.forward(users * items)
    }

    /// What the perceptron adds to the logits, `[batch, 1]`.
    fn mlp(&self, users: Tensor<2>, items: Tensor<2>) -> Tensor<2> {
        let mut x = Tensor::cat(vec![users, items], 1);
        for layer in &self.layers {
            x = activation::relu(layer.forward(x)); // [batch, layers[l + 1]]
        }
        self.mlp_output.forward(x)
    }
}

impl Layer for Network {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let layers = self.layers.iter().enumerate().map(|(l, layer)| (format!("layer{l}"), layer));
        let outputs = [
            ("product_output".to_owned(), &self.product_output),
            ("mlp_output".to_owned(), &self.mlp_output),
        ];
        layers
            .chain(outputs)
            .flat_map(|(name, layer)| {
                [(format!("{name}.weight"), &layer.weight), (format!("{name}.bias"), &layer.bias)]
            })
            .collect()
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let Self { layers, product_output, mlp_output, .. } = self;
        layers
            .iter_mut()
            .chain([product_output, mlp_output])
            .flat_map(|layer| [&mut layer.weight, &mut layer.bias])
            .collect()
    }
}

/// Pairs with their labels, as places among distinct users and items.
struct LabelledBatch {
    users: Vec<u32>,
    items: Vec<u32>,
    user_places: Vec<u32>,
    item_places: Vec<u32>,
    /// 1 for a positive, 0 for a negative.
    labels: Vec<f32>,
}

impl LabelledBatch {
    fn new(batch: &TripletBatch) -> Self {
        let each = 1 + batch.n_negatives();
        let (mut users, mut items) = (Vec::new(), Vec::new());
        let mut labels = Vec::with_capacity(batch.len() * each);
        for (b, (&user, &item)) in batch.users.iter().zip(&batch.positives).enumerate() {
            users.extend(std::iter::repeat_n(user, each));
            items.push(item);
            items.extend_from_slice(batch.negatives_of(b));
            labels.push(1.0);
            labels.extend(std::iter::repeat_n(0.0, each - 1));
        }
        let ((users, user_places), (items, item_places)) = (unique_ids(&users), unique_ids(&items));
        Self { users, items, user_places, item_places, labels }
    }
}

/// Mean binary cross-entropy of logits, `[batch, 1]`: `softplus(x) - y x`.
fn cross_entropy(logits: Tensor<2>, labels: &Tensor<2>) -> Tensor<1> {
    (softplus(logits.clone()) - logits * labels.clone()).mean()
}

struct NeuMfTrainer {
    tables: Tables,
    network: Network,
    adam: Adam,
    /// Epochs trained, for the pre-training.
    epochs: usize,
    sampler: Arc<TripletSampler>,
    train: Interactions,
    config: NeuMfConfig,
    context: FitContext,
}

impl NeuMfTrainer {
    fn step(&mut self, batch: &LabelledBatch, apart: bool) -> Result<f64, FitError> {
        let device = self.context.device.clone().autodiff();
        let rows = |table: &EmbeddingTable, ids: &[u32], places: &[u32], device: &Device| {
            let leaf = table.leaf(ids, device);
            (leaf.clone(), leaf.select(0, index_tensor(places, device)))
        };
        let users = |table| rows(table, &batch.users, &batch.user_places, &device);
        let items = |table| rows(table, &batch.items, &batch.item_places, &device);
        let shape = [batch.labels.len(), 1];
        let labels = Tensor::<2>::from_data(TensorData::new(batch.labels.clone(), shape), &device);
        let kind = self.config.kind;
        let product = (kind != NeuMfKind::Mlp).then(|| {
            let (u, i) = (users(&self.tables.product_users), items(&self.tables.product_items));
            (self.network.product(u.1, i.1), u.0, i.0)
        });
        let mlp = (kind != NeuMfKind::Gmf).then(|| {
            let (u, i) = (users(&self.tables.mlp_users), items(&self.tables.mlp_items));
            (self.network.mlp(u.1, i.1), u.0, i.0)
        });
        let logits: Vec<Tensor<2>> =
            [&product, &mlp].into_iter().flatten().map(|part| part.0.clone()).collect();
        let loss = if apart {
            logits.into_iter().map(|x| cross_entropy(x, &labels)).reduce(|a, b| a + b)
        } else {
            logits.into_iter().reduce(|a, b| a + b).map(|x| cross_entropy(x, &labels))
        };
        let Some(loss) = loss else { return Ok(0.0) };
        let mut grads = loss.backward();
        if let Some((_, u, i)) = product {
            step_table(&mut self.tables.product_users, &batch.users, &u, &mut grads)?;
            step_table(&mut self.tables.product_items, &batch.items, &i, &mut grads)?;
        }
        if let Some((_, u, i)) = mlp {
            step_table(&mut self.tables.mlp_users, &batch.users, &u, &mut grads)?;
            step_table(&mut self.tables.mlp_items, &batch.items, &i, &mut grads)?;
        }
        self.adam.step(&mut self.network, &mut grads);
        loss_value(loss)
    }

    /// Halves both outputs, so that their sum is the mean of what the parts said apart.
    fn join(&mut self) {
        for layer in [&mut self.network.product_output, &mut self.network.mlp_output] {
            for weight in [&mut layer.weight, &mut layer.bias] {
                let halved = weight.tensor().inner() * 0.5;
                weight.set(halved.autodiff());
            }
        }
    }
}

impl Trainer for NeuMfTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let apart = epoch <= self.config.pretrain_epochs;
        if self.config.pretrain_epochs > 0 && epoch == self.config.pretrain_epochs + 1 {
            self.join();
        }
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler
            .epoch(self.context.seed, epoch as u64, self.config.batch_size)
            .map(|batch| LabelledBatch::new(&batch));
        let stats = run_epoch(NAME, epoch, batches, |batch| {
            Ok((self.step(batch, apart)?, batch.labels.len()))
        })?;
        self.epochs = epoch;
        Ok(stats)
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let apart = self.config.pretrain_epochs > 0 && self.epochs <= self.config.pretrain_epochs;
        let scale = if apart { 0.5 } else { 1.0 };
        Ok(Box::new(fitted::NeuMf::new(&self.train, &self.tables, &self.network, scale)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.tables.named().into_iter().for_each(|(name, table)| table.save(name, &mut state));
        save_weights(&self.network, "network.", &mut state)?;
        self.adam.save("adam.", &mut state)?;
        state.put_whole("epochs", vec![self.epochs as i64]);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        let device = self.context.device.clone().autodiff();
        self.tables.product_users.load("product_users.", state)?;
        self.tables.product_items.load("product_items.", state)?;
        self.tables.mlp_users.load("mlp_users.", state)?;
        self.tables.mlp_items.load("mlp_items.", state)?;
        load_weights(&mut self.network, "network.", state, &device)?;
        self.adam.load(&self.network, "adam.", state, &device)?;
        self.epochs = state.whole("epochs")?.first().copied().unwrap_or(0) as usize;
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        let Tables { product_users, product_items, mlp_users, mlp_items } = &self.tables;
        let product = product_users.n_parameters() + product_items.n_parameters();
        let mlp = mlp_users.n_parameters() + mlp_items.n_parameters();
        let of_layers: usize = self.network.layers.iter().map(Layer::n_parameters).sum();
        match self.config.kind {
            NeuMfKind::Gmf => product + self.network.product_output.n_parameters(),
            NeuMfKind::Mlp => mlp + of_layers + self.network.mlp_output.n_parameters(),
            NeuMfKind::Neumf => product + mlp + self.network.n_parameters(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{cases, context};

    #[test]
    fn loss_and_gradients_are_those_of_pytorch() {
        for case in cases("neumf.json") {
            let config: NeuMfConfig = case.params();
            let mut trainer = config.trainer(&case.train, &context()).unwrap();
            let table = |name| EmbeddingTable::from_matrix(case.weight(name), AdamConfig::new(0.1));
            trainer.tables = Tables {
                product_users: table("product_users"),
                product_items: table("product_items"),
                mlp_users: table("mlp_users"),
                mlp_items: table("mlp_items"),
            };
            let device = context().device.autodiff();
            load_weights(&mut trainer.network, "", &case.weights(), &device).unwrap();
            let batch = LabelledBatch::new(&case.batch());
            let loss = trainer.step(&batch, false).unwrap();
            case.check(loss, &trainer.save().unwrap());
        }
    }

    /// Apart, each part learns as it would alone; joined, the logits are the mean of theirs.
    #[test]
    fn pretraining_trains_the_parts_apart_and_joins_them() {
        let pairs = (0..8u32).flat_map(|u| (0..4).map(move |t| (u, (3 * u + 2 * t) % 10)));
        let train = Interactions::from_pairs(8, 10, pairs).unwrap();
        let mut config = NeuMfConfig {
            dim: 4,
            layers: vec![6, 4],
            negatives: 2,
            batch_size: 16,
            pretrain_epochs: 2,
            ..NeuMfConfig::default()
        };
        let mut both = config.trainer(&train, &context()).unwrap();
        config.pretrain_epochs = 0;
        config.kind = NeuMfKind::Gmf;
        let mut alone = config.trainer(&train, &context()).unwrap();
        for epoch in 1..=2 {
            both.epoch(epoch).unwrap();
            alone.epoch(epoch).unwrap();
        }
        let (a, b) = (&both.tables.product_users, &alone.tables.product_users);
        for (a, b) in a.values().as_slice().iter().zip(b.values().as_slice()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
        let scores = |trainer: &NeuMfTrainer| {
            let mut out = quintet_core::Matrix::default();
            let users: Vec<_> = (0..8).map(quintet_core::UserIdx::new).collect();
            trainer.model().unwrap().score(&users, &mut out).unwrap();
            out.into_vec()
        };
        let before = scores(&both);
        both.join();
        both.epochs = 3;
        assert_eq!(before, scores(&both));
    }
}
