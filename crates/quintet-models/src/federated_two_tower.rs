//! The hybrid two-tower without anybody's history leaving their device, as a simulation, with
//! differential privacy if asked for.
//!
//! McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
//! AISTATS 2017 (federated averaging); Reddi et al., "Adaptive Federated Optimization", ICLR 2021
//! (Adam on the server); McMahan et al., "Learning Differentially Private Recurrent Language
//! Models", ICLR 2018 (clipping and noise by user). Model and loss are those of `two_tower`; what
//! items are made of is public, and every device has it.
//!
//! ```text
//! round     each user takes part with chance `rate`; takes the item tower, the ids e and the biases
//!           β home, makes `local_epochs` steps of SGD over their own items, each against drawn ones,
//!           keeps p_u, and sends G_u = (before - after) / lr, the sum of its gradients
//! server    g = (Σ_u G_u · min(1, C / ‖G_u‖) + N(0, (z C)²)) / (rate · users)
//!           one step of Adam with g on tower, ids and biases
//! ```
//! The norm of `G_u` is over all of its numbers together, so one user moves the sum by `C` at most:
//! with noise of multiplier `z` tower, ids and biases are (ε, δ)-private for each user's whole
//! history, see [`quintet_tensor::epsilon`]. With `local_epochs = 1` a round is a step of user-level
//! DP-SGD (Abadi et al., CCS 2016, by user instead of by example), with Adam, of the central model.
//! User vectors never leave the device and are not covered; neither is which items anybody used at
//! all. Secure aggregation is not simulated: the sum is what it would give.
//! Cost: a round is `rate · users` graphs over a user's own and drawn items, `local_epochs` times.

mod server;
#[cfg(test)]
mod tests;

use quintet_core::{Matrix, Modality};
use quintet_tensor::{
    Adam, AdamConfig, EmbeddingTable, Federation, Fit, FitContext, FitError, Fitting, ModelEntry,
    TrainingData, check_interactions, check_training_params, parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::content_model::{ContentModel, Recipe};
use crate::graph::{at_least_zero, below_one};
use crate::two_tower::{ItemTower, tower_recipe};
use server::Server;

const NAME: &str = "federated_two_tower";

/// Parameters. Without `clip` and `noise` nothing is private but where the history lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FederatedTwoTowerConfig {
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
    /// Probability that an item's id part is dropped in a step on a device.
    pub id_dropout: f32,
    /// How much the heads of a fusion layer that has them count, together.
    pub head_weight: f32,
    /// Step size of SGD on the devices, for what is sent and for the user's own vector.
    pub lr: f32,
    /// Squared L2 on the user and id rows of a step, on the devices.
    pub l2: f32,
    /// Steps over all of a user's own items in a round.
    pub local_epochs: usize,
    /// Items drawn for a round, that the user does not have; 0 takes all of them.
    pub negatives: usize,
    /// Chance of a user to take part in a round, in `(0, 1]`.
    pub rate: f64,
    /// Step size of Adam on the server.
    pub server_lr: f32,
    /// Decoupled weight decay of the tower on the server, times `server_lr` a step.
    pub fusion_decay: f32,
    /// `C`, the greatest norm of what a user sends; needed for noise.
    pub clip: Option<f32>,
    /// `z`, noise in multiples of `C`; 0 adds none.
    pub noise: f32,
    /// The δ at which ε is stated; `1 / n_users` divided by 10 where none is given.
    pub delta: Option<f64>,
}

impl Default for FederatedTwoTowerConfig {
    fn default() -> Self {
        Self {
            dim: 32,
            modalities: None,
            components: 32,
            fusion: "gated".into(),
            fusion_params: Value::Null,
            id_dropout: 0.3,
            head_weight: 0.25,
            lr: 0.5,
            l2: 1e-3,
            local_epochs: 1,
            negatives: 100,
            rate: 0.1,
            server_lr: 1e-2,
            fusion_decay: 0.1,
            clip: None,
            noise: 0.0,
            delta: None,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "two-tower on the users' devices, averaged, with differential privacy if asked for",
        build: |params| Ok(Box::new(parse_params::<FederatedTwoTowerConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(ContentModel::load(NAME, state)?)),
        tiny: r#"{"dim": 8, "rate": 0.5, "negatives": 0, "server_lr": 0.03, "lr": 1.0}"#,
    }
}

impl FederatedTwoTowerConfig {
    fn federation(&self) -> Federation {
        Federation {
            rate: self.rate,
            server_lr: self.server_lr,
            clip: self.clip,
            noise: self.noise,
            delta: self.delta,
        }
    }

    fn check(&self) -> Result<(), FitError> {
        check_training_params(NAME, self.dim, self.local_epochs, self.lr, self.l2)?;
        below_one(NAME, "id_dropout", self.id_dropout)?;
        at_least_zero(NAME, "head_weight", self.head_weight)?;
        at_least_zero(NAME, "fusion_decay", self.fusion_decay)?;
        self.federation().check(NAME)
    }

    fn recipe(&self) -> Recipe {
        tower_recipe((&self.fusion, &self.fusion_params), self.dim)
    }

    fn server(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Server, FitError> {
        self.check()?;
        let train = data.train;
        check_interactions(NAME, train)?;
        let device = context.device.clone().autodiff();
        let (wanted, components) = (self.modalities.as_deref(), self.components);
        let content = Content::new(NAME, data.features, wanted, components, &device)?;
        let recipe = self.recipe();
        let tower = || ItemTower::new(&recipe, &content, context.seed, &device);
        let mut rng = context.seed.rng("federated-two-tower-init", 0);
        let adam = AdamConfig::new(self.server_lr);
        let counts = train.item_counts();
        // A worker's copy is given the weights anew for every user: how many there are is no matter.
        let workers = rayon::current_num_threads().max(1);
        Ok(Server {
            users: EmbeddingTable::new(train.n_users(), 2 * self.dim, adam, &mut rng)
                .values()
                .clone(),
            ids: EmbeddingTable::new(train.n_items(), self.dim, adam, &mut rng),
            bias: EmbeddingTable::from_matrix(Matrix::zeros(train.n_items(), 1), adam),
            tower: tower()?,
            replicas: (0..workers).map(|_| tower()).collect::<Result<_, _>>()?,
            optimiser: Adam::new(AdamConfig { weight_decay: self.fusion_decay, ..adam }),
            used: (0..counts.len() as u32).filter(|&i| counts[i as usize] > 0).collect(),
            rounds: 0,
            content,
            train: train.clone(),
            config: self.clone(),
            seed: context.seed,
            device,
        })
    }
}

impl Fit for FederatedTwoTowerConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Epochs(Box::new(self.server(data, context)?)))
    }
}
