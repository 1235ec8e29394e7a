//! `YᵀY`, summed in 64 bits over blocks of rows.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::factor_table::FactorTable;

/// Rows of a product in 32 bits.
const BLOCK: usize = 1024;
/// Numbers of all partial sums together.
const PARTIAL: usize = 1 << 21;

/// `YᵀY` with its padding, `[stride, stride]`. The parts and their order depend on the shape
/// alone, so the result is the same on any number of threads.
pub(super) fn gram(table: &FactorTable) -> Vec<f32> {
    let size = table.stride();
    let parts = (PARTIAL / (size * size).max(1)).clamp(1, 8);
    let rows = table.rows().div_ceil(parts).next_multiple_of(BLOCK);
    let partial: Vec<Vec<f64>> = table
        .numbers()
        .par_chunks(rows * size)
        .map(|part| {
            let (mut sum, mut block) = (vec![0.0f64; size * size], vec![0.0f32; size * size]);
            for rows in part.chunks(BLOCK * size) {
                let rows = MatRef::from_row_major_slice(rows, rows.len() / size, size);
                let out = MatMut::from_row_major_slice_mut(&mut block, size, size);
                matmul(out, Accum::Replace, rows.transpose(), rows, 1.0, Par::Seq);
                sum.iter_mut().zip(&block).for_each(|(s, x)| *s += f64::from(*x));
            }
            sum
        })
        .collect();
    let total = partial.into_iter().reduce(|mut a, b| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    });
    match total {
        Some(total) => total.into_iter().map(|x| x as f32).collect(),
        None => vec![0.0; size * size],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;

    #[test]
    fn the_sum_is_the_definition() {
        let table = FactorTable::uniform((2500, 5), (-1.0, 1.0), (SeedStream::new(4), "gram"));
        let found = gram(&table);
        for a in 0..5 {
            for b in 0..5 {
                let expected: f64 = (0..2500)
                    .map(|r| f64::from(table.row(r)[a]) * f64::from(table.row(r)[b]))
                    .sum();
                let found = f64::from(found[a * table.stride() + b]);
                assert!((found - expected).abs() < 1e-3, "{a} {b}: {found} {expected}");
            }
        }
    }
}
