//! A batch of interactions and the items that compete for them in a softmax.

use std::collections::HashMap;
use std::ops::Range;

use burn::tensor::{Bool, Tensor, TensorData};
use quintet_core::{Interactions, UserIdx};
use quintet_tensor::{SparseRows, index_tensor, shard_ranges, softmax_rows, unique_ids};
use serde::{Deserialize, Serialize};

use crate::history_pool::pool_weight;

/// Which items compete in the softmax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidates {
    /// The distinct items of the batch, corrected for popular items being drawn more often.
    Batch,
    /// Every item that occurs in training: exact, for small catalogues.
    All,
}

/// Interactions of one step and the items that compete.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SoftmaxBatch {
    /// Distinct users, ascending.
    pub(crate) users: Vec<u32>,
    /// The place of each interaction's user among them.
    pub(crate) user_places: Vec<u32>,
    /// The items that compete, ascending.
    pub(crate) candidates: Vec<u32>,
    /// The place of each interaction's item among them.
    pub(crate) targets: Vec<u32>,
    /// `[batch, candidates]`, row by row: another item of the same user.
    hidden: Vec<bool>,
    log_q: Vec<f32>,
    /// The candidates, then the items of histories that do not compete, ascending in both.
    pub(crate) items: Vec<u32>,
    /// `[batch, items]`: what each interaction's user did besides, where that is asked for.
    pub(crate) histories: Option<SparseRows>,
}

impl SoftmaxBatch {
    /// `counts` are the training interactions of each item.
    pub(crate) fn new(
        pairs: &[(u32, u32)],
        compete: Candidates,
        counts: &[u32],
        train: &Interactions,
    ) -> Self {
        let candidates = match compete {
            Candidates::Batch => unique_ids(&pairs.iter().map(|p| p.1).collect::<Vec<u32>>()).0,
            Candidates::All => {
                (0..counts.len() as u32).filter(|&i| counts[i as usize] > 0).collect()
            }
        };
        let user_list: Vec<u32> = pairs.iter().map(|p| p.0).collect();
        let (users, user_places) = unique_ids(&user_list);
        let item_list: Vec<u32> = pairs.iter().map(|p| p.1).collect();
        let column: HashMap<u32, usize> =
            candidates.iter().enumerate().map(|(c, &i)| (i, c)).collect();
        let n = candidates.len();
        let mut hidden = vec![false; pairs.len() * n];
        for (row, &(user, item)) in pairs.iter().enumerate() {
            for other in train.items(UserIdx(user)).iter().filter(|o| o.0 != item) {
                if let Some(&c) = column.get(&other.0) {
                    hidden[row * n + c] = true;
                }
            }
        }
        let log_q = match compete {
            Candidates::All => vec![0.0; n],
            Candidates::Batch => log_q(&candidates, counts, train.nnz(), pairs.len()),
        };
        Self {
            users,
            user_places,
            targets: item_list.iter().map(|i| column[i] as u32).collect(),
            log_q,
            items: candidates.clone(),
            candidates,
            hidden,
            histories: None,
        }
    }

    /// The batch with the histories of its users, each without the item that is to be ranked, that
    /// count [`pool_weight`]. `pairs` and `train` are those that it was made of.
    pub(crate) fn with_histories(mut self, pairs: &[(u32, u32)], train: &Interactions) -> Self {
        let items = |user: u32| train.items(UserIdx(user)).iter().map(|item| item.0);
        let mut place: HashMap<u32, u32> = HashMap::new();
        place.extend(self.items.iter().copied().zip(0..));
        let read: Vec<u32> = self.users.iter().flat_map(|user| items(*user)).collect();
        for item in unique_ids(&read).0 {
            place.entry(item).or_insert_with(|| {
                self.items.push(item);
                self.items.len() as u32 - 1
            });
        }
        let rows = pairs.iter().map(|&(user, target)| {
            let weight = pool_weight(train.items(UserIdx(user)).len().saturating_sub(1));
            let others = items(user).filter(|item| *item != target);
            let mut row: Vec<(u32, f32)> = others.map(|item| (place[&item], weight)).collect();
            row.sort_unstable_by_key(|cell| cell.0);
            row
        });
        self.histories = Some(SparseRows::from_rows(self.items.len(), rows));
        self
    }

    /// The items of one user, each against `drawn`, some of the `rest` items that the user does not
    /// have: drawn with equal chance, so each stands for `rest / drawn` of them.
    pub(crate) fn of_user(user: u32, own: &[u32], drawn: &[u32], rest: usize) -> Self {
        let candidates = unique_ids(&[own, drawn].concat()).0;
        let targets: Vec<u32> =
            own.iter().map(|item| candidates.partition_point(|c| c < item) as u32).collect();
        let mine: Vec<bool> = candidates.iter().map(|c| own.contains(c)).collect();
        let mut hidden = Vec::with_capacity(own.len() * candidates.len());
        for item in own {
            hidden.extend(candidates.iter().zip(&mine).map(|(c, mine)| *mine && c != item));
        }
        let chance = (drawn.len().max(1) as f32 / rest.max(1) as f32).ln();
        Self {
            users: vec![user],
            user_places: vec![0; own.len()],
            log_q: mine.iter().map(|mine| if *mine { 0.0 } else { chance }).collect(),
            items: candidates.clone(),
            candidates,
            targets,
            hidden,
            histories: None,
        }
    }

    /// The same batch in at most `workers` parts, against the candidates of all of it.
    pub(crate) fn shards(&self, workers: usize) -> Vec<Self> {
        let n = self.candidates.len();
        let part = |range: Range<usize>| {
            let of: Vec<u32> =
                self.user_places[range.clone()].iter().map(|u| self.users[*u as usize]).collect();
            let (users, user_places) = unique_ids(&of);
            Self {
                users,
                user_places,
                candidates: self.candidates.clone(),
                items: self.items.clone(),
                targets: self.targets[range.clone()].to_vec(),
                hidden: self.hidden[range.start * n..range.end * n].to_vec(),
                log_q: self.log_q.clone(),
                histories: self.histories.as_ref().map(|all| some_rows(all, range.clone())),
            }
        };
        shard_ranges(self.len(), workers).into_iter().map(part).collect()
    }

    /// Number of interactions.
    pub(crate) fn len(&self) -> usize {
        self.targets.len()
    }

    /// The softmax of `logits`, `[batch, candidates]`.
    pub(crate) fn loss(&self, logits: Tensor<2>) -> Tensor<1> {
        self.rows(logits).mean()
    }

    /// As [`SoftmaxBatch::loss`], of each interaction by itself, `[batch, 1]`.
    pub(crate) fn rows(&self, logits: Tensor<2>) -> Tensor<2> {
        let (device, n) = (logits.device(), self.candidates.len());
        let hidden = TensorData::new(self.hidden.clone(), [self.len(), n]);
        let hidden = Tensor::<2, Bool>::from_data(hidden, &device);
        let log_q = Tensor::from_data(TensorData::new(self.log_q.clone(), [1, n]), &device);
        softmax_rows(logits, log_q, index_tensor(&self.targets, &device), hidden)
    }
}

fn some_rows(of: &SparseRows, range: Range<usize>) -> SparseRows {
    let cells = |row: usize| {
        let (columns, values) = of.row(row);
        columns.iter().copied().zip(values.iter().copied()).collect()
    };
    SparseRows::from_rows(of.dims()[1], range.map(cells))
}

/// Log of the probability that each candidate is among the candidates: an item with `c` of the `n`
/// training interactions is missed by a batch of `b` with `(1 - c/n)^b`.
pub(crate) fn log_q(candidates: &[u32], counts: &[u32], n: usize, batch: usize) -> Vec<f32> {
    let drawn = |i: &u32| {
        let share = f64::from(counts[*i as usize]) / n as f64;
        (1.0 - (1.0 - share).powf(batch as f64)).max(1e-12).ln() as f32
    };
    candidates.iter().map(drawn).collect()
}
