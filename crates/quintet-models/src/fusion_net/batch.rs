//! What a step reads, as places among its distinct users and items.

use burn::tensor::{Tensor, TensorData, activation};
use quintet_core::Interactions;
use quintet_data::TripletBatch;
use quintet_tensor::{
    Robust, bce_rows, robust_mean, score_pairs, select_rows, soft_intra_list_distance, softplus,
    unique_ids,
};

use super::RankingLoss;
use super::tasks::Labels;
use crate::softmax_batch::{Candidates, SoftmaxBatch};

/// The interactions of a step and what they are compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ranking {
    /// Negatives of each.
    Pairs(TripletBatch),
    /// Candidates in a softmax.
    Softmax(SoftmaxBatch),
}

impl Ranking {
    pub(super) fn softmax(
        pairs: &[(u32, u32)],
        compete: Candidates,
        counts: &[u32],
        train: &Interactions,
    ) -> Self {
        Self::Softmax(SoftmaxBatch::new(pairs, compete, counts, train))
    }

    fn len(&self) -> usize {
        match self {
            Ranking::Pairs(batch) => batch.len(),
            Ranking::Softmax(batch) => batch.len(),
        }
    }

    /// Users and their items.
    pub(super) fn pairs(&self) -> Vec<(u32, u32)> {
        match self {
            Ranking::Pairs(batch) => {
                batch.users.iter().copied().zip(batch.positives.iter().copied()).collect()
            }
            Ranking::Softmax(batch) => {
                let user = |place: &u32| batch.users[*place as usize];
                let item = |place: &u32| batch.candidates[*place as usize];
                let users = batch.user_places.iter().map(user);
                users.zip(batch.targets.iter().map(item)).collect()
            }
        }
    }

    /// The pairs with their negatives; none of a softmax.
    pub(super) fn triples(&self) -> Option<&TripletBatch> {
        match self {
            Ranking::Pairs(batch) => Some(batch),
            Ranking::Softmax(_) => None,
        }
    }

    /// Every item that is read.
    fn items(&self) -> Vec<u32> {
        match self {
            Ranking::Pairs(batch) => {
                batch.positives.iter().chain(&batch.negatives).copied().collect()
            }
            Ranking::Softmax(batch) => batch.candidates.clone(),
        }
    }
}

/// Some users of a step with a list each: one item of their own, then the same drawn items.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lists {
    users: Vec<u32>,
    own: Vec<u32>,
    shared: Vec<u32>,
}

impl Lists {
    /// The first `most` users of the pairs, each with the first of their items.
    pub(super) fn new(pairs: &[(u32, u32)], shared: Vec<u32>, most: usize) -> Self {
        let (mut users, mut own): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut seen = std::collections::HashSet::new();
        for (user, item) in pairs {
            if users.len() < most && seen.insert(*user) {
                users.push(*user);
                own.push(*item);
            }
        }
        Self { users, own, shared }
    }
}

/// One step.
#[derive(Debug, Clone)]
pub(super) struct StepBatch {
    /// Distinct users and items, ascending.
    pub(super) users: Vec<u32>,
    pub(super) items: Vec<u32>,
    ranking: Ranking,
    lists: Option<Lists>,
    labels: Option<Labels>,
}

/// Rows of the pairs of a step.
pub(super) struct PairRows {
    /// Of users and of their items, `[pairs, dim]`.
    pub(super) u: Tensor<2>,
    pub(super) positives: Tensor<2>,
    /// `[pairs · negatives, dim]`, those of a pair one after the other.
    pub(super) negatives: Tensor<2>,
}

/// Where `ids` stand in ascending `among`.
fn places(ids: &[u32], among: &[u32]) -> Vec<u32> {
    ids.iter().map(|id| among.partition_point(|other| other < id) as u32).collect()
}

impl StepBatch {
    pub(super) fn new(ranking: Ranking, lists: Option<Lists>) -> Self {
        let users: Vec<u32> = ranking.pairs().iter().map(|pair| pair.0).collect();
        let mut items = ranking.items();
        if let Some(lists) = &lists {
            items.extend(lists.shared.iter().chain(&lists.own));
        }
        let (users, items) = (unique_ids(&users).0, unique_ids(&items).0);
        Self { users, items, ranking, lists, labels: None }
    }

    /// Adds what is known of the pairs, head by head.
    pub(super) fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }

    pub(super) fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// Number of interactions.
    pub(super) fn len(&self) -> usize {
        self.ranking.len()
    }

    /// The rows of the pairs, of vectors of the step's users and items; none of a softmax.
    pub(super) fn pair_rows(&self, u: &Tensor<2>, v: &Tensor<2>) -> Option<PairRows> {
        let Ranking::Pairs(batch) = &self.ranking else { return None };
        Some(PairRows {
            u: select_rows(u.clone(), &places(&batch.users, &self.users)),
            positives: self.rows(v, &batch.positives),
            negatives: self.rows(v, &batch.negatives),
        })
    }

    /// The ranking loss of vectors of the step's users and items, `[users, dim]`, `[items, dim]`.
    pub(super) fn rank(
        &self,
        u: &Tensor<2>,
        v: &Tensor<2>,
        (loss, robust): (RankingLoss, Option<Robust>),
    ) -> Tensor<1> {
        if let Ranking::Softmax(batch) = &self.ranking {
            let u = select_rows(u.clone(), &batch.user_places);
            let rows = batch.rows(u.matmul(self.rows(v, &batch.candidates).transpose()));
            return robust_mean(robust, rows, None);
        }
        // What is no softmax has pairs.
        let Some(rows) = self.pair_rows(u, v) else { return Tensor::zeros([1], &u.device()) };
        let (positive, negative) = rows.scores();
        if loss == RankingLoss::Bpr {
            let gap = positive.expand(negative.dims()) - negative;
            return robust_mean(robust, softplus(gap.neg()), None);
        }
        let [pairs, columns] = [negative.dims()[0], 1 + negative.dims()[1]];
        let places: Vec<u32> = (0..pairs).map(|pair| (pair * columns) as u32).collect();
        let mut labels = vec![0.0f32; pairs * columns];
        places.iter().for_each(|place| labels[*place as usize] = 1.0);
        let labels = Tensor::from_data(TensorData::new(labels, [pairs, columns]), &u.device());
        let losses = bce_rows(Tensor::cat(vec![positive, negative], 1), labels);
        robust_mean(robust, losses, Some(&places))
    }

    /// The intra-list distance of the lists under `softmax(s / τ)`; `facts`, `[items, width]`, are
    /// of length 1. None without lists.
    pub(super) fn distance(
        &self,
        (u, v): (&Tensor<2>, &Tensor<2>),
        facts: &Tensor<2>,
        temperature: f32,
    ) -> Option<Tensor<1>> {
        let lists = self.lists.as_ref()?;
        let (n, length) = (lists.users.len(), 1 + lists.shared.len());
        let listed: Vec<u32> = lists
            .own
            .iter()
            .flat_map(|own| std::iter::once(*own).chain(lists.shared.iter().copied()))
            .collect();
        let listed = places(&listed, &self.items);
        let [_, width] = facts.dims();
        let facts = select_rows(facts.clone(), &listed).reshape([n, length, width]);
        let u = select_rows(u.clone(), &places(&lists.users, &self.users));
        let own = score_pairs(u.clone(), self.rows(v, &lists.own)); // [n, 1]
        let shared = u.matmul(self.rows(v, &lists.shared).transpose());
        let mut scores = Tensor::cat(vec![own, shared], 1) / temperature; // [n, length]
        if let Some(twice) = lists.twice(&scores) {
            scores = scores + twice;
        }
        Some(soft_intra_list_distance(activation::softmax(scores, 1), facts))
    }

    fn rows(&self, v: &Tensor<2>, ids: &[u32]) -> Tensor<2> {
        select_rows(v.clone(), &places(ids, &self.items))
    }
}

impl PairRows {
    /// Products of users with their items, `[pairs, 1]`, and with negatives, `[pairs, negatives]`.
    fn scores(&self) -> (Tensor<2>, Tensor<2>) {
        let [pairs, dim] = self.u.dims();
        let columns = self.negatives.dims()[0] / pairs.max(1);
        let positive = score_pairs(self.u.clone(), self.positives.clone());
        let negatives = self.negatives.clone().reshape([pairs, columns, dim]);
        let products = self.u.clone().reshape([pairs, 1, dim]) * negatives;
        (positive, products.sum_dim(2).reshape([pairs, columns]))
    }
}

impl Lists {
    /// Takes an own item that was drawn as well out of the drawn ones, `[users, 1 + shared]`.
    fn twice(&self, like: &Tensor<2>) -> Option<Tensor<2>> {
        let length = 1 + self.shared.len();
        let mut hidden = vec![0.0f32; self.users.len() * length];
        let mut any = false;
        for (row, own) in self.own.iter().enumerate() {
            if let Some(at) = self.shared.iter().position(|item| item == own) {
                hidden[row * length + 1 + at] = -1e9;
                any = true;
            }
        }
        let data = TensorData::new(hidden, [self.users.len(), length]);
        any.then(|| Tensor::from_data(data, &like.device()))
    }
}
