//! Mean and spread over time, one pass.

/// Running mean and squared deviations of a vector (Welford, Technometrics 4(3), 1962), so that a
/// constant series has a spread of exactly zero.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Running {
    /// For vectors of width `dim`.
    pub(crate) fn new(dim: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; dim], squares: vec![0.0; dim] }
    }

    /// Takes one vector, `[dim]`.
    pub(crate) fn push(&mut self, values: &[f64]) {
        self.count += 1.0;
        for ((m, s), &v) in self.mean.iter_mut().zip(&mut self.squares).zip(values) {
            let before = v - *m;
            *m += before / self.count;
            *s += before * (v - *m);
        }
    }

    /// The means; zeros before the first vector.
    pub(crate) fn mean(&self) -> impl Iterator<Item = f64> {
        self.mean.iter().copied()
    }

    /// The standard deviations of the population; zeros before the first vector.
    pub(crate) fn deviation(&self) -> impl Iterator<Item = f64> {
        self.squares.iter().map(|s| (s.max(0.0) / self.count.max(1.0)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_vectors_by_hand() {
        let mut r = Running::new(2);
        for v in [[1.0, 7.0], [2.0, 7.0], [6.0, 7.0]] {
            r.push(&v);
        }
        // Column 0: mean 3, deviations −2, −1, 3, so variance 14 / 3.
        assert_eq!(r.mean().collect::<Vec<_>>(), [3.0, 7.0]);
        let d: Vec<f64> = r.deviation().collect();
        assert!((d[0] - (14.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(d[1], 0.0);
    }

    #[test]
    fn nothing_gives_zeros() {
        let r = Running::new(1);
        assert_eq!((r.mean().next(), r.deviation().next()), (Some(0.0), Some(0.0)));
    }
}
