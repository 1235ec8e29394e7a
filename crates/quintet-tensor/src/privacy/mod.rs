//! What federated models share: who takes part, how much one user can move, and what noise buys.
//!
//! McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
//! AISTATS 2017 (federated averaging); McMahan et al., "Learning Differentially Private Recurrent
//! Language Models", ICLR 2018 (clipping by user, noise on the sum).

mod accountant;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Normal};

use crate::FitError;

pub use accountant::epsilon;

/// How a server takes what its clients send. Without `clip` and `noise` nothing is private but where
/// the histories lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Federation {
    /// Chance of a user to take part in a round, in `(0, 1]`.
    pub rate: f64,
    /// How much of the sum the server takes over.
    pub server_lr: f32,
    /// `C`, the greatest norm of what a user sends; needed for noise.
    pub clip: Option<f32>,
    /// `z`, noise in multiples of `C`; 0 adds none.
    pub noise: f32,
    /// The δ at which ε is stated; `1 / n_users` divided by 10 where none is given.
    pub delta: Option<f64>,
}

impl Federation {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`FitError::Config`] that names the model and the key.
    pub fn check(&self, model: &str) -> Result<(), FitError> {
        let refuse = |key: &str, expected: &str, found: String| {
            let reason = format!("{key} must be {expected}; found {found}");
            Err(FitError::Config { model: model.into(), reason })
        };
        let positive = |v: f32| v.is_finite() && v > 0.0;
        if !(self.rate > 0.0 && self.rate <= 1.0) {
            return refuse("rate", "in (0, 1]", self.rate.to_string());
        }
        if !positive(self.server_lr) {
            return refuse("server_lr", "above 0", self.server_lr.to_string());
        }
        if self.clip.is_some_and(|c| !positive(c)) {
            return refuse("clip", "above 0", format!("{:?}", self.clip));
        }
        if !(self.noise.is_finite() && self.noise >= 0.0) {
            return refuse("noise", "at least 0", self.noise.to_string());
        }
        if self.noise > 0.0 && self.clip.is_none() {
            return refuse("clip", "given where there is noise", "none".into());
        }
        if self.delta.is_some_and(|d| !(d > 0.0 && d < 1.0)) {
            return refuse("delta", "in (0, 1)", format!("{:?}", self.delta));
        }
        Ok(())
    }

    /// The users of a round, each drawn for themselves (as the accountant assumes), ascending.
    pub fn takes_part(&self, n_users: usize, rng: &mut impl Rng) -> Vec<usize> {
        (0..n_users).filter(|_| rng.random::<f64>() < self.rate).collect()
    }

    /// `min(1, C / ‖Δ‖)` over all numbers that a user sends; 1 without a clip, 0 where a number is
    /// not finite: a norm that is not known cannot be bounded.
    pub fn scale<'a>(&self, sent: impl IntoIterator<Item = &'a f32>) -> f32 {
        let Some(limit) = self.clip else { return 1.0 };
        let squares = sent.into_iter().map(|v| f64::from(*v).powi(2));
        let norm = squares.sum::<f64>().sqrt() as f32;
        match norm.is_finite() {
            true if norm > limit => limit / norm,
            true => 1.0,
            false => 0.0,
        }
    }

    /// Adds `N(0, (z C)²)` to every number of the sum.
    pub fn disturb(&self, sum: &mut [f32], rng: &mut impl Rng) {
        let deviation = self.noise * self.clip.unwrap_or(0.0);
        if deviation <= 0.0 {
            return;
        }
        if let Ok(normal) = Normal::new(0.0f32, deviation) {
            sum.iter_mut().for_each(|v| *v += normal.sample(rng));
        }
    }

    /// The ε that `rounds` have spent, and its δ.
    pub fn spent(&self, rounds: u64, n_users: usize) -> (f64, f64) {
        let delta = self.delta.unwrap_or(0.1 / n_users.max(1) as f64);
        (epsilon(self.rate, f64::from(self.noise), rounds, delta), delta)
    }

    /// A sentence on the privacy of `what`; none without noise.
    pub fn note(&self, what: &str, rounds: u64, n_users: usize) -> Option<String> {
        if self.noise == 0.0 {
            return None;
        }
        let (epsilon, delta) = self.spent(rounds, n_users);
        let clip = self.clip.unwrap_or(0.0);
        Some(format!(
            "the {what} is ({epsilon:.2}, {delta:.1e})-differentially private for the history of a \
             user: {rounds} rounds, chance {} of taking part, clipped at {clip}, noise {} times that",
            self.rate, self.noise
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;

    const PLAIN: Federation =
        Federation { rate: 0.5, server_lr: 1.0, clip: Some(2.0), noise: 0.0, delta: None };

    #[test]
    fn nothing_that_is_sent_is_longer_than_the_clip() {
        for sent in [vec![3.0f32, 4.0], vec![0.3, 0.4], vec![0.0; 2], vec![1e30, 1e30]] {
            let scale = PLAIN.scale(&sent);
            let norm = sent.iter().map(|v| f64::from(v * scale).powi(2)).sum::<f64>().sqrt();
            assert!(norm <= 2.0 + 1e-6, "{norm}");
        }
        assert_eq!(PLAIN.scale(&[3.0, 4.0]), 0.4);
        assert_eq!(PLAIN.scale(&[0.3, 0.4]), 1.0);
        assert_eq!(PLAIN.scale(&[f32::NAN, 0.0]), 0.0);
        assert_eq!(Federation { clip: None, ..PLAIN }.scale(&[3.0, 4.0]), 1.0);
    }

    #[test]
    fn noise_has_the_deviation_that_it_says_and_users_the_chance() {
        let mut rng = SeedStream::new(3).rng("t", 0);
        let mut sum = vec![1.0f32; 20_000];
        Federation { noise: 1.5, ..PLAIN }.disturb(&mut sum, &mut rng);
        let variance = sum.iter().map(|v| f64::from(v - 1.0).powi(2)).sum::<f64>() / 2e4;
        assert!((variance - 9.0).abs() < 0.4, "{variance}");
        let mut same = vec![1.0f32; 3];
        PLAIN.disturb(&mut same, &mut rng);
        assert_eq!(same, [1.0; 3]);
        let n = PLAIN.takes_part(10_000, &mut rng).len();
        assert!((4_700..5_300).contains(&n), "{n}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let said = |f: Federation| f.check("m").unwrap_err().to_string();
        assert!(said(Federation { rate: 0.0, ..PLAIN }).contains("rate"));
        assert!(
            said(Federation { clip: None, noise: 1.0, ..PLAIN }).contains("clip must be given")
        );
        assert!(said(Federation { delta: Some(1.0), ..PLAIN }).contains("delta"));
        assert!(PLAIN.check("m").is_ok());
    }
}
