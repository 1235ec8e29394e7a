//! Which parameters mattered.
//!
//! The share of the variance of the results that a parameter explains on its own (its main
//! effect): results are grouped by its value, ranges in four groups of equally many trials, and
//! the variance between groups is set against all of it, corrected for what chance would explain.
//!
//! ```text
//! ε² = (SS_between − (groups − 1) · MS_within) / SS_total, at the least 0
//! ```
//!
//! Paper: Kelley, "An Unbiased Correlation Ratio Measure", PNAS 21(9), 1935.
//!
//! Limits: what two parameters do only together is in none of them, and a search that stays near
//! what was good has seen little of the rest. Cost: O(parameters · trials log trials).

use serde_json::Value;

use super::space::{Axis, Point, Space};

/// Groups of a range.
const GROUPS: usize = 4;
/// Fewer trials say nothing.
const FEWEST: usize = 8;

/// By path, the largest first; empty where too few trials ended well.
pub fn importance(space: &Space, trials: &[(&Point, f64)]) -> Vec<(String, f64)> {
    let finite: Vec<&(&Point, f64)> = trials.iter().filter(|t| t.1.is_finite()).collect();
    if finite.len() < FEWEST {
        return Vec::new();
    }
    let values: Vec<f64> = finite.iter().map(|t| t.1).collect();
    let of = |(number, (path, axis)): (usize, &(String, Axis))| {
        let points: Vec<&Value> = finite.iter().map(|t| &t.0[number]).collect();
        (path.clone(), epsilon_squared(&groups(axis, &points), &values))
    };
    let mut all: Vec<(String, f64)> = space.axes().iter().enumerate().map(of).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

/// The group of each trial.
fn groups(axis: &Axis, values: &[&Value]) -> Vec<usize> {
    if let Axis::Choice(all) = axis {
        let place = |value: &&Value| all.iter().position(|v| v == *value).unwrap_or(0);
        return values.iter().map(place).collect();
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| axis.place(values[*a]).total_cmp(&axis.place(values[*b])));
    let mut groups = vec![0; values.len()];
    for (rank, trial) in order.iter().enumerate() {
        groups[*trial] = rank * GROUPS / values.len();
    }
    groups
}

fn epsilon_squared(groups: &[usize], values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let total: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let most = groups.iter().max().map_or(0, |g| g + 1);
    let (mut sums, mut counts) = (vec![0.0; most], vec![0.0; most]);
    for (group, value) in groups.iter().zip(values) {
        sums[*group] += value;
        counts[*group] += 1.0;
    }
    let used = counts.iter().filter(|c| **c > 0.0).count() as f64;
    if used < 2.0 || total <= 0.0 || n <= used {
        return 0.0;
    }
    let part = |(sum, count): (&f64, &f64)| {
        if *count > 0.0 { count * (sum / count - mean) * (sum / count - mean) } else { 0.0 }
    };
    let between: f64 = sums.iter().zip(&counts).map(part).sum();
    let within = (total - between).max(0.0) / (n - used);
    ((between - (used - 1.0) * within) / total).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;

    #[test]
    fn a_ratio_by_hand() {
        // Groups 1, 2 and 5, 6: mean 3.5, total 17, between 16, within 1 / 2.
        let found = epsilon_squared(&[0, 0, 1, 1], &[1.0, 2.0, 5.0, 6.0]);
        assert!((found - (16.0 - 0.5) / 17.0).abs() < 1e-12, "{found}");
        assert_eq!(epsilon_squared(&[0, 0, 0, 0], &[1.0, 2.0, 5.0, 6.0]), 0.0);
        assert_eq!(epsilon_squared(&[0, 1, 0, 1], &[3.0; 4]), 0.0);
    }

    #[test]
    fn what_matters_comes_first() {
        let space: Space = toml::from_str(
            "lr = {log = [1e-4, 1.0]}\nidle = {uniform = [0, 1]}\nkind = ['a', 'b']",
        )
        .unwrap();
        let mut rng = SeedStream::new(2).rng("importance", 0);
        let points: Vec<Point> = (0..80).map(|_| space.draw(&mut rng)).collect();
        let value =
            |p: &Point| p[2].as_f64().unwrap().log10() + if p[1] == "a" { 0.8 } else { 0.0 };
        let trials: Vec<(&Point, f64)> = points.iter().map(|p| (p, value(p))).collect();
        let found = importance(&space, &trials);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["lr", "kind", "idle"]);
        assert!(found[0].1 > 0.7 && found[2].1 < 0.1, "{found:?}");
        assert!(importance(&space, &trials[..FEWEST - 1]).is_empty());
    }
}
