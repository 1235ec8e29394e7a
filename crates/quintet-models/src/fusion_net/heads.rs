//! The heads over the trunk, and their losses.

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::Matrix;
use quintet_tensor::{
    FitError, Layer, Linear, Robust, Weight, bce_rows, index_tensor, mse, robust_mean, select_rows,
    softplus,
};

use super::RankingLoss;
use super::batch::PairRows;
use super::tasks::Labels;
use crate::content_model::prefixed;

/// One head: `s_k(u, i) = (u A_k + a_k) · v_i + c_k`.
pub(super) struct Head {
    pub(super) user: Linear,
    /// `c_k`, `[1, 1]`.
    pub(super) level: Weight,
}

impl Head {
    fn new(dim: usize, device: &Device) -> Self {
        let mut same = Matrix::zeros(dim, dim);
        (0..dim).for_each(|at| same.row_mut(at)[at] = 1.0);
        let zeros = |cols| Weight::new(&Matrix::zeros(1, cols), device);
        Self {
            user: Linear { weight: Weight::new(&same, device), bias: zeros(dim) },
            level: zeros(1),
        }
    }

    /// `s_k` of matching rows, `[pairs, columns]`: `u`, `[pairs, dim]`, and for each of them the
    /// vectors of `columns` items, `[pairs · columns, dim]`.
    fn logits(&self, u: Tensor<2>, v: &Tensor<2>) -> Tensor<2> {
        let [pairs, dim] = u.dims();
        let columns = v.dims()[0] / pairs.max(1);
        let u = self.user.forward(u).reshape([pairs, 1, dim]);
        let products = u * v.clone().reshape([pairs, columns, dim]);
        products.sum_dim(2).reshape([pairs, columns]) + self.level.tensor()
    }
}

/// The heads of kinds of events, then that of values.
pub(super) struct Heads {
    pub(super) all: Vec<Head>,
    n_kinds: usize,
    chain: bool,
}

impl Heads {
    pub(super) fn new(
        (n_heads, has_value): (usize, bool),
        chain: bool,
        dim: usize,
        device: &Device,
    ) -> Self {
        let all = (0..n_heads).map(|_| Head::new(dim, device)).collect();
        Self { all, n_kinds: n_heads - usize::from(has_value), chain }
    }

    /// The loss of head `k` in a step; none where the step says nothing of it.
    pub(super) fn loss(
        &self,
        k: usize,
        rows: &PairRows,
        labels: &Labels,
        (loss, robust): (RankingLoss, Option<Robust>),
    ) -> Option<Tensor<1>> {
        if k >= self.n_kinds {
            return self.value_loss(k, rows, labels);
        }
        let positives = &labels.kinds[k];
        if loss == RankingLoss::Bce {
            return Some(self.point_loss(k, rows, positives, robust));
        }
        if positives.is_empty() {
            return None;
        }
        let rows = rows.select(positives);
        let positive = self.all[k].logits(rows.u.clone(), &rows.positives); // [pairs, 1]
        let negative = self.all[k].logits(rows.u, &rows.negatives); // [pairs, negatives]
        let gap = positive.expand(negative.dims()) - negative;
        Some(robust_mean(robust, softplus(gap.neg()), None))
    }

    /// Of every pair and negative of the step, whether it is of kind `k`.
    fn point_loss(
        &self,
        k: usize,
        rows: &PairRows,
        positives: &[u32],
        robust: Option<Robust>,
    ) -> Tensor<1> {
        let logits = |head: &Head| {
            let own = head.logits(rows.u.clone(), &rows.positives);
            Tensor::cat(vec![own, head.logits(rows.u.clone(), &rows.negatives)], 1)
        };
        let x = logits(&self.all[k]); // [pairs, 1 + negatives]
        let [pairs, columns] = x.dims();
        let places: Vec<u32> = positives.iter().map(|row| row * columns as u32).collect();
        let mut labels = vec![0.0f32; pairs * columns];
        places.iter().for_each(|place| labels[*place as usize] = 1.0);
        let labels = Tensor::from_data(TensorData::new(labels, [pairs, columns]), &x.device());
        let losses = if self.chain && k > 0 {
            let steps = self.all[..k].iter().map(|head| softplus(logits(head).neg()));
            // ln p_k = -Σ softplus(-s_l), and it is never 0.
            let log_p = steps.fold(softplus(x.neg()), |sum, step| sum + step).neg();
            let log_not = (log_p.clone().clamp_max(-1e-6).exp().neg() + 1.0).log();
            (labels.clone() * log_p + (labels.neg() + 1.0) * log_not).neg()
        } else {
            bce_rows(x, labels)
        };
        robust_mean(robust, losses, Some(&places))
    }

    fn value_loss(&self, k: usize, rows: &PairRows, labels: &Labels) -> Option<Tensor<1>> {
        let (places, values) = &labels.values;
        if places.is_empty() {
            return None;
        }
        let rows = rows.select(places);
        let found = self.all[k].logits(rows.u, &rows.positives);
        let target = TensorData::new(values.clone(), [values.len(), 1]);
        let target = Tensor::from_data(target, &found.device());
        Some(mse(found, target))
    }

    /// The vectors of users for head `k`, and its level.
    pub(super) fn users(&self, k: usize, u: Tensor<2>) -> Result<(Tensor<2>, f32), FitError> {
        let head = &self.all[k];
        Ok((head.user.forward(u), head.level.to_matrix()?.as_slice()[0]))
    }

    /// Whether head `k` predicts a kind of event, not values.
    pub(super) fn is_kind(&self, k: usize) -> bool {
        k < self.n_kinds
    }
}

impl PairRows {
    /// Some of the pairs with their negatives.
    fn select(&self, places: &[u32]) -> PairRows {
        let columns = self.negatives.dims()[0] / self.u.dims()[0].max(1);
        let of_pair = |place: u32| (0..columns as u32).map(move |c| place * columns as u32 + c);
        let negatives: Vec<u32> = places.iter().copied().flat_map(of_pair).collect();
        let device = self.u.device();
        PairRows {
            u: select_rows(self.u.clone(), places),
            positives: select_rows(self.positives.clone(), places),
            negatives: self.negatives.clone().select(0, index_tensor(&negatives, &device)),
        }
    }
}

impl Layer for Heads {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = Vec::new();
        for (k, head) in self.all.iter().enumerate() {
            all.extend(prefixed(&format!("{k}."), &head.user));
            all.push((format!("{k}.level"), &head.level));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = Vec::new();
        for head in &mut self.all {
            all.extend(head.user.weights_mut());
            all.push(&mut head.level);
        }
        all
    }
}
