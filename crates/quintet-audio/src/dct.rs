//! The cosine transform that makes cepstral coefficients of log-mel bands.

use std::f64::consts::PI;

/// The first rows of the orthonormal DCT-II matrix.
#[derive(Debug, Clone)]
pub(crate) struct Dct {
    n_in: usize,
    /// `[n_out, n_in]`, row by row.
    rows: Vec<f64>,
}

impl Dct {
    /// `n_out` coefficients of `n_in` values.
    pub(crate) fn new(n_in: usize, n_out: usize) -> Self {
        let n = n_in as f64;
        let mut rows = Vec::with_capacity(n_in * n_out);
        for k in 0..n_out {
            let scale = if k == 0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
            rows.extend((0..n_in).map(|i| scale * (PI / n * (i as f64 + 0.5) * k as f64).cos()));
        }
        Self { n_in, rows }
    }

    /// Coefficients, `out`: `[n_out]`, of `values`, `[n_in]`.
    pub(crate) fn apply(&self, values: &[f64], out: &mut [f64]) {
        for (row, o) in self.rows.chunks_exact(self.n_in).zip(out) {
            *o = row.iter().zip(values).map(|(a, b)| a * b).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_give_the_scaled_sum_and_difference() {
        // Orthonormal DCT-II of (a, b): ((a + b) / √2, (a − b) / √2).
        let mut out = [0.0; 2];
        Dct::new(2, 2).apply(&[3.0, 1.0], &mut out);
        assert!((out[0] - 4.0 / 2f64.sqrt()).abs() < 1e-12, "{out:?}");
        assert!((out[1] - 2.0 / 2f64.sqrt()).abs() < 1e-12, "{out:?}");
    }

    #[test]
    fn the_full_transform_keeps_the_length_of_a_vector() {
        let values = [0.5, -2.0, 1.25, 3.0, 0.0];
        let mut out = [0.0; 5];
        Dct::new(5, 5).apply(&values, &mut out);
        let energy = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>();
        assert!((energy(&values) - energy(&out)).abs() < 1e-12);
    }
}
