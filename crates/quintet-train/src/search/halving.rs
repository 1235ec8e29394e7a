//! Successive halving.
//!
//! Paper: Jamieson, Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
//! Optimization", AISTATS 2016.
//!
//! ```text
//! round k: n_k = ⌊n / η^k⌋ trials, each trained to r_k = min(R, r_0 η^k) epochs in all
//! the best n_{k+1} of them go on from where they are
//! ```
//!
//! Differences: r_0 is given, or ⌈R / η^⌊log_η n⌋⌉, so that a single trial is left when the last
//! epochs R are reached.
//! Cost: about log_η(n) + 1 times n r_0 epochs.

/// One round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// How many trials take part.
    pub trials: usize,
    /// To how many epochs each is trained.
    pub epochs: usize,
}

/// The rounds of a search over `trials` points of at most `most` epochs.
pub(super) fn rungs(trials: usize, most: usize, first: usize, reduction: usize) -> Vec<Rung> {
    let mut rounds = 0;
    let mut left = trials;
    while left >= reduction {
        left /= reduction;
        rounds += 1;
    }
    let first = match first {
        0 => most.div_ceil(reduction.saturating_pow(rounds)),
        given => given,
    };
    let mut rungs = Vec::new();
    let (mut trials, mut epochs) = (trials, first.clamp(1, most));
    loop {
        rungs.push(Rung { trials, epochs });
        if epochs >= most {
            return rungs;
        }
        trials = (trials / reduction).max(1);
        epochs = epochs.saturating_mul(reduction).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(trials: usize, most: usize, first: usize, reduction: usize) -> Vec<(usize, usize)> {
        let rungs = rungs(trials, most, first, reduction);
        rungs.iter().map(|r| (r.trials, r.epochs)).collect()
    }

    #[test]
    fn rounds_by_hand() {
        assert_eq!(pairs(27, 81, 0, 3), [(27, 3), (9, 9), (3, 27), (1, 81)]);
        assert_eq!(pairs(20, 100, 0, 3), [(20, 12), (6, 36), (2, 100)]);
        assert_eq!(pairs(8, 10, 2, 2), [(8, 2), (4, 4), (2, 8), (1, 10)]);
        assert_eq!(pairs(2, 10, 1, 3), [(2, 1), (1, 3), (1, 9), (1, 10)]);
        assert_eq!(pairs(5, 3, 50, 3), [(5, 3)]);
    }
}
