//! What pairwise losses read of the rows of a batch of triples.

use burn::prelude::*;

/// `u_b · n_b - u_b · p_b` for every triple `b`, `[batch, 1]`: how far the negative is ahead.
///
/// - `users`: the first `batch` rows, `[at least batch, dim]`; further rows are not read
/// - `items`: positives, then negatives, `[2 · batch, dim]`
///
/// # Panics
/// When the shapes disagree.
pub fn pair_margins(users: Tensor<2>, items: Tensor<2>) -> Tensor<2> {
    let ([n_users, dim], [n_items, width]) = (users.dims(), items.dims());
    assert!(
        n_items.is_multiple_of(2) && n_users >= n_items / 2,
        "{n_users} users, {n_items} items"
    );
    assert_eq!(dim, width, "users and items of one width");
    #[cfg(feature = "flex")]
    if let Some(y) = fused::pair_margins(&users, &items) {
        return y;
    }
    let batch = n_items / 2;
    margins(users.narrow(0, 0, batch), &items, batch, 0)
}

/// The same of rows of users, positives and negatives one after the other, `[3 · batch, dim]`.
///
/// # Panics
/// When the number of rows is no multiple of 3.
pub fn triple_margins(rows: Tensor<2>) -> Tensor<2> {
    let n = rows.dims()[0];
    assert!(n.is_multiple_of(3), "three rows a triple, not {n} in all");
    #[cfg(feature = "flex")]
    if let Some(y) = fused::triple_margins(&rows) {
        return y;
    }
    margins(rows.clone().narrow(0, 0, n / 3), &rows, n / 3, n / 3)
}

/// `items`: positives from row `first` on, then negatives.
fn margins(users: Tensor<2>, items: &Tensor<2>, batch: usize, first: usize) -> Tensor<2> {
    let part = |from| items.clone().narrow(0, from, batch);
    let score = |items: Tensor<2>| (users.clone() * items).sum_dim(1);
    score(part(first + batch)) - score(part(first))
}

/// The sum of squares of every row, `[rows, dim] → [rows, 1]`.
pub fn row_squares(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = fused::row_squares(&x) {
        return y;
    }
    x.powi_scalar(2).sum_dim(1)
}

/// The columns of both, `[rows, a] , [rows, b] → [rows, a + b]`.
///
/// # Panics
/// When the numbers of rows differ.
pub fn join_columns(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    assert_eq!(a.dims()[0], b.dims()[0], "as many rows");
    #[cfg(feature = "flex")]
    if let Some(y) = fused::join_columns(&a, &b) {
        return y;
    }
    Tensor::cat(vec![a, b], 1)
}

#[cfg(feature = "flex")]
mod fused {
    use burn::prelude::*;
    use pulp::{Arch, Simd, WithSimd};
    use rayon::prelude::*;

    use crate::slices::dot_here;
    use crate::tracked::{Seen, tracked};

    /// Rows that a thread takes at a time.
    const ROWS: usize = 256;

    pub(super) fn pair_margins(users: &Tensor<2>, items: &Tensor<2>) -> Option<Tensor<2>> {
        let ([n_users, dim], batch) = (users.dims(), items.dims()[0] / 2);
        if batch == 0 || dim == 0 {
            return None;
        }
        let forward = |[users, items]: [&[f32]; 2]| forward(&users[..batch * dim], items, dim);
        tracked([users, items], [batch, 1], forward, move |seen: Seen<'_, 2>| {
            let [users, items] = seen.inputs;
            let mut to_users = vec![0.0f32; n_users * dim];
            let mut to_items = vec![0.0f32; 2 * batch * dim];
            back(&users[..batch * dim], items, seen.grad, [&mut to_users, &mut to_items], dim);
            [Some(to_users), Some(to_items)]
        })
    }

    pub(super) fn triple_margins(rows: &Tensor<2>) -> Option<Tensor<2>> {
        let ([n, dim], cut) = (rows.dims(), rows.dims()[0] / 3 * rows.dims()[1]);
        if cut == 0 {
            return None;
        }
        let forward = |[rows]: [&[f32]; 1]| {
            let (users, items) = rows.split_at(cut);
            forward(users, items, dim)
        };
        tracked([rows], [n / 3, 1], forward, move |seen: Seen<'_, 1>| {
            let (users, items) = seen.inputs[0].split_at(cut);
            let mut out = vec![0.0f32; n * dim];
            let (to_users, to_items) = out.split_at_mut(cut);
            back(users, items, seen.grad, [to_users, to_items], dim);
            [Some(out)]
        })
    }

    fn forward(users: &[f32], items: &[f32], dim: usize) -> Vec<f32> {
        let (positives, negatives) = items.split_at(users.len());
        let mut out = vec![0.0f32; users.len() / dim];
        let items = positives.par_chunks(ROWS * dim).zip(negatives.par_chunks(ROWS * dim));
        out.par_chunks_mut(ROWS).zip(users.par_chunks(ROWS * dim)).zip(items).for_each(
            |((out, users), (positives, negatives))| {
                Arch::new().dispatch(Margins { users, positives, negatives, out, dim });
            },
        );
        out
    }

    struct Margins<'a> {
        users: &'a [f32],
        positives: &'a [f32],
        negatives: &'a [f32],
        out: &'a mut [f32],
        dim: usize,
    }

    impl WithSimd for Margins<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self { users, positives, negatives, out, dim } = self;
            let items = positives.chunks_exact(dim).zip(negatives.chunks_exact(dim));
            for ((out, u), (p, n)) in out.iter_mut().zip(users.chunks_exact(dim)).zip(items) {
                *out = dot_here(u, n) - dot_here(u, p);
            }
        }
    }

    /// Writes the gradients of the users' rows, and of the positives and negatives.
    fn back(
        users: &[f32],
        items: &[f32],
        grad: &[f32],
        [to_users, to_items]: [&mut [f32]; 2],
        dim: usize,
    ) {
        let size = users.len();
        let (positives, negatives) = items.split_at(size);
        let (to_positives, to_negatives) = to_items.split_at_mut(size);
        let step = ROWS * dim;
        let read = users.par_chunks(step).zip(positives.par_chunks(step));
        let read = read.zip(negatives.par_chunks(step)).zip(grad.par_chunks(ROWS));
        let write = to_users[..size].par_chunks_mut(step).zip(to_positives.par_chunks_mut(step));
        let write = write.zip(to_negatives.par_chunks_mut(step));
        write.zip(read).for_each(|(((to_u, to_p), to_n), (((u, p), n), grad))| {
            Arch::new().dispatch(Back { read: [u, p, n], grad, write: [to_u, to_p, to_n], dim });
        });
    }

    struct Back<'a> {
        read: [&'a [f32]; 3],
        grad: &'a [f32],
        write: [&'a mut [f32]; 3],
        dim: usize,
    }

    impl WithSimd for Back<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self { read, grad, write: [to_users, to_positives, to_negatives], dim } = self;
            for (b, g) in grad.iter().enumerate() {
                let row = b * dim..(b + 1) * dim;
                let [u, p, n] = read.map(|part| &part[row.clone()]);
                let items = p.iter().zip(n);
                for (o, (p, n)) in to_users[row.clone()].iter_mut().zip(items) {
                    *o = g * (n - p);
                }
                to_positives[row.clone()].iter_mut().zip(u).for_each(|(o, u)| *o = -g * u);
                to_negatives[row].iter_mut().zip(u).for_each(|(o, u)| *o = g * u);
            }
        }
    }

    pub(super) fn row_squares(x: &Tensor<2>) -> Option<Tensor<2>> {
        let [rows, dim] = x.dims();
        if rows == 0 || dim == 0 {
            return None;
        }
        let forward = |[x]: [&[f32]; 1]| {
            let mut out = vec![0.0f32; rows];
            out.par_chunks_mut(ROWS).zip(x.par_chunks(ROWS * dim)).for_each(|(out, x)| {
                Arch::new().dispatch(Squares { x, out, dim });
            });
            out
        };
        tracked([x], [rows, 1], forward, move |seen: Seen<'_, 1>| {
            let mut out = vec![0.0f32; rows * dim];
            let read = seen.inputs[0].par_chunks(ROWS * dim).zip(seen.grad.par_chunks(ROWS));
            out.par_chunks_mut(ROWS * dim).zip(read).for_each(|(out, (x, grad))| {
                Arch::new().dispatch(SquaresBack { x, grad, out, dim });
            });
            [Some(out)]
        })
    }

    struct Squares<'a> {
        x: &'a [f32],
        out: &'a mut [f32],
        dim: usize,
    }

    impl WithSimd for Squares<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let rows = self.x.chunks_exact(self.dim);
            self.out.iter_mut().zip(rows).for_each(|(o, row)| *o = dot_here(row, row));
        }
    }

    struct SquaresBack<'a> {
        x: &'a [f32],
        grad: &'a [f32],
        out: &'a mut [f32],
        dim: usize,
    }

    impl WithSimd for SquaresBack<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let rows = self.x.chunks_exact(self.dim).zip(self.grad);
            for (out, (x, g)) in self.out.chunks_exact_mut(self.dim).zip(rows) {
                out.iter_mut().zip(x).for_each(|(o, x)| *o = 2.0 * g * x);
            }
        }
    }

    pub(super) fn join_columns(a: &Tensor<2>, b: &Tensor<2>) -> Option<Tensor<2>> {
        let ([rows, wide], [_, other]) = (a.dims(), b.dims());
        if rows == 0 || wide == 0 || other == 0 {
            return None;
        }
        let forward = |[a, b]: [&[f32]; 2]| {
            let mut out = Vec::with_capacity(rows * (wide + other));
            for (a, b) in a.chunks_exact(wide).zip(b.chunks_exact(other)) {
                out.extend_from_slice(a);
                out.extend_from_slice(b);
            }
            out
        };
        tracked([a, b], [rows, wide + other], forward, move |seen: Seen<'_, 2>| {
            let part = |from: usize, width: usize| {
                let mut out = Vec::with_capacity(rows * width);
                for row in seen.grad.chunks_exact(wide + other) {
                    out.extend_from_slice(&row[from..from + width]);
                }
                out
            };
            let [left, right] = seen.wanted;
            [left.then(|| part(0, wide)), right.then(|| part(wide, other))]
        })
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::ops::rows::tests::{assert_same, pattern};

    #[test]
    fn margins_and_their_gradients_are_those_of_the_portable_form() {
        for (batch, dim) in [(1, 1), (3, 7), (300, 64)] {
            assert_same(
                &[pattern(batch + 2, dim, 1.0), pattern(2 * batch, dim, 0.7)],
                |[u, i]| pair_margins(u, i),
                |[u, i]| margins(u.narrow(0, 0, batch), &i, batch, 0),
                1e-5,
            );
            assert_same(
                &[pattern(3 * batch, dim, 1.0)],
                |[rows]| triple_margins(rows),
                |[rows]| margins(rows.clone().narrow(0, 0, batch), &rows, batch, batch),
                1e-5,
            );
        }
    }

    #[test]
    fn squares_and_joined_columns_are_those_of_the_portable_form() {
        for (rows, dim) in [(1, 1), (5, 3), (700, 33)] {
            assert_same(
                &[pattern(rows, dim, 1.0)],
                |[x]| row_squares(x),
                |[x]| x.powi_scalar(2).sum_dim(1),
                1e-5,
            );
            assert_same(
                &[pattern(rows, dim, 1.0), pattern(rows, 4, 1.0)],
                |[a, b]| join_columns(a, b),
                |[a, b]| Tensor::cat(vec![a, b], 1),
                1e-6,
            );
        }
    }

    #[test]
    #[should_panic(expected = "three rows a triple")]
    fn rows_that_are_no_triples_panic() {
        triple_margins(crate::matrix_to_tensor(&pattern(4, 2, 1.0), &Device::flex()));
    }
}
