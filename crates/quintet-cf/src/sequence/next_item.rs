//! The output layer of models of the next item: losses over hidden states and item vectors, with
//! their gradients, on plain slices.
//!
//! With the hidden state `h` of a position, its target `t` and rivals `j`, scores are `h · v`:
//! - softmax: `-ln(e^{s_t} / (e^{s_t} + Σ_j e^{s_j}))` over all items. Klenitskiy & Vasilev,
//!   "Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec?", RecSys 2023.
//! - sampled softmax: the same over drawn rivals, each divided by the probability `π_j` that it is
//!   among them, so that the sum is an unbiased estimate of that over all items (Horvitz &
//!   Thompson, 1952): `s_j - ln π_j`. GRU4Rec calls it cross-entropy, without the correction.
//! - BCE: `-ln σ(s_t) - ln(1 - σ(s_j))` with one rival of its own a position. Kang & McAuley,
//!   ICDM 2018.
//! - BPR-max: `-ln Σ_j w_j σ(s_t - s_j) + λ Σ_j w_j s_j²` and
//! - TOP1-max: `Σ_j w_j (σ(s_j - s_t) + σ(s_j²))`, with `w` the softmax of the rivals' scores.
//!   Hidasi & Karatzoglou, "Recurrent Neural Networks with Top-k Gains for Session-based
//!   Recommendations", CIKM 2018.
//!
//! The loss of a step is the mean over its positions.
//! Cost: `O(positions · rivals · dim)`, in blocks that bound the memory; positions in parallel for
//! the scores, items in parallel for their gradient, so that no sum depends on the threads.

use quintet_core::Matrix;
use quintet_tensor::{add_scaled, dot};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::product::{add_t_product, exp, product, product_t, sigmoid};
use super::rivals::Rivals;

/// Positions that one thread takes at once.
const BLOCK: usize = 64;
/// Rivals whose gradient one thread sums up at once.
const COLUMNS: usize = 128;
/// Most scores that are held at once: 32 MB.
const SCORES: usize = 1 << 23;

/// What a model of the next item is trained to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextItemLoss {
    /// Softmax over all items.
    Softmax,
    /// Softmax over drawn items, corrected for how they were drawn.
    SampledSoftmax,
    /// Binary cross-entropy with one negative a position.
    Bce,
    /// BPR against the strongest of drawn items, softly.
    BprMax,
    /// TOP1 against the strongest of drawn items, softly.
    Top1Max,
}

/// Gradient of some rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RowGrads {
    /// The rows, ascending, each once.
    pub(crate) rows: Vec<u32>,
    /// `[rows, dim]`.
    pub(crate) grad: Matrix,
}

impl RowGrads {
    /// Zeros for the distinct of these rows.
    pub(crate) fn new(rows: impl IntoIterator<Item = u32>, dim: usize) -> Self {
        let mut rows: Vec<u32> = rows.into_iter().collect();
        rows.sort_unstable();
        rows.dedup();
        Self { grad: Matrix::zeros(rows.len(), dim), rows }
    }

    /// Adds `scale · x` to the gradient of a row.
    ///
    /// # Panics
    /// When the row is not among them.
    pub(crate) fn add(&mut self, row: u32, scale: f32, x: &[f32]) {
        let place = self.rows.partition_point(|r| *r < row);
        assert_eq!(self.rows.get(place), Some(&row), "a row of the step");
        add_scaled(self.grad.row_mut(place), scale, x);
    }
}

/// Hidden states and what should come next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Positions<'a> {
    /// `[positions, dim]`.
    pub(crate) hidden: &'a [f32],
    /// `[positions]`.
    pub(crate) targets: &'a [u32],
    /// All item vectors.
    pub(crate) items: &'a Matrix,
}

/// The output layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) loss: NextItemLoss,
    /// `λ` of BPR-max.
    pub(crate) penalty: f32,
}

impl Output {
    /// The loss of a step; adds the gradients of the items to `grads` and gives that of the hidden
    /// states, `[positions, dim]`.
    ///
    /// # Panics
    /// When shapes disagree or `grads` lacks a row.
    pub(crate) fn step(
        &self,
        at: Positions<'_>,
        rivals: &Rivals,
        grads: &mut RowGrads,
    ) -> (f64, Vec<f32>) {
        match rivals {
            Rivals::Own(own) => binary(at, own, grads),
            Rivals::Shared { items, log_q } => self.shared(at, items, log_q, grads),
        }
    }

    fn shared(
        &self,
        at: Positions<'_>,
        rivals: &[u32],
        log_q: &[f32],
        grads: &mut RowGrads,
    ) -> (f64, Vec<f32>) {
        let (n, dim, width) = (at.targets.len(), at.items.cols(), rivals.len());
        let mut table = Vec::with_capacity(width * dim);
        rivals.iter().for_each(|item| table.extend_from_slice(at.items.row(*item as usize)));
        let mut table_grad = vec![0.0f32; width * dim];
        let mut hidden_grad = vec![0.0f32; n * dim];
        let mut target_grads = vec![0.0f32; n];
        let rows = (SCORES / width.max(1)).max(BLOCK) / BLOCK * BLOCK;
        let mut scores = vec![0.0f32; rows.min(n) * width];
        let mut loss = 0.0;
        for from in (0..n).step_by(rows) {
            let to = (from + rows).min(n);
            let part = Part {
                at: Positions {
                    hidden: &at.hidden[from * dim..to * dim],
                    targets: &at.targets[from..to],
                    items: at.items,
                },
                rivals,
                log_q,
                table: &table,
                scale: 1.0 / n as f32,
            };
            let scores = &mut scores[..(to - from) * width];
            let hidden_grad = &mut hidden_grad[from * dim..to * dim];
            loss += self.part(&part, scores, hidden_grad, &mut target_grads[from..to]);
            table_grad.par_chunks_mut(COLUMNS * dim).enumerate().for_each(|(chunk, out)| {
                let shape = [to - from, width, dim];
                add_t_product(scores, part.at.hidden, shape, chunk * COLUMNS, out);
            });
        }
        for (item, grad) in rivals.iter().zip(table_grad.chunks_exact(dim)) {
            grads.add(*item, 1.0, grad);
        }
        for ((hidden, target), grad) in
            at.hidden.chunks_exact(dim).zip(at.targets).zip(&target_grads)
        {
            grads.add(*target, *grad, hidden);
        }
        (loss / n as f64, hidden_grad)
    }

    /// Scores of some positions, then their gradients in place; the sum of the losses.
    fn part(
        &self,
        part: &Part<'_>,
        scores: &mut [f32],
        hidden_grad: &mut [f32],
        target_grads: &mut [f32],
    ) -> f64 {
        let (dim, width) = (part.at.items.cols(), part.rivals.len());
        let block = |(((scores, hidden_grad), target_grads), (hidden, targets)): Block<'_>| {
            let n = targets.len();
            product_t(hidden, part.table, [n, dim, width], scores);
            let mut loss = 0.0;
            for ((row, grad), (h, target)) in scores
                .chunks_exact_mut(width.max(1))
                .zip(target_grads.iter_mut())
                .zip(hidden.chunks_exact(dim).zip(targets))
            {
                let own = part.rivals.binary_search(target).ok();
                let score = dot(h, part.at.items.row(*target as usize));
                let (value, of_target) = self.row(row, score, own, part.log_q);
                row.iter_mut().for_each(|s| *s *= part.scale);
                *grad = of_target * part.scale;
                loss += value;
            }
            product(scores, part.table, [n, width, dim], hidden_grad);
            for ((out, target), grad) in
                hidden_grad.chunks_exact_mut(dim).zip(targets).zip(target_grads.iter())
            {
                add_scaled(out, *grad, part.at.items.row(*target as usize));
            }
            loss
        };
        let losses: Vec<f64> = scores
            .par_chunks_mut(BLOCK * width.max(1))
            .zip(hidden_grad.par_chunks_mut(BLOCK * dim))
            .zip(target_grads.par_chunks_mut(BLOCK))
            .zip(part.at.hidden.par_chunks(BLOCK * dim).zip(part.at.targets.par_chunks(BLOCK)))
            .map(block)
            .collect();
        losses.iter().sum()
    }

    /// The loss of one position, the gradient of the target's score, and in place of the rivals'
    /// scores their gradients. A rival at `own` is the target itself and left out.
    fn row(
        &self,
        rivals: &mut [f32],
        target: f32,
        own: Option<usize>,
        log_q: &[f32],
    ) -> (f64, f32) {
        match self.loss {
            NextItemLoss::Softmax | NextItemLoss::SampledSoftmax | NextItemLoss::Bce => {
                rivals.iter_mut().zip(log_q).for_each(|(s, q)| *s -= q);
                softmax(rivals, target, own)
            }
            NextItemLoss::BprMax => bpr_max(rivals, target, own, self.penalty),
            NextItemLoss::Top1Max => top1_max(rivals, target, own),
        }
    }
}

/// Scores, hidden gradients, target gradients; hidden states and targets of some positions.
type Block<'a> = (((&'a mut [f32], &'a mut [f32]), &'a mut [f32]), (&'a [f32], &'a [u32]));

/// Some positions against all rivals.
struct Part<'a> {
    at: Positions<'a>,
    rivals: &'a [u32],
    log_q: &'a [f32],
    /// The rivals' vectors.
    table: &'a [f32],
    scale: f32,
}

/// Puts `e^(s - shift)` in place of the scores and gives their sum, in sixteen running sums.
fn exp_all(scores: &mut [f32], shift: f32) -> f32 {
    let mut sums = [0.0f32; 16];
    let mut chunks = scores.chunks_exact_mut(16);
    for chunk in &mut chunks {
        for (s, sum) in chunk.iter_mut().zip(&mut sums) {
            *s = exp(*s - shift);
            *sum += *s;
        }
    }
    let mut rest = 0.0;
    for s in chunks.into_remainder() {
        *s = exp(*s - shift);
        rest += *s;
    }
    sums.iter().sum::<f32>() + rest
}

/// Leaves a rival out of a softmax: its power becomes 0.
fn leave_out(rivals: &mut [f32], own: Option<usize>) {
    if let Some(own) = own {
        rivals[own] = f32::NEG_INFINITY;
    }
}

fn softmax(rivals: &mut [f32], target: f32, own: Option<usize>) -> (f64, f32) {
    leave_out(rivals, own);
    let most = rivals.iter().copied().fold(target, f32::max);
    let of_target = exp(target - most);
    let sum = exp_all(rivals, most) + of_target;
    let scale = 1.0 / sum;
    rivals.iter_mut().for_each(|p| *p *= scale);
    if let Some(own) = own {
        rivals[own] = 0.0;
    }
    (f64::from(sum.ln() + most - target), of_target * scale - 1.0)
}

/// Softmax of the rivals' scores, 0 for the one that is left out.
fn weights(rivals: &[f32], own: Option<usize>) -> Vec<f32> {
    let mut weights = rivals.to_vec();
    leave_out(&mut weights, own);
    let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if most == f32::NEG_INFINITY {
        return vec![0.0; weights.len()];
    }
    let sum = exp_all(&mut weights, most);
    weights.iter_mut().for_each(|w| *w /= sum);
    if let Some(own) = own {
        weights[own] = 0.0;
    }
    weights
}

fn bpr_max(rivals: &mut [f32], target: f32, own: Option<usize>, penalty: f32) -> (f64, f32) {
    // Far below any probability that training reaches; keeps the logarithm finite.
    const LEAST: f32 = 1e-24;
    let weights = weights(rivals, own);
    let (mut above, mut squares) = (0.0f32, 0.0f32);
    for (s, w) in rivals.iter().zip(&weights) {
        above += w * sigmoid(target - s);
        squares += w * s * s;
    }
    let above = above.max(LEAST);
    let mut of_target = 0.0;
    for (s, w) in rivals.iter_mut().zip(&weights) {
        let wins = sigmoid(target - *s);
        let slope = w * wins * (1.0 - wins) / above;
        of_target -= slope;
        *s = slope - w * (wins / above - 1.0) + penalty * w * (*s * *s - squares + 2.0 * *s);
    }
    if weights.iter().all(|w| *w == 0.0) {
        return (0.0, 0.0);
    }
    (f64::from(-above.ln() + penalty * squares), of_target)
}

fn top1_max(rivals: &mut [f32], target: f32, own: Option<usize>) -> (f64, f32) {
    let weights = weights(rivals, own);
    let value = |s: f32| sigmoid(s - target) + sigmoid(s * s);
    let loss: f32 = rivals.iter().zip(&weights).map(|(s, w)| w * value(*s)).sum();
    let mut of_target = 0.0;
    for (s, w) in rivals.iter_mut().zip(&weights) {
        let (loses, large) = (sigmoid(*s - target), sigmoid(*s * *s));
        let slope = loses * (1.0 - loses);
        of_target -= w * slope;
        *s = w * (loses + large - loss + slope + 2.0 * *s * large * (1.0 - large));
    }
    (f64::from(loss), of_target)
}

/// Binary cross-entropy with one rival a position.
fn binary(at: Positions<'_>, rivals: &[u32], grads: &mut RowGrads) -> (f64, Vec<f32>) {
    assert_eq!(rivals.len(), at.targets.len(), "one rival a target");
    let (n, dim) = (at.targets.len(), at.items.cols());
    let scale = 1.0 / n as f32;
    let mut hidden_grad = vec![0.0f32; n * dim];
    let mut loss = 0.0;
    let softplus = |x: f32| f64::from(x.max(0.0) + (1.0 + exp(-x.abs())).ln());
    for ((hidden, out), (&target, &rival)) in at
        .hidden
        .chunks_exact(dim)
        .zip(hidden_grad.chunks_exact_mut(dim))
        .zip(at.targets.iter().zip(rivals))
    {
        let (v, r) = (at.items.row(target as usize), at.items.row(rival as usize));
        let (up, down) = (dot(hidden, v), dot(hidden, r));
        loss += softplus(-up) + softplus(down);
        for (item, row, slope) in [(target, v, -sigmoid(-up)), (rival, r, sigmoid(down))] {
            add_scaled(out, slope * scale, row);
            grads.add(item, slope * scale, hidden);
        }
    }
    (loss / n as f64, hidden_grad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;
    use rand::RngExt;

    fn output(loss: NextItemLoss) -> Output {
        Output { loss, penalty: 0.3 }
    }

    /// 150 positions, 40 items of width 5: more than one block, and targets among the rivals.
    fn random() -> (Vec<f32>, Vec<u32>, Matrix, Rivals) {
        let mut rng = SeedStream::new(5).rng("t", 0);
        let mut numbers =
            |n: usize| (0..n).map(|_| rng.random_range(-1.0..1.0f32)).collect::<Vec<_>>();
        let (hidden, items) = (numbers(150 * 5), numbers(40 * 5));
        let targets = (0..150).map(|i| (i * 7 % 40) as u32).collect();
        let rivals: Vec<u32> = (0..40).filter(|i| i % 3 != 1).collect();
        let log_q = rivals.iter().map(|i| -0.05 * *i as f32).collect();
        let items = Matrix::from_vec(40, 5, items).unwrap();
        (hidden, targets, items, Rivals::Shared { items: rivals, log_q })
    }

    fn run(loss: NextItemLoss, hidden: &[f32], items: &Matrix, rivals: &Rivals) -> Ran {
        let targets: Vec<u32> = random().1;
        let mut grads = RowGrads::new(0..40, 5);
        let at = Positions { hidden, targets: &targets, items };
        let (value, hidden) = output(loss).step(at, rivals, &mut grads);
        Ran { value, hidden, items: grads.grad }
    }

    struct Ran {
        value: f64,
        hidden: Vec<f32>,
        items: Matrix,
    }

    #[test]
    fn gradients_are_those_of_the_losses() {
        use NextItemLoss::*;
        let (hidden, _, items, shared) = random();
        for loss in [Softmax, SampledSoftmax, Bce, BprMax, Top1Max] {
            let own = Rivals::Own((0..150).map(|i| (i * 11 + 3) % 40).collect());
            let rivals = if loss == Bce { &own } else { &shared };
            let ran = run(loss, &hidden, &items, rivals);
            const STEP: f32 = 5e-2;
            for at in [0, 7, 333, 749] {
                let moved = |by: f32| {
                    let mut hidden = hidden.clone();
                    hidden[at] += by;
                    run(loss, &hidden, &items, rivals).value
                };
                let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
                let found = f64::from(ran.hidden[at]);
                assert!((slope - found).abs() < 3e-5, "{loss:?} hidden {at}: {slope} {found}");
            }
            for at in [0, 8, 77, 199] {
                let moved = |by: f32| {
                    let mut items = items.clone();
                    items.as_mut_slice()[at] += by;
                    run(loss, &hidden, &items, rivals).value
                };
                let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
                let found = f64::from(ran.items.as_slice()[at]);
                assert!((slope - found).abs() < 1e-4, "{loss:?} item {at}: {slope} {found}");
            }
        }
    }

    #[test]
    fn losses_by_hand() {
        // Scores: the target 1, rivals 0 and 1 (the latter is the target itself in the softmax).
        let mut rivals = [0.0, 1.0];
        let (loss, of_target) = softmax(&mut rivals, 1.0, Some(1));
        let p = 1.0 / (1.0 + (-1.0f32).exp());
        assert!((loss as f32 + p.ln()).abs() < 1e-6 && (of_target - (p - 1.0)).abs() < 1e-6);
        assert!((rivals[0] - (1.0 - p)).abs() < 1e-6 && rivals[1] == 0.0);
        // One rival with score 0: weight 1, so -ln σ(1) + λ · 0, and σ(-1) + σ(0).
        let (loss, _) = bpr_max(&mut [0.0], 1.0, None, 1.0);
        assert!((loss as f32 + p.ln()).abs() < 1e-6);
        let (loss, _) = top1_max(&mut [0.0], 1.0, None);
        assert!((loss as f32 - (1.0 - p + 0.5)).abs() < 1e-6);
    }
}
