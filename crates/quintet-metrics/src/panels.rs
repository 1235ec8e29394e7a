//! Scores of a model in dot-product form, many users and items at a time.
//!
//! Items lie in panels of some vectors of columns. The inner loop multiplies a few users by one
//! panel, all sums in registers, and hands the sums over before they reach memory: whoever only
//! wants the best of them compares there and then. A sum begins with the item's bias and adds the
//! products in the order of the factors, with one rounding each, so a score is the same for every
//! processor, block and thread.
//!
//! Where only the best are wanted, the items that an average user likes lie first: few of the later
//! ones then get as far as being looked at. Their order never changes a result.
//!
//! Cost: `O(users · items · dim)`; memory one copy of the item factors.

use pulp::{Arch, Simd, WithSimd};
use quintet_core::{Factors, ItemIdx, Matrix, UserIdx};
use rayon::prelude::*;

use crate::best::{Best, item_of, key};

/// Vectors of columns at a time.
pub(crate) const VECTORS: usize = 3;
/// Most columns at a time, of the widest vectors there are.
const WIDEST: usize = 64;

/// Item factors in the order in which the inner loop reads them.
pub(crate) struct Panels<'a> {
    users: &'a Matrix,
    /// The item of every column, where they are in another order than asked for.
    order: Vec<ItemIdx>,
    /// For every panel the factors of its items, a row of the panel for each factor.
    numbers: Vec<f32>,
    /// Of every column; minus infinity for those that hold no item.
    bias: Vec<f32>,
    n: usize,
    dim: usize,
    /// Columns of a panel.
    width: usize,
}

impl<'a> Panels<'a> {
    /// The items `ids`, or all; for [`Panels::best`] in an order of their own. None without
    /// factors; see also [`are_safe`].
    pub(crate) fn new(
        factors: Factors<'a>,
        ids: Option<&[ItemIdx]>,
        for_best: bool,
    ) -> Option<Self> {
        let dim = factors.items.cols();
        let n = ids.map_or(factors.items.rows(), <[ItemIdx]>::len);
        let width = VECTORS * Arch::new().dispatch(Lanes);
        if dim == 0 || n == 0 || width > WIDEST {
            return None;
        }
        let order = if for_best { likely_first(factors, ids) } else { Vec::new() };
        let item = |position: usize| match (for_best, ids) {
            (true, _) => order[position].index(),
            (false, Some(ids)) => ids[position].index(),
            (false, None) => position,
        };
        let mut numbers = vec![0.0f32; n.div_ceil(width) * width * dim];
        numbers.par_chunks_exact_mut(width * dim).enumerate().for_each(|(panel, numbers)| {
            let first = panel * width;
            for column in 0..width.min(n - first) {
                let line = factors.items.row(item(first + column));
                for (row, number) in numbers.chunks_exact_mut(width).zip(line) {
                    row[column] = *number;
                }
            }
        });
        let mut bias: Vec<f32> = (0..n).map(|position| factors.bias[item(position)]).collect();
        bias.resize(n.div_ceil(width) * width, f32::NEG_INFINITY);
        Some(Self { users: factors.users, order, numbers, bias, n, dim, width })
    }

    /// Finds the best items of `users` with panels that were made for it; `best` has been started
    /// for each of them, `seen` are the items that each must not get, and `rows` is memory to use
    /// again.
    pub(crate) fn best(
        &self,
        users: &[UserIdx],
        seen: &[&[ItemIdx]],
        best: &mut [Best],
        rows: &mut Rows,
    ) {
        let mut sink = Top { best, seen, order: &self.order };
        Arch::new().dispatch(Product { items: self, users, rows, sink: &mut sink });
    }

    /// Writes the scores of `users`, `[users, n_items]`, with panels in the order asked for.
    pub(crate) fn scores(&self, users: &[UserIdx], out: &mut Matrix, rows: &mut Rows) {
        if (out.rows(), out.cols()) != (users.len(), self.n) {
            out.reset(users.len(), self.n);
        }
        let mut sink = Store { out };
        Arch::new().dispatch(Product { items: self, users, rows, sink: &mut sink });
    }
}

/// The items by falling score of the average user.
fn likely_first(factors: Factors<'_>, ids: Option<&[ItemIdx]>) -> Vec<ItemIdx> {
    let mut mean = vec![0.0f32; factors.users.cols()];
    for user in 0..factors.users.rows() {
        mean.iter_mut().zip(factors.users.row(user)).for_each(|(sum, x)| *sum += x);
    }
    let share = 1.0 / factors.users.rows().max(1) as f32;
    mean.iter_mut().for_each(|x| *x *= share);
    let score = |item: ItemIdx| {
        let pairs = mean.iter().zip(factors.items.row(item.index()));
        key(factors.bias[item.index()] + pairs.map(|(x, y)| x * y).sum::<f32>(), item)
    };
    let mut keys: Vec<u64> = match ids {
        Some(ids) => ids.iter().map(|item| score(*item)).collect(),
        None => (0..factors.items.rows()).map(|item| score(ItemIdx::new(item))).collect(),
    };
    keys.sort_unstable_by(|a, b| b.cmp(a));
    keys.into_iter().map(item_of).collect()
}

/// Whether no score of these users can be other than finite: then nobody need look for NaN.
pub(crate) fn are_safe(factors: Factors<'_>, users: &[UserIdx]) -> bool {
    // Without their signs numbers are in the order of their bits, infinity and NaN last.
    let bits =
        |numbers: &[f32]| numbers.iter().fold(0, |largest: u32, x| largest.max(x.abs().to_bits()));
    let largest = |numbers: &[f32]| f64::from(f32::from_bits(bits(numbers)));
    let rows = users.iter().map(|user| bits(factors.users.row(user.index())));
    let of_users = f64::from(f32::from_bits(rows.fold(0, u32::max)));
    let of_items = largest(factors.items.as_slice());
    let bound = of_users * of_items * factors.items.cols() as f64 + largest(factors.bias);
    bound < f64::from(f32::MAX) / 2.0
}

/// The score of one item, number for number as the panels give it.
#[inline(always)]
fn score_one(user: &[f32], item: &[f32], bias: f32) -> f32 {
    user.iter().zip(item).fold(bias, |sum, (x, y)| x.mul_add(*y, sum))
}

/// Scores a few items of one user.
pub(crate) fn score_some(factors: Factors<'_>, user: UserIdx, ids: &[ItemIdx], out: &mut Vec<f32>) {
    struct Some<'a>(Factors<'a>, &'a [f32], &'a [ItemIdx], &'a mut Vec<f32>);
    impl WithSimd for Some<'_> {
        type Output = ();

        // For its instructions: without them a product with one rounding is a function call.
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self(factors, user, ids, out) = self;
            out.clear();
            out.extend(ids.iter().map(|item| {
                score_one(user, factors.items.row(item.index()), factors.bias[item.index()])
            }));
        }
    }
    Arch::new().dispatch(Some(factors, factors.users.row(user.index()), ids, out));
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Factors of some users beside each other; kept, because new memory is first touched each time.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<f32>);

/// Where sums go.
trait Sink {
    /// Sums of the users from `row` and the columns from `position`.
    fn take<S: Simd>(&mut self, simd: S, row: usize, position: usize, sums: &[[S::f32s; VECTORS]]);
}

struct Product<'a, K> {
    items: &'a Panels<'a>,
    users: &'a [UserIdx],
    rows: &'a mut Rows,
    sink: &'a mut K,
}

impl<K: Sink> WithSimd for Product<'_, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as there are registers for, beside those that are read.
        if S::REGISTER_COUNT >= 32 {
            self.in_blocks::<S, 8>(simd);
        } else {
            self.in_blocks::<S, 4>(simd);
        }
    }
}

impl<K: Sink> Product<'_, K> {
    #[inline(always)]
    fn in_blocks<S: Simd, const ROWS: usize>(self, simd: S) {
        let Self { items, users, rows, sink } = self;
        let Panels { dim, width, .. } = *items;
        let blocks = users.len().div_ceil(ROWS);
        rows.0.resize(blocks * ROWS * dim, 0.0);
        copy_users::<ROWS>(items.users, users, dim, &mut rows.0);
        let panels = items.numbers.chunks_exact(width * dim).zip(items.bias.chunks_exact(width));
        for (panel, (columns, bias)) in panels.enumerate() {
            let (columns, _) = S::as_simd_f32s(columns);
            let (columns, _) = columns.as_chunks::<VECTORS>();
            let (bias, _) = S::as_simd_f32s(bias);
            let (bias, _) = bias.as_chunks::<VECTORS>();
            for (block, rows) in rows.0.chunks_exact(ROWS * dim).enumerate() {
                let (rows, _) = rows.as_chunks::<ROWS>();
                let sums = sums::<S, ROWS>(simd, rows, columns, bias[0]);
                sink.take(simd, block * ROWS, panel * width, &sums);
            }
        }
    }
}

/// Some users beside each other: for each factor the number of every user, zeros for users that
/// are not there.
fn copy_users<const ROWS: usize>(matrix: &Matrix, users: &[UserIdx], dim: usize, out: &mut [f32]) {
    for (block, out) in out.chunks_exact_mut(ROWS * dim).enumerate() {
        let (out, _) = out.as_chunks_mut::<ROWS>();
        for row in 0..ROWS {
            match users.get(block * ROWS + row) {
                Some(user) => {
                    let line = matrix.row(user.index());
                    out.iter_mut().zip(line).for_each(|(out, x)| out[row] = *x);
                }
                None => out.iter_mut().for_each(|out| out[row] = 0.0),
            }
        }
    }
}

/// Some users times some vectors of columns.
#[inline(always)]
fn sums<S: Simd, const ROWS: usize>(
    simd: S,
    rows: &[[f32; ROWS]],
    columns: &[[S::f32s; VECTORS]],
    bias: [S::f32s; VECTORS],
) -> [[S::f32s; VECTORS]; ROWS] {
    let mut sums = [bias; ROWS];
    for (row, column) in rows.iter().zip(columns) {
        for (sums, x) in sums.iter_mut().zip(row) {
            let x = simd.splat_f32s(*x);
            for (sum, column) in sums.iter_mut().zip(column) {
                *sum = simd.mul_add_f32s(x, *column, *sum);
            }
        }
    }
    sums
}

/// Keeps the best.
struct Top<'a> {
    best: &'a mut [Best],
    seen: &'a [&'a [ItemIdx]],
    order: &'a [ItemIdx],
}

impl Sink for Top<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, simd: S, row: usize, position: usize, sums: &[[S::f32s; VECTORS]]) {
        for (at, sums) in sums.iter().enumerate() {
            let Some(best) = self.best.get(row + at) else { return };
            // As items come in no order, one of the same score may be an earlier one.
            let threshold = simd.splat_f32s(best.threshold());
            for (vector, sum) in sums.iter().enumerate() {
                let reached = simd.greater_than_or_equal_f32s(*sum, threshold);
                if simd.first_true_m32s(reached) < S::F32_LANES {
                    let mut tile = [0.0f32; WIDEST];
                    let (out, _) = S::as_mut_simd_f32s(&mut tile);
                    out[0] = *sum;
                    let first = position + vector * S::F32_LANES;
                    self.offer(row + at, first, &tile[..S::F32_LANES]);
                }
            }
        }
    }
}

impl Top<'_> {
    #[inline(never)]
    fn offer(&mut self, row: usize, position: usize, scores: &[f32]) {
        let (best, seen) = (&mut self.best[row], self.seen[row]);
        // Columns without an item are scored minus infinity and have no place in the order.
        for (&score, &item) in scores.iter().zip(self.order.get(position..).unwrap_or_default()) {
            if score >= best.threshold() {
                best.offer(item, score, seen);
            }
        }
    }
}

/// Writes them down.
struct Store<'a> {
    out: &'a mut Matrix,
}

impl Sink for Store<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, _: S, row: usize, position: usize, sums: &[[S::f32s; VECTORS]]) {
        let used = (VECTORS * S::F32_LANES).min(self.out.cols() - position);
        for (at, sums) in sums.iter().enumerate().take(self.out.rows().saturating_sub(row)) {
            let mut tile = [0.0f32; WIDEST];
            let (vectors, _) = S::as_mut_simd_f32s(&mut tile);
            vectors.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum);
            self.out.row_mut(row + at)[position..position + used].copy_from_slice(&tile[..used]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;
    use rand::RngExt;

    fn random(rng: &mut impl RngExt, rows: usize, cols: usize) -> Matrix {
        let numbers = (0..rows * cols).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        Matrix::from_vec(rows, cols, numbers).unwrap()
    }

    #[test]
    fn scores_are_the_definition_and_the_same_alone_and_in_a_block() {
        let mut rng = SeedStream::new(8).rng("panels", 0);
        for (n_users, n_items, dim) in [(1, 1, 1), (9, 7, 5), (17, 97, 33), (70, 200, 64)] {
            let (users, items) = (random(&mut rng, n_users, dim), random(&mut rng, n_items, dim));
            let bias = random(&mut rng, 1, n_items).into_vec();
            let factors = Factors { users: &users, items: &items, bias: &bias };
            let panels = Panels::new(factors, None, false).unwrap();
            let all: Vec<UserIdx> = (0..n_users).map(UserIdx::new).collect();
            assert!(are_safe(factors, &all));
            let (mut block, mut alone, mut rows) =
                (Matrix::default(), Matrix::default(), Rows::default());
            panels.scores(&all, &mut block, &mut rows);
            let ids: Vec<ItemIdx> = (0..n_items).map(ItemIdx::new).collect();
            let mut some = Vec::new();
            for user in &all {
                panels.scores(&[*user], &mut alone, &mut rows);
                assert_eq!(alone.row(0), block.row(user.index()));
                score_some(factors, *user, &ids, &mut some);
                assert_eq!(some, block.row(user.index()));
                for (item, score) in some.iter().enumerate() {
                    let pairs = users.row(user.index()).iter().zip(items.row(item));
                    let want: f64 = pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                    assert!((f64::from(*score) - want - f64::from(bias[item])).abs() < 2e-5);
                }
            }
        }
    }

    #[test]
    fn the_best_are_those_of_the_scores() {
        let mut rng = SeedStream::new(9).rng("panels", 0);
        let (users, items) = (random(&mut rng, 21, 12), random(&mut rng, 150, 12));
        let bias = vec![0.0; 150];
        let factors = Factors { users: &users, items: &items, bias: &bias };
        let ids: Vec<ItemIdx> = (0..150).filter(|i| i % 3 > 0).map(ItemIdx::new).collect();
        let all: Vec<UserIdx> = (0..21).map(UserIdx::new).collect();
        let seen: Vec<ItemIdx> = (0..150).step_by(5).map(ItemIdx::new).collect();
        for ids in [None, Some(&ids[..])] {
            let panels = Panels::new(factors, ids, false).unwrap();
            let (mut scores, mut rows) = (Matrix::default(), Rows::default());
            panels.scores(&all, &mut scores, &mut rows);
            let mut best: Vec<Best> = all.iter().map(|_| Best::default()).collect();
            best.iter_mut().for_each(|best| best.start(7));
            let panels = Panels::new(factors, ids, true).unwrap();
            panels.best(&all, &vec![&seen[..]; 21], &mut best, &mut rows);
            for (user, best) in best.iter_mut().enumerate() {
                best.finish();
                let mut want = Best::default();
                want.start(7);
                want.scan(scores.row(user), ids, &seen);
                want.finish();
                assert!(best.scored().eq(want.scored()));
                assert_eq!(best.items().count(), 7);
            }
        }
    }

    #[test]
    fn numbers_that_could_overflow_are_not_safe() {
        let one = Matrix::from_vec(1, 2, vec![1.0, 2.0]).unwrap();
        for (bad, safe) in [(f32::NAN, false), (f32::INFINITY, false), (1e38, false), (3e18, true)]
        {
            let items = Matrix::from_vec(1, 2, vec![bad, 0.5]).unwrap();
            let factors = Factors { users: &one, items: &items, bias: &[0.0] };
            assert_eq!(are_safe(factors, &[UserIdx(0)]), safe, "{bad}");
        }
    }
}
