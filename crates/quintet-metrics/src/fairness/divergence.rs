//! How far two distributions over groups are apart.
//!
//! `TV(p, q) = ½ Σ |p - q|`; `KL(p‖q) = Σ p ln(p / q)` in nats, where `p = 0` gives 0;
//! `JS(p, q) = ½ KL(p‖m) + ½ KL(q‖m)` with `m = (p + q) / 2`, in bits, so that it lies within 0
//! and 1.
//!
//! Source: Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on
//! Information Theory 37(1), 1991.
//! Cost: O(groups).

/// Total variation, in `[0, 1]`.
///
/// # Panics
/// When the distributions are not of one length.
pub fn total_variation(p: &[f64], q: &[f64]) -> f64 {
    assert_eq!(p.len(), q.len(), "distributions over the same groups");
    p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0
}

/// Kullback–Leibler divergence of `p` from `q`, in nats; infinite where `q` lacks a group of `p`.
///
/// # Panics
/// When the distributions are not of one length.
pub fn kullback_leibler(p: &[f64], q: &[f64]) -> f64 {
    assert_eq!(p.len(), q.len(), "distributions over the same groups");
    let terms = p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln());
    // Rounding may lift equal distributions a hair below 0.
    terms.sum::<f64>().max(0.0)
}

/// Jensen–Shannon divergence in bits, in `[0, 1]`: not its root, which is the distance.
///
/// # Panics
/// When the distributions are not of one length.
pub fn jensen_shannon(p: &[f64], q: &[f64]) -> f64 {
    assert_eq!(p.len(), q.len(), "distributions over the same groups");
    let middle: Vec<f64> = p.iter().zip(q).map(|(p, q)| (p + q) / 2.0).collect();
    let nats = (kullback_leibler(p, &middle) + kullback_leibler(q, &middle)) / 2.0;
    (nats / std::f64::consts::LN_2).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let (p, q) = ([0.5, 0.5, 0.0], [0.25, 0.25, 0.5]);
        assert_eq!(total_variation(&p, &q), 0.5);
        assert!((kullback_leibler(&p, &q) - 2f64.ln()).abs() < 1e-15);
        assert_eq!(kullback_leibler(&q, &p), f64::INFINITY);
        assert_eq!(kullback_leibler(&p, &p), 0.0);
        // m = 3/8 3/8 1/4: ½ log2(4/3) + ½ (½ log2(2/3) + ½ log2 2).
        let want = 0.5 * (4f64 / 3.0).log2() + 0.25 * (2f64 / 3.0).log2() + 0.25;
        assert!((jensen_shannon(&p, &q) - want).abs() < 1e-15);
        assert_eq!(jensen_shannon(&[1.0, 0.0], &[0.0, 1.0]), 1.0);
    }
}
