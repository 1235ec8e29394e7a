//! A step over a batch, by one worker or by several.

use burn::tensor::{Tensor, TensorData};
use quintet_tensor::{
    FitError, Layers, Robust, RowGradients, SparseProduct, Views, WeightGradients, copy_weights,
    index_tensor, loss_value, on_workers, robust_mean, shard_ranges, squared_penalty, step_shards,
    step_table, tensor_to_vec,
};
use rand_chacha::ChaCha8Rng;

use super::{FAST, ItemTower, TwoTowerTrainer};
use crate::content_model::{auxiliary, scaled};
use crate::gathered::{self, FusedShard};
use crate::softmax_batch::SoftmaxBatch;

/// The rows of a batch, or of a shard of it, as leaves.
pub(crate) struct StepRows {
    users: Option<Tensor<2>>,
    /// A row of `users` for each interaction, `[batch, 2 dim]`.
    u: Option<Tensor<2>>,
    /// `[batch, items]`, by which item vectors make those of users.
    histories: Option<SparseProduct>,
    pub(crate) ids: Tensor<2>,
    pub(crate) bias: Tensor<2>,
    /// 1 for each item whose id takes part, else 0, `[items, 1]`.
    keep: Tensor<2>,
    robust: Option<Robust>,
}

impl StepRows {
    /// Takes leaves of the users, `[users, 2 dim]`, where they have vectors of their own, and of
    /// the items, `[items, dim]` and `[items, 1]`.
    pub(crate) fn new(
        b: &SoftmaxBatch,
        users: Option<Tensor<2>>,
        [ids, bias]: [Tensor<2>; 2],
        keep: &[f32],
    ) -> Self {
        let device = ids.device();
        let keep = Tensor::from_data(TensorData::new(keep.to_vec(), [keep.len(), 1]), &device);
        let places = || index_tensor(&b.user_places, &device);
        let u = users.clone().map(|users| users.select(0, places()));
        let histories = b.histories.clone().map(SparseProduct::new);
        Self { users, u, histories, ids, bias, keep, robust: None }
    }

    /// Has losses brought together in another way than by their mean.
    fn with_robust(self, robust: Option<Robust>) -> Self {
        Self { robust, ..self }
    }

    /// The loss of a batch by one worker: of the fused vectors and of the heads, which count
    /// `head_weight` together, with the penalties.
    pub(crate) fn loss(
        &self,
        tower: &ItemTower,
        (b, views): (&SoftmaxBatch, &Views),
        (l2, head_weight): (f32, f32),
        rng: &mut ChaCha8Rng,
    ) -> Tensor<1> {
        let fused = scaled(tower.fusion.forward_train(views, rng), tower.scale);
        let ranked = self.ranked(tower, b);
        let mut loss = ranked(fused.vectors.clone());
        let penalised: Vec<&Tensor<2>> = self.u.iter().chain([&self.ids]).collect();
        if let Some(p) = squared_penalty(&penalised, l2, b.len()) {
            loss = loss + p;
        }
        loss + auxiliary(&fused, views, head_weight, ranked)
    }

    /// The loss of the batch, given the content of the items, `[items, dim]`.
    fn ranked(&self, tower: &ItemTower, b: &SoftmaxBatch) -> impl Fn(Tensor<2>) -> Tensor<1> {
        let keep = self.keep.clone();
        let dropped = keep.clone().neg() + 1.0;
        let stretch = tower.stretch.tensor().mul_scalar(FAST).exp();
        let factor = dropped.clone() * stretch + keep.clone();
        let kept_ids = self.ids.clone() * keep.clone();
        let biases =
            self.bias.clone() * keep + dropped * tower.shared_bias.tensor().mul_scalar(FAST);
        // The items behind the candidates are there for histories alone.
        let n = b.candidates.len();
        let front = move |t: Tensor<2>| if t.dims()[0] > n { t.narrow(0, 0, n) } else { t };
        let biases = front(biases);
        let robust = self.robust;
        let users = self.user_vectors(tower, b.len());
        move |content: Tensor<2>| {
            let u = users(&content);
            let rows = vec![content * factor.clone(), kept_ids.clone()];
            let items = front(Tensor::cat(rows, 1)); // [candidates, 2 dim]
            let logits = u.matmul(items.transpose()) + biases.clone().transpose();
            robust_mean(robust, b.rows(logits), None)
        }
    }

    /// The users of the `n_rows` interactions, `[batch, 2 dim]`, given the content of the items.
    /// Items of a history keep their ids, as in the fitted model.
    fn user_vectors(&self, tower: &ItemTower, n_rows: usize) -> impl Fn(&Tensor<2>) -> Tensor<2> {
        let (own, ids) = (self.u.clone(), self.ids.clone());
        let pool = self.histories.clone().zip(tower.gains());
        move |content| {
            let pooled = pool.as_ref().map(|(histories, gains)| {
                let items = Tensor::cat(vec![content.clone(), ids.clone()], 1);
                histories.propagate(items, 1, Layers::Last) * gains.clone()
            });
            match (own.clone(), pooled) {
                (Some(own), Some(pooled)) => own + pooled,
                (Some(u), None) | (None, Some(u)) => u,
                // Somebody of whom nothing is known: biases rank.
                (None, None) => Tensor::zeros([n_rows, 2 * content.dims()[1]], &content.device()),
            }
        }
    }
}

/// What a shard adds to a step, its content apart.
struct StepPart {
    loss: f64,
    users: Option<RowGradients>,
    ids: Option<RowGradients>,
    bias: Option<RowGradients>,
    /// Of the tower, without the fusion layer behind the gathered vectors.
    weights: WeightGradients,
    /// Of the gathered vectors, `[items, dim]` each.
    contents: Vec<Vec<f32>>,
}

/// What the shards add, in their order.
#[derive(Default)]
struct StepSum {
    loss: f64,
    users: Vec<Option<RowGradients>>,
    ids: Vec<Option<RowGradients>>,
    bias: Vec<Option<RowGradients>>,
    weights: Vec<WeightGradients>,
    contents: Vec<Vec<Vec<f32>>>,
}

impl StepSum {
    fn add(&mut self, part: StepPart) {
        self.loss += part.loss;
        self.users.push(part.users);
        self.ids.push(part.ids);
        self.bias.push(part.bias);
        self.weights.push(part.weights);
        self.contents.push(part.contents);
    }
}

impl TwoTowerTrainer {
    /// The rows of a batch, or of a shard of it.
    fn rows(&self, b: &SoftmaxBatch, keep: &[f32]) -> StepRows {
        let device = &self.device;
        let users = self.users.as_ref().map(|users| users.leaf(&b.users, device));
        let leaves = [self.ids.leaf(&b.items, device), self.bias.leaf(&b.items, device)];
        StepRows::new(b, users, leaves, keep).with_robust(self.robust)
    }

    pub(super) fn step(
        &mut self,
        (b, keep): (&SoftmaxBatch, &[f32]),
        rng: &mut ChaCha8Rng,
    ) -> Result<f64, FitError> {
        if self.config.workers > 1 {
            return self.sharded_step((b, keep), rng);
        }
        let rows = self.rows(b, keep);
        let hidden = self.config.modality_dropout;
        let views = self.content.train_views(&b.items, hidden, rng, &self.device)?;
        let weights = (self.config.l2, self.config.head_weight);
        let loss = rows.loss(&self.tower, (b, &views), weights, rng);
        let mut grads = loss.backward();
        if let Some((users, leaf)) = self.users.as_mut().zip(rows.users) {
            step_table(users, &b.users, &leaf, &mut grads)?;
        }
        step_table(&mut self.ids, &b.items, &rows.ids, &mut grads)?;
        step_table(&mut self.bias, &b.items, &rows.bias, &mut grads)?;
        self.optimiser.step(&mut self.tower, &mut grads);
        loss_value(loss)
    }

    fn tower(&self, worker: usize) -> &ItemTower {
        if worker == 0 { &self.tower } else { &self.replicas[worker - 1] }
    }

    /// The same step on several workers: see [`gathered`].
    fn sharded_step(
        &mut self,
        (b, keep): (&SoftmaxBatch, &[f32]),
        rng: &mut ChaCha8Rng,
    ) -> Result<f64, FitError> {
        let (workers, n_items) = (self.config.workers, b.items.len());
        self.replicas.iter_mut().for_each(|replica| copy_weights(&self.tower, replica));
        let heads = self.config.head_weight > 0.0;
        let fused = on_workers(rng, &shard_ranges(n_items, workers), |k, range, rng| {
            let (tower, items) = (self.tower(k), &b.items[range.clone()]);
            let hidden = self.config.modality_dropout;
            let views = self.content.train_views(items, hidden, rng, &self.device)?;
            let of = (range.clone(), &views);
            Ok(FusedShard::new(&*tower.fusion, of, (tower.scale, heads), rng))
        })?;
        let contents = gathered::gather(&fused)?;
        let parts = on_workers(rng, &b.shards(workers), |k, shard, _| {
            self.part(self.tower(k), (shard, keep), b.len(), &contents)
        })?;
        let mut sum = StepSum::default();
        for part in parts {
            sum.add(part);
        }
        let of_contents = gathered::sum(&sum.contents);
        let of_fusion = on_workers(rng, &fused, |k, shard, _| {
            Ok((shard.backward(self.tower(k), &of_contents)?, shard.penalty(n_items)?))
        })?;
        for (weights, penalty) in of_fusion {
            sum.loss += penalty;
            sum.weights.push(weights);
        }
        if let Some(users) = &mut self.users {
            step_shards(users, sum.users);
        }
        step_shards(&mut self.ids, sum.ids);
        step_shards(&mut self.bias, sum.bias);
        if let Some(weights) = WeightGradients::sum(sum.weights) {
            self.optimiser.step_gradients(&mut self.tower, weights);
        }
        Ok(sum.loss)
    }

    /// Loss and gradients of a shard of a batch of `n` interactions against gathered vectors.
    fn part(
        &self,
        tower: &ItemTower,
        (b, keep): (&SoftmaxBatch, &[f32]),
        n: usize,
        contents: &[Vec<f32>],
    ) -> Result<StepPart, FitError> {
        let rows = self.rows(b, keep);
        let leaves = gathered::leaves(contents, b.items.len(), &self.device);
        let ranked = rows.ranked(tower, b);
        let share = b.len() as f32 / n.max(1) as f32;
        let mut loss = ranked(leaves[0].clone());
        let each = self.config.head_weight / (leaves.len().max(2) - 1) as f32;
        for head in &leaves[1..] {
            loss = loss + ranked(head.clone()).mul_scalar(each);
        }
        // Of the items once in all: the shares of the shards add up to one.
        let penalties = [
            rows.u.as_ref().and_then(|u| squared_penalty(&[u], self.config.l2, b.len())),
            squared_penalty(&[&rows.ids], self.config.l2, n),
        ];
        loss = penalties.into_iter().flatten().fold(loss, |loss, p| loss + p).mul_scalar(share);
        let mut grads = loss.backward();
        let of_content = |leaf: &Tensor<2>| match leaf.grad_remove(&mut grads) {
            Some(grad) => tensor_to_vec(grad).map_err(FitError::Device),
            None => Ok(vec![0.0; leaf.dims().iter().product()]),
        };
        let contents = leaves.iter().map(of_content).collect::<Result<_, _>>()?;
        Ok(StepPart {
            users: match &rows.users {
                Some(users) => RowGradients::take(&b.users, users, &mut grads)?,
                None => None,
            },
            ids: RowGradients::take(&b.items, &rows.ids, &mut grads)?,
            bias: RowGradients::take(&b.items, &rows.bias, &mut grads)?,
            weights: WeightGradients::take(tower, &mut grads),
            contents,
            loss: loss_value(loss)?,
        })
    }
}
