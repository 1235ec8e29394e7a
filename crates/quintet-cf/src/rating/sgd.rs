//! Stochastic gradient descent over ratings: the order of visits and the inner loop.
//!
//! Rows are 32-bit, padded to a multiple of [`TAIL`] numbers and worked on in blocks of [`LANES`],
//! then of [`TAIL`], which compilers turn into vector instructions; the padding stays 0. (Compiled
//! for the processor's widest vectors by `pulp`, it was slower: rows straddle cache lines.) A user's ratings are visited one after the other in
//! every order but [`Visits::Shuffled`], so that the user's row stays in the cache and its bias
//! in a register. Biases and errors are 64-bit: they cost nothing and keep predictions within
//! 2e-6 of an implementation that is 64-bit throughout. One thread: updates that race would not
//! be reproducible.

use quintet_core::{Interactions, Matrix, SeedStream, UserIdx};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// In which order an epoch visits the ratings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visits {
    /// By user, then by item, the same every time: as Surprise does.
    #[default]
    Sequential,
    /// Users in a new order every epoch, and the ratings of each in a new order.
    Users,
    /// All ratings in a new order every epoch.
    Shuffled,
}

/// Numbers in a block of a row.
pub(crate) const LANES: usize = 16;

/// Numbers in a block of what is left of a row.
pub(crate) const TAIL: usize = 4;

/// Rows of whole blocks.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    stride: usize,
    dim: usize,
    data: Vec<f32>,
}

impl Rows {
    pub(crate) fn of(m: &Matrix) -> Self {
        let stride = m.cols().next_multiple_of(TAIL).max(TAIL);
        let mut data = vec![0.0; m.rows() * stride];
        for (row, padded) in data.chunks_exact_mut(stride).enumerate() {
            padded[..m.cols()].copy_from_slice(m.row(row));
        }
        Self { stride, dim: m.cols(), data }
    }

    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.stride..][..self.stride]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.stride..][..self.stride]
    }

    /// Without the padding.
    pub(crate) fn into_matrix(self) -> Matrix {
        let rows = self.data.len() / self.stride;
        let mut m = Matrix::zeros(rows, self.dim);
        for row in 0..rows {
            m.row_mut(row).copy_from_slice(&self.row(row)[..self.dim]);
        }
        m
    }
}

/// `a · b` of padded rows.
#[inline]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0f32; LANES];
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for (a, b) in a_tail.as_chunks::<TAIL>().0.iter().zip(b_tail.as_chunks::<TAIL>().0) {
        for lane in 0..TAIL {
            sums[lane] += a[lane] * b[lane];
        }
    }
    // A fixed order, halves upon halves.
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    f64::from(sums[0])
}

/// `p += gain q − decay_p p`, `q += gain p − decay_q q`, both from the old values. The decay is
/// taken off, not folded into a factor next to 1: rounded to 32 bits, that would change it.
#[inline]
pub(crate) fn step(p: &mut [f32], q: &mut [f32], decay: [f32; 2], gain: f32) {
    let (p, p_tail) = p.as_chunks_mut::<LANES>();
    let (q, q_tail) = q.as_chunks_mut::<LANES>();
    for (p, q) in p.iter_mut().zip(q) {
        step_block(p, q, decay, gain);
    }
    let tail = p_tail.as_chunks_mut::<TAIL>().0.iter_mut().zip(q_tail.as_chunks_mut::<TAIL>().0);
    for (p, q) in tail {
        step_block(p, q, decay, gain);
    }
}

#[inline(always)]
fn step_block<const N: usize>(p: &mut [f32; N], q: &mut [f32; N], decay: [f32; 2], gain: f32) {
    for lane in 0..N {
        let (old_p, old_q) = (p[lane], q[lane]);
        p[lane] = old_p + (gain * old_q - decay[0] * old_p);
        q[lane] = old_q + (gain * old_p - decay[1] * old_q);
    }
}

/// The ratings in the order of an epoch.
pub(crate) struct Tour<'a> {
    ratings: &'a Interactions,
    visits: Visits,
    seed: SeedStream,
    /// Positions in the arrays of the ratings.
    order: Vec<u32>,
    /// User of each position; only where an epoch needs it.
    owners: Vec<u32>,
    users: Vec<u32>,
}

impl<'a> Tour<'a> {
    /// # Panics
    /// When there are more than 2³² ratings.
    pub(crate) fn new(ratings: &'a Interactions, visits: Visits, seed: SeedStream) -> Self {
        assert!(u32::try_from(ratings.nnz()).is_ok(), "more than 2³² ratings");
        let owners = match visits {
            Visits::Shuffled => ratings.iter().map(|t| t.user.0).collect(),
            _ => Vec::new(),
        };
        Self {
            ratings,
            visits,
            seed,
            order: (0..ratings.nnz() as u32).collect(),
            owners,
            users: (0..ratings.n_users() as u32).collect(),
        }
    }

    /// Visits runs of ratings of one user, as positions in the arrays of the ratings.
    pub(crate) fn epoch(&mut self, epoch: usize, mut run: impl FnMut(UserIdx, &[u32])) {
        let indptr = self.ratings.indptr();
        let mut rng = self.seed.rng("rating-order", epoch as u64);
        match self.visits {
            Visits::Sequential => {}
            Visits::Users => {
                self.users.sort_unstable();
                self.users.shuffle(&mut rng);
            }
            Visits::Shuffled => {
                self.order.sort_unstable();
                self.order.shuffle(&mut rng);
                for &at in &self.order {
                    run(UserIdx(self.owners[at as usize]), &[at]);
                }
                return;
            }
        }
        for &user in &self.users {
            let user = UserIdx(user);
            let range = indptr[user.index()]..indptr[user.index() + 1];
            if range.is_empty() {
                continue;
            }
            let own = &mut self.order[range];
            if self.visits == Visits::Users {
                own.sort_unstable();
                own.shuffle(&mut rng);
            }
            run(user, own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_steps_do_not_touch_the_padding() {
        let m = |values: [f32; 3]| Rows::of(&Matrix::from_vec(1, 3, values.to_vec()).unwrap());
        let (mut p, mut q) = (m([1.0, 2.0, 3.0]), m([4.0, 5.0, 6.0]));
        assert_eq!(dot(p.row(0), q.row(0)), 32.0);
        step(p.row_mut(0), q.row_mut(0), [0.5, 0.0], 2.0);
        assert_eq!(q.row(0)[3..], [0.0; TAIL - 3]);
        assert_eq!(p.into_matrix().as_slice(), [8.5, 11.0, 13.5]);
        assert_eq!(q.into_matrix().as_slice(), [6.0, 9.0, 12.0]);
    }

    #[test]
    fn every_order_visits_every_rating_once_and_epochs_differ_only_where_they_should() {
        let pairs = (0..40u32).flat_map(|u| (0..u % 7).map(move |i| (u, i)));
        let ratings = Interactions::from_pairs(40, 7, pairs).unwrap();
        for visits in [Visits::Sequential, Visits::Users, Visits::Shuffled] {
            let walk = |epoch| {
                let mut seen = Vec::new();
                let mut tour = Tour::new(&ratings, visits, SeedStream::new(5));
                tour.epoch(epoch, |user, run| {
                    for &at in run {
                        let range =
                            ratings.indptr()[user.index()]..ratings.indptr()[user.index() + 1];
                        assert!(range.contains(&(at as usize)));
                        seen.push(at);
                    }
                });
                seen
            };
            let (first, again, second) = (walk(1), walk(1), walk(2));
            assert_eq!(first, again);
            assert_eq!(first == second, visits == Visits::Sequential);
            let mut sorted = first;
            sorted.sort_unstable();
            assert_eq!(sorted, (0..ratings.nnz() as u32).collect::<Vec<_>>());
        }
    }
}
