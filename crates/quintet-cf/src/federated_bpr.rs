//! BPR without anybody's history leaving their device, as a simulation, with differential privacy
//! if asked for.
//!
//! McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
//! AISTATS 2017 (federated averaging); Ammad-ud-din et al., "Federated Collaborative Filtering for
//! Privacy-Preserving Personalized Recommendation System", 2019; McMahan et al., "Learning
//! Differentially Private Recurrent Language Models", ICLR 2018 (clipping by user).
//!
//! ```text
//! round     each user takes part with chance `rate`; takes the item table q and the bias β home,
//!           runs `local_epochs` of BPR over their own items against drawn ones, keeps p_u, and
//!           sends Δ_u, what became of q and β
//! server    q ← q + γ (Σ_u Δ_u · min(1, C / ‖Δ_u‖) + N(0, (z C)²))
//! ```
//! The norm of `Δ_u` is over all of its numbers together, so one user moves the table by `C` at
//! most, whatever they did: with noise of multiplier `z` the table is (ε, δ)-private for each
//! user's whole history, see [`quintet_tensor::epsilon`]. User vectors never leave the device and are
//! not covered; who computes lists for a user on a server has to be trusted with theirs.
//! Differences: the sum of the clients, not their mean, moves the server (an item is touched by few
//! of them); secure aggregation is not simulated: the sum is what it would give.
//! Cost: a round `O(rate · nnz · local_epochs · dim)`, and `n_items · dim` normal draws with noise.

use std::collections::BTreeMap;

use quintet_core::{Capability, Interactions, Matrix, ModelState, Recommender, UserIdx};
use quintet_tensor::{
    EpochStats, FactorModel, Federation, Fit, FitContext, FitError, Fitting, ModelEntry, Trainer,
    TrainingData, UnusedBias, check_interactions, check_training_params, clear_unused_items, dot,
    normal_matrix, parse_params,
};
use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "federated_bpr";

/// Parameters. Without `clip` and `noise` nothing is private but where the history lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FederatedBprConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Step size on the devices.
    pub lr: f32,
    /// Squared L2 on the rows of a triple, on the devices.
    pub l2: f32,
    /// Passes over a user's own items in a round.
    pub local_epochs: usize,
    /// Chance of a user to take part in a round, in `(0, 1]`.
    pub rate: f64,
    /// How much of the sum the server takes over.
    pub server_lr: f32,
    /// `C`, the greatest norm of what a user sends; needed for noise.
    pub clip: Option<f32>,
    /// `z`, noise in multiples of `C`; 0 adds none.
    pub noise: f32,
    /// The δ at which ε is stated; `1 / n_users` divided by 10 where none is given.
    pub delta: Option<f64>,
}

impl Default for FederatedBprConfig {
    fn default() -> Self {
        Self {
            dim: 32,
            lr: 0.1,
            l2: 0.01,
            local_epochs: 1,
            rate: 0.1,
            server_lr: 1.0,
            clip: None,
            noise: 0.0,
            delta: None,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "BPR on the users' devices, averaged, with differential privacy if asked for",
        build: |params| Ok(Box::new(parse_params::<FederatedBprConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(FactorModel::load(state)?)),
        tiny: r#"{"dim": 8, "rate": 0.5, "lr": 0.2, "local_epochs": 3, "l2": 0.001}"#,
    }
}

impl FederatedBprConfig {
    fn check(&self) -> Result<(), FitError> {
        check_training_params(NAME, self.dim, self.local_epochs, self.lr, self.l2)?;
        self.federation().check(NAME)
    }

    fn federation(&self) -> Federation {
        Federation {
            rate: self.rate,
            server_lr: self.server_lr,
            clip: self.clip,
            noise: self.noise,
            delta: self.delta,
        }
    }
}

impl Fit for FederatedBprConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        self.check()?;
        check_interactions(NAME, data.train)?;
        let mut rng = context.seed.rng("federated-init", 0);
        let std = 0.1 / (self.dim as f32).sqrt();
        let used = data.train.item_counts();
        let used = (0..used.len() as u32).filter(|&i| used[i as usize] > 0).collect();
        Ok(Fitting::Epochs(Box::new(Server {
            users: normal_matrix(data.train.n_users(), self.dim, std, &mut rng),
            items: normal_matrix(data.train.n_items(), self.dim, std, &mut rng),
            bias: vec![0.0; data.train.n_items()],
            rounds: 0,
            used,
            train: data.train.clone(),
            config: self.clone(),
            context: context.clone(),
        })))
    }
}

struct Server {
    users: Matrix,
    items: Matrix,
    bias: Vec<f32>,
    rounds: u64,
    /// Items that somebody has: negatives are drawn from them.
    used: Vec<u32>,
    train: Interactions,
    config: FederatedBprConfig,
    context: FitContext,
}

/// What a user sends: by item the change of its row and of its bias, the last number.
struct Update {
    user: usize,
    taste: Vec<f32>,
    rows: BTreeMap<u32, Vec<f32>>,
    loss: f64,
    triples: usize,
}

impl Server {
    /// One round; the summed loss and the number of triples.
    fn round(&mut self) -> (f64, usize) {
        self.rounds += 1;
        let mut rng = self.context.seed.rng("federated-round", self.rounds);
        let federation = self.config.federation();
        let takes_part = federation.takes_part(self.train.n_users(), &mut rng);
        let updates: Vec<Update> = takes_part.par_iter().map(|&user| self.at_home(user)).collect();
        let dim = self.config.dim;
        let mut sum = vec![0.0f32; self.items.rows() * (dim + 1)];
        let (mut loss, mut triples) = (0.0, 0);
        for update in updates {
            (loss, triples) = (loss + update.loss, triples + update.triples);
            let scale = federation.scale(update.rows.values().flatten());
            self.users.row_mut(update.user).copy_from_slice(&update.taste);
            for (item, row) in &update.rows {
                let to = &mut sum[*item as usize * (dim + 1)..][..dim + 1];
                to.iter_mut().zip(row).for_each(|(to, v)| *to += scale * v);
            }
        }
        federation.disturb(&mut sum, &mut rng);
        for (item, row) in sum.chunks_exact(dim + 1).enumerate() {
            let to = self.items.row_mut(item).iter_mut().zip(row);
            to.for_each(|(to, v)| *to += self.config.server_lr * v);
            self.bias[item] += self.config.server_lr * row[dim];
        }
        (loss, triples)
    }

    /// What `user` does on their device: nothing of it is written anywhere but into the update.
    fn at_home(&self, user: usize) -> Update {
        let (config, dim) = (&self.config, self.config.dim);
        let counter = self.rounds.wrapping_mul(self.train.n_users() as u64 + 1) + user as u64;
        let mut rng = self.context.seed.rng("federated-user", counter);
        let own = self.train.items(UserIdx::new(user));
        let mut taste = self.users.row(user).to_vec();
        let mut local: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
        let fetch = |item: u32| {
            let mut row = self.items.row(item as usize).to_vec();
            row.push(self.bias[item as usize]);
            row
        };
        let (mut loss, mut triples) = (0.0f64, 0);
        for _ in 0..config.local_epochs {
            for positive in own {
                let Some(negative) = self.draw(user, &mut rng) else { continue };
                let (i, j) = (positive.0, negative);
                local.entry(i).or_insert_with(|| fetch(i));
                local.entry(j).or_insert_with(|| fetch(j));
                let (Some(mut a), Some(mut b)) = (local.remove(&i), local.remove(&j)) else {
                    continue;
                };
                loss += step(&mut taste, &mut a, &mut b, config);
                triples += 1;
                local.insert(i, a);
                local.insert(j, b);
            }
        }
        for (item, row) in &mut local {
            let before = fetch(*item);
            row.iter_mut().zip(before).for_each(|(now, before)| *now -= before);
        }
        debug_assert!(local.values().all(|row| row.len() == dim + 1));
        Update { user, taste, rows: local, loss, triples }
    }

    /// A used item that the user does not have; none where they seem to have everything.
    fn draw(&self, user: usize, rng: &mut impl Rng) -> Option<u32> {
        (0..100).find_map(|_| {
            let item = self.used[rng.random_range(0..self.used.len())];
            let has = self.train.contains(UserIdx::new(user), quintet_core::ItemIdx(item));
            (!has).then_some(item)
        })
    }
}

/// One triple of BPR; rows hold the bias as their last number. Gives the loss before it.
fn step(taste: &mut [f32], i: &mut [f32], j: &mut [f32], config: &FederatedBprConfig) -> f64 {
    let dim = taste.len();
    let margin = dot(taste, &i[..dim]) - dot(taste, &j[..dim]) + i[dim] - j[dim];
    let g = 1.0 / (1.0 + margin.exp());
    let (lr, l2) = (config.lr, config.l2);
    for (p, (qi, qj)) in taste.iter_mut().zip(i.iter_mut().zip(j.iter_mut())) {
        let (old, a, b) = (*p, *qi, *qj);
        *p += lr * (g * (a - b) - l2 * old);
        *qi += lr * (g * old - l2 * a);
        *qj += lr * (-g * old - l2 * b);
    }
    i[dim] += lr * (g - l2 * i[dim]);
    j[dim] += lr * (-g - l2 * j[dim]);
    f64::from((-margin).max(0.0) + (-margin.abs()).exp().ln_1p())
}

impl Trainer for Server {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let rounds = (1.0 / self.config.rate).ceil() as usize;
        let (mut sum, mut triples) = (0.0, 0);
        for batch in 1..=rounds {
            let (loss, n) = self.round();
            (sum, triples) = (sum + loss, triples + n);
            let finite = loss.is_finite() && self.bias.iter().all(|b| b.is_finite());
            if !finite {
                return Err(FitError::Diverged { model: NAME.into(), epoch, batch, loss });
            }
        }
        Ok(EpochStats { loss: sum / triples.max(1) as f64, batches: rounds, samples: triples })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let (mut items, mut bias) = (self.items.clone(), self.bias.clone());
        clear_unused_items(&self.train, &mut items, &mut bias, UnusedBias::Lowest);
        let users = self.users.clone();
        let model = FactorModel::new(NAME, users, items, bias, Capability::personal())?;
        Ok(Box::new(model.with_part("taste", 0, self.config.dim)))
    }

    fn notes(&self) -> Vec<String> {
        let federation = self.config.federation();
        federation.note("item table", self.rounds, self.train.n_users()).into_iter().collect()
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        state.put("users", self.users.clone());
        state.put("items", self.items.clone());
        state.put("bias", Matrix::from_vec(1, self.bias.len(), self.bias.clone())?);
        state.put_whole("rounds", vec![self.rounds as i64]);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        let shape = |m: &Matrix| (m.rows(), m.cols());
        let ((u, d), (n, _)) = (shape(&self.users), shape(&self.items));
        let (users, items) = (state.shaped("users", u, d)?, state.shaped("items", n, d)?);
        let bias = state.shaped("bias", 1, n)?;
        let rounds = state.whole("rounds")?.first().copied().unwrap_or(0);
        (self.users, self.items) = (users.clone(), items.clone());
        self.bias = bias.as_slice().to_vec();
        self.rounds = rounds as u64;
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        self.users.as_slice().len() + self.items.as_slice().len() + self.bias.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{FeatureSet, SeedStream};
    use quintet_tensor::Device;

    fn server(config: FederatedBprConfig) -> Box<dyn Trainer> {
        let pairs = (0..30u32).flat_map(|u| (0..6).map(move |k| (u, (u % 3) * 6 + k)));
        let train = Interactions::from_pairs(30, 18, pairs).unwrap();
        let features = FeatureSet::new(18);
        let context = FitContext { device: Device::flex(), seed: SeedStream::new(3) };
        match config.start(TrainingData::new(&train, &features), &context).unwrap() {
            Fitting::Epochs(trainer) => trainer,
            Fitting::Fitted(_) => panic!("it has epochs"),
        }
    }

    fn items(trainer: &dyn Trainer) -> Matrix {
        trainer.save().unwrap().matrix("items").unwrap().clone()
    }

    #[test]
    fn one_user_moves_the_table_by_the_clip_at_most() {
        let config = FederatedBprConfig { clip: Some(0.01), rate: 1.0, ..Default::default() };
        let mut trainer = server(config);
        let before = items(&*trainer);
        trainer.epoch(1).unwrap();
        let after = items(&*trainer);
        let moved = before.as_slice().iter().zip(after.as_slice());
        let norm: f32 = moved.map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        assert!(norm > 0.0 && norm <= 30.0 * 0.01, "{norm}");
    }

    #[test]
    fn noise_spends_a_budget_that_is_told_and_costs_quality() {
        let quiet = FederatedBprConfig { dim: 8, rate: 0.5, lr: 0.2, ..Default::default() };
        let noisy = FederatedBprConfig { clip: Some(0.5), noise: 2.0, ..quiet.clone() };
        let (mut quiet, mut noisy) = (server(quiet), server(noisy));
        let (mut a, mut b) = (0.0, 0.0);
        for epoch in 1..=20 {
            a = quiet.epoch(epoch).unwrap().loss;
            b = noisy.epoch(epoch).unwrap().loss;
        }
        assert!(a < b, "{a} {b}");
        assert!(quiet.notes().is_empty());
        let note = noisy.notes().join("");
        let expected = quintet_tensor::epsilon(0.5, 2.0, 40, 0.1 / 30.0);
        assert!(note.contains(&format!("({expected:.2}, 3.3e-3)")), "{note}");
    }

    #[test]
    fn noise_without_a_clip_is_refused() {
        let config = FederatedBprConfig { noise: 1.0, ..Default::default() };
        assert!(config.check().unwrap_err().to_string().contains("clip must be given"));
    }
}
