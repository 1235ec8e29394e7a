//! One step of Adagrad for every row of a side, the other side held fixed.

use pulp::{Arch, Simd, WithSimd};
use quintet_core::{Interactions, SeedStream, UserIdx};
use rayon::prelude::*;

use super::LogisticMfConfig;
use crate::factor_table::{FactorTable, add_scaled, dot};
use crate::learned::FoldUser;
use crate::split_mix::SplitMix64;

/// Added to the root of the sum of squares.
const EPSILON: f32 = 1e-6;
/// Steps for a newcomer.
const FOLD_STEPS: usize = 30;
/// Draws of an unobserved cell before it is given up.
const MAX_DRAWS: usize = 16;

/// One side: `[rows, dim + 2]` of numbers and of sums of squared gradients.
pub(super) struct Side {
    pub(super) table: FactorTable,
    pub(super) squares: FactorTable,
    /// 0 for users, 1 for items: the side's bias is the column `dim + own_bias`.
    pub(super) own_bias: usize,
}

/// What was summed over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) cells: usize,
    /// Without the regularisation.
    pub(super) loss: f64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Tally) {
        self.cells += other.cells;
        self.loss += other.loss;
    }
}

/// Climbs once with every row that has cells; the draws are named by seed, purpose and epoch.
pub(super) fn climb(
    config: &LogisticMfConfig,
    side: &mut Side,
    (cells, fixed): (&Interactions, &FactorTable),
    (seed, purpose, epoch): (SeedStream, &str, u64),
) -> Tally {
    let counts = cells.item_counts();
    let used: Vec<u32> = (0..fixed.rows() as u32).filter(|c| counts[*c as usize] > 0).collect();
    let base = SplitMix64::new(seed, purpose, epoch).next();
    let filled = cells.indptr().windows(2).filter(|w| w[1] > w[0]).count();
    let draws = (config.negatives * cells.nnz()).div_ceil(filled.max(1));
    let size = side.table.stride();
    let frozen = config.dim + 1 - side.own_bias;
    let rows = side.table.numbers_mut().par_chunks_mut(size);
    let tallies: Vec<Tally> = rows
        .zip(side.squares.numbers_mut().par_chunks_mut(size))
        .enumerate()
        .map_init(
            || vec![0.0f32; size],
            |gradient, (row, (x, squares))| {
                let user = UserIdx::new(row);
                let known = Known { columns: cells.items(user), values: cells.values(user) };
                if known.columns.is_empty() {
                    return Tally::default();
                }
                let mix = (row as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95);
                let rng = SplitMix64::from_number(base ^ mix);
                let tally = Arch::new().dispatch(Gradient {
                    config,
                    fixed,
                    known,
                    used: &used,
                    draws,
                    x,
                    rng,
                    out: gradient,
                });
                gradient[frozen] = 0.0;
                adagrad(config.lr, gradient, squares, x);
                tally
            },
        )
        .collect();
    let mut total = Tally::default();
    tallies.into_iter().for_each(|tally| total.add(tally));
    total
}

/// The cells of a row, columns ascending.
#[derive(Clone, Copy)]
struct Known<'a> {
    columns: &'a [quintet_core::ItemIdx],
    values: &'a [f32],
}

impl Known<'_> {
    fn has(&self, column: u32) -> bool {
        self.columns.binary_search(&quintet_core::ItemIdx(column)).is_ok()
    }
}

/// `x += γ g / (√Σg² + ε)`.
fn adagrad(lr: f32, gradient: &[f32], squares: &mut [f32], x: &mut [f32]) {
    for ((x, g), sum) in x.iter_mut().zip(gradient).zip(squares) {
        *sum += g * g;
        *x += lr * g / (sum.sqrt() + EPSILON);
    }
}

/// The gradient of the objective in one row, into `out`; biases are not regularised, and the
/// column that is always 1 gets a number as well.
struct Gradient<'a> {
    config: &'a LogisticMfConfig,
    fixed: &'a FactorTable,
    known: Known<'a>,
    /// Rows of the other side that may count as unobserved.
    used: &'a [u32],
    /// How many of them are drawn, where not all count.
    draws: usize,
    x: &'a [f32],
    rng: SplitMix64,
    out: &'a mut [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = Tally;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Tally {
        let Self { config, fixed, known, used, draws, x, mut rng, out } = self;
        out.fill(0.0);
        let mut tally = Tally::default();
        let mut add = |column: u32, weight: f32| {
            let y = fixed.row(column as usize);
            let s = dot(simd, x, y);
            let likely = 1.0 / (1.0 + (-s).exp());
            add_scaled(simd, weight - (1.0 + weight) * likely, y, out);
            // ln(1 + eˢ) without overflow.
            let soft = s.max(0.0) + (-s.abs()).exp().ln_1p();
            tally.loss += f64::from((1.0 + weight) * soft - weight * s);
            tally.cells += 1;
        };
        for (column, value) in known.columns.iter().zip(known.values) {
            add(column.0, config.alpha * if config.use_values { *value } else { 1.0 });
        }
        if config.negatives == 0 {
            used.iter().filter(|c| !known.has(**c)).for_each(|c| add(*c, 0.0));
        }
        for _ in 0..if config.negatives == 0 { 0 } else { draws } {
            let mut tried = (0..MAX_DRAWS).map(|_| used[rng.below(used.len())]);
            if let Some(column) = tried.find(|c| !known.has(*c)) {
                add(column, 0.0);
            }
        }
        let shrunk = x[..config.dim].iter();
        out.iter_mut().zip(shrunk).for_each(|(g, x)| *g -= config.l2 * x);
        tally
    }
}

pub(super) fn load(config: &str) -> Option<Box<dyn FoldUser>> {
    let config: LogisticMfConfig = serde_json::from_str(config).ok()?;
    Some(Box::new(LogisticMfConfig { negatives: 0, ..config }))
}

impl FoldUser for LogisticMfConfig {
    /// Every item counts, so the steps are exact and need no draws.
    fn user(&self, items: &FactorTable, bias: &[f32], history: &[u32], values: &[f32]) -> Vec<f32> {
        let mut fixed = FactorTable::zeros(items.rows(), self.dim + 2);
        for (item, bias) in bias.iter().enumerate() {
            let row = fixed.row_mut(item);
            row[..self.dim].copy_from_slice(&items.row(item)[..self.dim]);
            (row[self.dim], row[self.dim + 1]) = (1.0, *bias);
        }
        let mut cells: Vec<(quintet_core::ItemIdx, f32)> =
            history.iter().map(|i| quintet_core::ItemIdx(*i)).zip(values.iter().copied()).collect();
        cells.sort_unstable_by_key(|(item, _)| *item);
        cells.dedup_by_key(|(item, _)| *item);
        let (columns, values): (Vec<_>, Vec<f32>) = cells.into_iter().unzip();
        let used: Vec<u32> = (0..items.rows() as u32).collect();
        let mut x = vec![0.0f32; fixed.stride()];
        x[self.dim + 1] = 1.0;
        let (mut gradient, mut squares) = (x.clone(), vec![0.0f32; x.len()]);
        for _ in 0..FOLD_STEPS {
            let known = Known { columns: &columns, values: &values };
            let (config, fixed, used, rng) = (self, &fixed, &used[..], SplitMix64::from_number(0));
            let (draws, out) = (0, &mut gradient[..]);
            Arch::new().dispatch(Gradient { config, fixed, known, used, draws, x: &x, rng, out });
            gradient[self.dim + 1] = 0.0;
            adagrad(self.lr, &gradient, &mut squares, &mut x);
        }
        // The padding of the items' own table may be shorter.
        x.truncate(items.stride());
        x.resize(items.stride(), 0.0);
        x[self.dim..].fill(0.0);
        x
    }
}
