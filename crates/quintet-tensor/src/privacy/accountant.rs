//! What noise buys: (ε, δ) of the subsampled Gaussian mechanism.
//!
//! Mironov, Talwar & Zhang, "Rényi Differential Privacy of the Sampled Gaussian Mechanism", 2019: a
//! step that takes each user with probability `q` and adds noise of `σ` times the sensitivity has,
//! for whole orders `α ≥ 2`,
//!
//! ```text
//! ε_α = 1/(α-1) · ln Σ_{k=0..α} C(α, k) (1-q)^{α-k} q^k e^{(k²-k)/(2σ²)}
//! ```
//! Orders add up over steps. Canonne, Kamath & Steinke, "The Discrete Gaussian for Differential
//! Privacy", NeurIPS 2020: `ε = ε_α + ln((α-1)/α) - (ln δ + ln α)/(α-1)`, the least over `α`.

/// Orders that are tried.
const ORDERS: std::ops::RangeInclusive<u32> = 2..=256;

/// The ε of `steps` steps at this δ, for sampling with probability `rate` and noise of `multiplier`
/// times the sensitivity. Infinite without noise; 0 without steps.
///
/// ```
/// let epsilon = quintet_tensor::epsilon(0.01, 1.1, 10_000, 1e-5);
/// assert!((epsilon - 5.654).abs() < 0.01, "{epsilon}");
/// ```
pub fn epsilon(rate: f64, multiplier: f64, steps: u64, delta: f64) -> f64 {
    if steps == 0 || rate <= 0.0 {
        return 0.0;
    }
    if multiplier <= 0.0 || delta <= 0.0 {
        return f64::INFINITY;
    }
    ORDERS
        .map(|order| {
            let alpha = f64::from(order);
            let spent = steps as f64 * renyi(rate.min(1.0), multiplier, order);
            spent + ((alpha - 1.0) / alpha).ln() - (delta.ln() + alpha.ln()) / (alpha - 1.0)
        })
        .fold(f64::INFINITY, f64::min)
        .max(0.0)
}

/// `ε_α` of one step.
fn renyi(rate: f64, multiplier: f64, order: u32) -> f64 {
    let alpha = f64::from(order);
    if rate >= 1.0 {
        return alpha / (2.0 * multiplier * multiplier);
    }
    let mut terms = Vec::with_capacity(order as usize + 1);
    // ln C(α, k), step by step.
    let mut choose = 0.0f64;
    for k in 0..=order {
        let k_f = f64::from(k);
        if k > 0 {
            choose += ((alpha - k_f + 1.0) / k_f).ln();
        }
        let chance = (alpha - k_f) * (-rate).ln_1p() + k_f * rate.ln();
        terms.push(choose + chance + (k_f * k_f - k_f) / (2.0 * multiplier * multiplier));
    }
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = terms.iter().map(|t| (t - largest).exp()).sum();
    (largest + sum.ln()) / (alpha - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_sampling_it_is_the_gaussian_mechanism() {
        // α / (2 σ²) = 4 / 8.
        assert!((renyi(1.0, 2.0, 4) - 0.5).abs() < 1e-12);
        // The sum of all terms at q → 1 is the last one alone.
        assert!((renyi(1.0 - 1e-12, 2.0, 4) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn more_noise_fewer_steps_and_rarer_sampling_spend_less() {
        let base = epsilon(0.02, 1.0, 1000, 1e-5);
        assert!(epsilon(0.02, 2.0, 1000, 1e-5) < base);
        assert!(epsilon(0.02, 1.0, 100, 1e-5) < base);
        assert!(epsilon(0.01, 1.0, 1000, 1e-5) < base);
        assert!(epsilon(0.02, 1.0, 1000, 1e-4) < base);
        assert_eq!(epsilon(0.02, 0.0, 1000, 1e-5), f64::INFINITY);
        assert_eq!(epsilon(0.02, 1.0, 0, 1e-5), 0.0);
    }

    /// Values of Opacus 1.5.4, `RDPAccountant` over whole orders from 2 to 256: see
    /// `tests/fixtures/accountant/generate.py`.
    #[test]
    fn values_are_those_of_opacus() {
        let text = include_str!("../../tests/fixtures/accountant/epsilon.json");
        let cases: Vec<(f64, f64, u64, f64, f64)> = serde_json::from_str(text).unwrap();
        assert!(cases.len() > 5);
        for (rate, multiplier, steps, delta, expected) in cases {
            let found = epsilon(rate, multiplier, steps, delta);
            assert!((found - expected).abs() < 1e-6 * expected.max(1.0), "{found} {expected}");
        }
    }
}
