//! Rounds: what users do on their devices, and what the server makes of it.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{Interactions, ItemIdx, Matrix, ModelState, Recommender, SeedStream, UserIdx};
use quintet_tensor::{
    Adam, EmbeddingTable, EpochStats, FitError, Layer, Trainer, WeightGradients, copy_weights,
    load_weights, loss_value, matrix_to_tensor, save_weights, tensor_to_vec,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{FederatedTwoTowerConfig, NAME};
use crate::content::Content;
use crate::content_model::{ContentModel, Ids};
use crate::history_pool::Users;
use crate::softmax_batch::SoftmaxBatch;
use crate::two_tower::ItemTower;
use crate::two_tower::step::StepRows;

/// Users whose updates are held at the same time, a worker.
const AT_ONCE: usize = 16;

pub(super) struct Server {
    /// On the devices, one row each.
    pub(super) users: Matrix,
    pub(super) ids: EmbeddingTable,
    pub(super) bias: EmbeddingTable,
    pub(super) tower: ItemTower,
    pub(super) replicas: Vec<ItemTower>,
    pub(super) optimiser: Adam,
    /// Items that somebody has, ascending: others are drawn from them.
    pub(super) used: Vec<u32>,
    pub(super) rounds: u64,
    pub(super) content: Content,
    pub(super) train: Interactions,
    pub(super) config: FederatedTwoTowerConfig,
    pub(super) seed: SeedStream,
    pub(super) device: Device,
}

/// What happened on a device. `tower` and `rows` are sent, `taste` stays.
pub(super) struct Update {
    pub(super) user: usize,
    taste: Vec<f32>,
    /// All weights of the tower, one after the other.
    pub(super) tower: Vec<f32>,
    /// By item, of its id and of its bias, the last number.
    pub(super) rows: BTreeMap<u32, Vec<f32>>,
    loss: f64,
    n: usize,
}

impl Update {
    fn sent(&self) -> impl Iterator<Item = &f32> {
        self.tower.iter().chain(self.rows.values().flatten())
    }
}

/// The sums of a round, over all that is sent.
pub(super) struct RoundSum {
    pub(super) tower: Vec<f32>,
    /// `[n_items, dim + 1]`.
    pub(super) rows: Vec<f32>,
    pub(super) touched: Vec<bool>,
    pub(super) loss: f64,
    pub(super) n: usize,
}

fn flat(layer: &impl Layer) -> Result<Vec<f32>, FitError> {
    let mut all = Vec::with_capacity(layer.n_parameters());
    for (_, weight) in layer.weights() {
        all.extend_from_slice(weight.to_matrix()?.as_slice());
    }
    Ok(all)
}

/// `x ← x - lr g`, where there is a gradient.
fn descend(
    x: &mut [f32],
    lr: f32,
    leaf: &Tensor<2>,
    grads: &mut burn::tensor::Gradients,
) -> Result<(), FitError> {
    let Some(grad) = leaf.grad_remove(grads) else { return Ok(()) };
    let grad = tensor_to_vec(grad).map_err(FitError::Device)?;
    x.iter_mut().zip(grad).for_each(|(x, g)| *x -= lr * g);
    Ok(())
}

impl Server {
    /// Sums what the users of a round send, clipped and with noise, each in their order.
    pub(super) fn sum(&mut self, rng: &mut ChaCha8Rng) -> Result<RoundSum, FitError> {
        let federation = self.config.federation();
        let start = flat(&self.tower)?;
        let width = self.config.dim + 1;
        let mut sum = RoundSum {
            tower: vec![0.0; start.len()],
            rows: vec![0.0; self.train.n_items() * width],
            touched: vec![false; self.train.n_items()],
            loss: 0.0,
            n: 0,
        };
        let takes_part = federation.takes_part(self.train.n_users(), rng);
        let mut replicas = std::mem::take(&mut self.replicas);
        let block = AT_ONCE * replicas.len().max(1);
        for users in takes_part.chunks(block) {
            let each = users.len().div_ceil(replicas.len().max(1)).max(1);
            let work = users.par_chunks(each).zip(&mut replicas);
            let done: Vec<Result<Vec<Update>, FitError>> = work
                .map(|(users, tower)| {
                    let home = users.iter().map(|user| self.at_home(*user, tower, &start));
                    Ok(home.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
                })
                .collect();
            for updates in done {
                for update in updates? {
                    let scale = federation.scale(update.sent());
                    self.users.row_mut(update.user).copy_from_slice(&update.taste);
                    sum.add(&update, scale, width);
                }
            }
        }
        self.replicas = replicas;
        federation.disturb(&mut sum.tower, rng);
        federation.disturb(&mut sum.rows, rng);
        if self.config.noise > 0.0 {
            // Which rows somebody touched would be told by those that lie still.
            sum.touched.fill(true);
        }
        Ok(sum)
    }

    /// One round; the summed loss and the number of interactions.
    fn round(&mut self) -> Result<(f64, usize), FitError> {
        self.rounds += 1;
        let mut rng = self.seed.rng("federated-two-tower-round", self.rounds);
        let mut sum = self.sum(&mut rng)?;
        let mean = 1.0 / (self.config.rate * self.train.n_users() as f64) as f32;
        sum.tower.iter_mut().chain(&mut sum.rows).for_each(|v| *v *= mean);
        let width = self.config.dim + 1;
        let (mut items, mut ids, mut bias) = (Vec::new(), Vec::new(), Vec::new());
        for (item, row) in sum.rows.chunks_exact(width).enumerate() {
            if sum.touched[item] {
                items.push(item as u32);
                ids.extend_from_slice(&row[..width - 1]);
                bias.push(row[width - 1]);
            }
        }
        self.ids.step_slices(&items, &ids);
        self.bias.step_slices(&items, &bias);
        let grads = self.weight_gradients(&sum.tower)?;
        self.optimiser.step_gradients(&mut self.tower, grads);
        Ok((sum.loss, sum.n))
    }

    fn weight_gradients(&self, of: &[f32]) -> Result<WeightGradients, FitError> {
        let (mut rest, mut grads) = (of, Vec::new());
        for (_, weight) in self.tower.weights() {
            let [rows, cols] = weight.dims();
            let (own, after) = rest.split_at(rows * cols);
            let own = Matrix::from_vec(rows, cols, own.to_vec())?;
            grads.push(Some(matrix_to_tensor(&own, &self.device.clone().inner())));
            rest = after;
        }
        Ok(WeightGradients::of(grads))
    }

    /// What `user` does on their device with a copy of the tower, whose numbers are `start`; none
    /// of a user without items.
    fn at_home(
        &self,
        user: usize,
        tower: &mut ItemTower,
        start: &[f32],
    ) -> Result<Option<Update>, FitError> {
        let own: Vec<u32> = self.train.items(UserIdx::new(user)).iter().map(|i| i.0).collect();
        if own.is_empty() {
            return Ok(None);
        }
        let (config, dim, device) = (&self.config, self.config.dim, &self.device);
        let counter = self.rounds.wrapping_mul(self.train.n_users() as u64 + 1) + user as u64;
        let mut rng = self.seed.rng("federated-two-tower-user", counter);
        let drawn = self.draw(user, own.len(), &mut rng);
        let rest = self.used.len().saturating_sub(own.len());
        let b = SoftmaxBatch::of_user(user as u32, &own, &drawn, rest);
        let views = self.content.views(&b.candidates, device);
        copy_weights(&self.tower, tower);
        let n = b.candidates.len();
        let gather = |table: &EmbeddingTable| -> Vec<f32> {
            b.candidates.iter().flat_map(|i| table.values().row(*i as usize)).copied().collect()
        };
        let before = (gather(&self.ids), gather(&self.bias));
        let (mut ids, mut bias) = before.clone();
        let mut taste = self.users.row(user).to_vec();
        let mut first = None;
        for _ in 0..config.local_epochs {
            let keep = |_| if rng.random::<f32>() < config.id_dropout { 0.0 } else { 1.0 };
            let keep: Vec<f32> = (0..n).map(keep).collect();
            let leaf = |x: &[f32], shape: [usize; 2]| {
                Tensor::<2>::from_data(TensorData::new(x.to_vec(), shape), device).require_grad()
            };
            let users = leaf(&taste, [1, 2 * dim]);
            let leaves = [leaf(&ids, [n, dim]), leaf(&bias, [n, 1])];
            let rows = StepRows::new(&b, Some(users.clone()), leaves, &keep);
            let weights = (config.l2, config.head_weight);
            let loss = rows.loss(tower, (&b, &views), weights, &mut rng);
            let mut grads = loss.backward();
            descend(&mut taste, config.lr, &users, &mut grads)?;
            descend(&mut ids, config.lr, &rows.ids, &mut grads)?;
            descend(&mut bias, config.lr, &rows.bias, &mut grads)?;
            WeightGradients::take(tower, &mut grads).move_by(tower, -config.lr);
            first.get_or_insert(loss_value(loss)?);
        }
        let moved = |before: f32, after: f32| (before - after) / config.lr;
        let tower = start.iter().zip(flat(tower)?).map(|(b, a)| moved(*b, a)).collect();
        let mut rows = BTreeMap::new();
        for (at, item) in b.candidates.iter().enumerate() {
            let range = at * dim..(at + 1) * dim;
            let mut row: Vec<f32> = before.0[range.clone()]
                .iter()
                .zip(&ids[range])
                .map(|(b, a)| moved(*b, *a))
                .collect();
            row.push(moved(before.1[at], bias[at]));
            rows.insert(*item, row);
        }
        let (n, loss) = (own.len(), first.unwrap_or(0.0) * own.len() as f64);
        Ok(Some(Update { user, taste, tower, rows, loss, n }))
    }

    /// Used items that the user, who has `n_own`, does not have, each at most once.
    fn draw(&self, user: usize, n_own: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let has = |item: &&u32| self.train.contains(UserIdx::new(user), ItemIdx(**item));
        let wanted = self.config.negatives;
        let rest = self.used.len().saturating_sub(n_own);
        if wanted == 0 || wanted >= rest {
            return self.used.iter().filter(|item| !has(item)).copied().collect();
        }
        // `wanted` of the rest, in the order of the items.
        let mut chosen = rand::seq::index::sample(rng, rest, wanted).into_vec();
        chosen.sort_unstable();
        let mut chosen = chosen.into_iter().peekable();
        let others = self.used.iter().filter(|item| !has(item)).enumerate();
        others.filter(|(at, _)| chosen.next_if_eq(at).is_some()).map(|(_, item)| *item).collect()
    }

    /// What a user would send in the next round.
    #[cfg(test)]
    pub(super) fn update_of(&self, user: usize) -> Update {
        let mut tower =
            ItemTower::new(&self.config.recipe(), &self.content, self.seed, &self.device).unwrap();
        self.at_home(user, &mut tower, &flat(&self.tower).unwrap()).unwrap().unwrap()
    }
}

impl RoundSum {
    fn add(&mut self, update: &Update, scale: f32, width: usize) {
        self.loss += update.loss;
        self.n += update.n;
        self.tower.iter_mut().zip(&update.tower).for_each(|(to, v)| *to += scale * v);
        for (item, row) in &update.rows {
            let to = &mut self.rows[*item as usize * width..][..width];
            to.iter_mut().zip(row).for_each(|(to, v)| *to += scale * v);
            self.touched[*item as usize] = true;
        }
    }
}

impl Trainer for Server {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let rounds = (1.0 / self.config.rate).ceil() as usize;
        let (mut sum, mut samples) = (0.0, 0);
        for batch in 1..=rounds {
            let (loss, n) = self.round()?;
            if !loss.is_finite() {
                return Err(FitError::Diverged { model: NAME.into(), epoch, batch, loss });
            }
            (sum, samples) = (sum + loss, samples + n);
        }
        Ok(EpochStats { loss: sum / samples.max(1) as f64, batches: rounds, samples })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let recipe = self.tower.recipe(self.config.recipe())?;
        let ids = Ids {
            users: Users::Vectors(self.users.clone()),
            items: self.ids.values(),
            bias: self.bias.values().as_slice(),
            warm: self.train.item_counts().iter().map(|&c| c > 0).collect(),
        };
        let (fusion, content) = (&*self.tower.fusion, &self.content);
        Ok(Box::new(ContentModel::new(NAME, recipe, ids, fusion, content, &self.device)?))
    }

    fn notes(&self) -> Vec<String> {
        let federation = self.config.federation();
        let what = "item tower with the tables of ids and biases";
        federation.note(what, self.rounds, self.train.n_users()).into_iter().collect()
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        state.put("users", self.users.clone());
        self.ids.save("ids.", &mut state);
        self.bias.save("bias.", &mut state);
        save_weights(&self.tower, "tower.", &mut state)?;
        self.optimiser.save("adam.", &mut state)?;
        state.put_whole("rounds", vec![self.rounds as i64]);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.users = state.shaped("users", self.users.rows(), self.users.cols())?.clone();
        self.ids.load("ids.", state)?;
        self.bias.load("bias.", state)?;
        load_weights(&mut self.tower, "tower.", state, &self.device)?;
        self.optimiser.load(&self.tower, "adam.", state, &self.device)?;
        self.rounds = state.whole("rounds")?.first().copied().unwrap_or(0) as u64;
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        let users = self.users.as_slice().len();
        users + self.ids.n_parameters() + self.bias.n_parameters() + self.tower.n_parameters()
    }
}
