//! A step over a batch, by one worker or by several.

use burn::tensor::{Tensor, TensorData};
use quintet_tensor::{
    FitError, Robust, RowGradients, Views, WeightGradients, copy_weights, index_tensor, loss_value,
    on_workers, robust_mean, shard_ranges, squared_penalty, step_shards, step_table, tensor_to_vec,
};
use rand_chacha::ChaCha8Rng;

use super::{FAST, ItemTower, TwoTowerTrainer};
use crate::content_model::{auxiliary, scaled};
use crate::gathered::{self, FusedShard};
use crate::softmax_batch::SoftmaxBatch;

/// The rows of a batch, or of a shard of it, as leaves.
pub(crate) struct StepRows {
    pub(crate) users: Tensor<2>,
    /// A row of `users` for each interaction, `[batch, 2 dim]`.
    u: Tensor<2>,
    pub(crate) ids: Tensor<2>,
    pub(crate) bias: Tensor<2>,
    /// 1 for each candidate whose id takes part, else 0, `[candidates, 1]`.
    keep: Tensor<2>,
    robust: Option<Robust>,
}

impl StepRows {
    /// Takes leaves of the users, `[users, 2 dim]`, and of the candidates, `[candidates, dim]` and
    /// `[candidates, 1]`.
    pub(crate) fn new(b: &SoftmaxBatch, [users, ids, bias]: [Tensor<2>; 3], keep: &[f32]) -> Self {
        let device = users.device();
        let keep = Tensor::from_data(TensorData::new(keep.to_vec(), [keep.len(), 1]), &device);
        let u = users.clone().select(0, index_tensor(&b.user_places, &device));
        Self { users, u, ids, bias, keep, robust: None }
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
        if let Some(p) = squared_penalty(&[&self.u, &self.ids], l2, b.len()) {
            loss = loss + p;
        }
        loss + auxiliary(&fused, views, head_weight, ranked)
    }

    /// The loss of the batch, given the content of the candidates, `[candidates, dim]`.
    fn ranked(&self, tower: &ItemTower, b: &SoftmaxBatch) -> impl Fn(Tensor<2>) -> Tensor<1> {
        let keep = self.keep.clone();
        let dropped = keep.clone().neg() + 1.0;
        let stretch = tower.stretch.tensor().mul_scalar(FAST).exp();
        let factor = dropped.clone() * stretch + keep.clone();
        let kept_ids = self.ids.clone() * keep.clone();
        let biases =
            self.bias.clone() * keep + dropped * tower.shared_bias.tensor().mul_scalar(FAST);
        let (u, robust) = (self.u.clone(), self.robust);
        move |content: Tensor<2>| {
            let rows = vec![content * factor.clone(), kept_ids.clone()];
            let items = Tensor::cat(rows, 1); // [candidates, 2 dim]
            let logits = u.clone().matmul(items.transpose()) + biases.clone().transpose();
            robust_mean(robust, b.rows(logits), None)
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
    /// Of the gathered vectors, `[candidates, dim]` each.
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
        let leaves = [
            self.users.leaf(&b.users, device),
            self.ids.leaf(&b.candidates, device),
            self.bias.leaf(&b.candidates, device),
        ];
        StepRows::new(b, leaves, keep).with_robust(self.robust)
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
        let views = self.content.train_views(&b.candidates, hidden, rng, &self.device)?;
        let weights = (self.config.l2, self.config.head_weight);
        let loss = rows.loss(&self.tower, (b, &views), weights, rng);
        let mut grads = loss.backward();
        step_table(&mut self.users, &b.users, &rows.users, &mut grads)?;
        step_table(&mut self.ids, &b.candidates, &rows.ids, &mut grads)?;
        step_table(&mut self.bias, &b.candidates, &rows.bias, &mut grads)?;
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
        let (workers, n_items) = (self.config.workers, b.candidates.len());
        self.replicas.iter_mut().for_each(|replica| copy_weights(&self.tower, replica));
        let heads = self.config.head_weight > 0.0;
        let fused = on_workers(rng, &shard_ranges(n_items, workers), |k, range, rng| {
            let (tower, items) = (self.tower(k), &b.candidates[range.clone()]);
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
        step_shards(&mut self.users, sum.users);
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
        let leaves = gathered::leaves(contents, b.candidates.len(), &self.device);
        let ranked = rows.ranked(tower, b);
        let share = b.len() as f32 / n.max(1) as f32;
        let mut loss = ranked(leaves[0].clone());
        let each = self.config.head_weight / (leaves.len().max(2) - 1) as f32;
        for head in &leaves[1..] {
            loss = loss + ranked(head.clone()).mul_scalar(each);
        }
        // Of the items once in all: the shares of the shards add up to one.
        let penalties = [
            squared_penalty(&[&rows.u], self.config.l2, b.len()),
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
            users: RowGradients::take(&b.users, &rows.users, &mut grads)?,
            ids: RowGradients::take(&b.candidates, &rows.ids, &mut grads)?,
            bias: RowGradients::take(&b.candidates, &rows.bias, &mut grads)?,
            weights: WeightGradients::take(tower, &mut grads),
            contents,
            loss: loss_value(loss)?,
        })
    }
}
