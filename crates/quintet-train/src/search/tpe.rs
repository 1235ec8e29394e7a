//! TPE: the tree-structured Parzen estimator.
//!
//! Paper: Bergstra, Bardenet, Bengio, Kégl, "Algorithms for Hyper-Parameter Optimization",
//! NIPS 2011, §4.
//!
//! ```text
//! ℓ(x) = density of the best share γ of the trials, g(x) = density of the others
//! next x: of some draws from ℓ, the one with the largest ℓ(x) / g(x), axis by axis
//! a range, mapped to [0, 1]: a mixture of a wide Gaussian in the middle (the prior) and one at
//!   each trial, cut off at the ends; its width is the distance to the farther neighbour
//! a list of k values: (count + 1/k) / (n + 1)
//! ```
//!
//! Differences: larger values are better; γ = 0.2, of at most 25 trials; widths are no smaller
//! than 1 / min(100, n + 2), as in the authors' program, so that a cluster keeps exploring.
//! Cost: O(axes · draws · trials) a suggestion.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::space::{Axis, Point, Space};

/// Trials by chance before there is anything to learn from.
pub(super) const STARTUP: usize = 10;
const GOOD_SHARE: f64 = 0.2;
const MOST_GOOD: usize = 25;
/// Draws from ℓ for each axis.
const DRAWS: usize = 24;

/// The next point, from points with their values, larger ones better.
pub(super) fn suggest(space: &Space, tried: &[(&Point, f64)], rng: &mut ChaCha8Rng) -> Point {
    if tried.len() < STARTUP {
        return space.draw(rng);
    }
    let mut sorted: Vec<&(&Point, f64)> = tried.iter().collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let n_good = ((GOOD_SHARE * tried.len() as f64).ceil() as usize).clamp(1, MOST_GOOD);
    let (good, others) = sorted.split_at(n_good);
    let axis = |(number, (_, axis)): (usize, &(String, Axis))| {
        let of = |trials: &[&(&Point, f64)]| -> Vec<Value> {
            trials.iter().map(|(point, _)| point[number].clone()).collect()
        };
        match axis {
            Axis::Choice(values) => choose(values, &of(good), &of(others), rng),
            _ => {
                let places = |values: Vec<Value>| values.iter().map(|v| axis.place(v)).collect();
                let (l, g) = (Parzen::new(places(of(good))), Parzen::new(places(of(others))));
                let draws = (0..DRAWS).map(|_| l.draw(rng));
                axis.at(best(draws, |x| l.log_density(*x) - g.log_density(*x)).unwrap_or(0.5))
            }
        }
    };
    space.axes().iter().enumerate().map(axis).collect()
}

/// One of a list.
fn choose(values: &[Value], good: &[Value], others: &[Value], rng: &mut ChaCha8Rng) -> Value {
    let k = values.len() as f64;
    let share = |of: &[Value], value: &Value| {
        let count = of.iter().filter(|v| *v == value).count() as f64;
        (count + 1.0 / k) / (of.len() as f64 + 1.0)
    };
    let draw = |rng: &mut ChaCha8Rng| {
        let mut left: f64 = rng.random_range(0.0..1.0);
        let found = values.iter().position(|value| {
            left -= share(good, value);
            left < 0.0
        });
        found.unwrap_or(values.len() - 1)
    };
    let draws = (0..DRAWS).map(|_| draw(rng));
    let ratio = |at: &usize| share(good, &values[*at]) / share(others, &values[*at]);
    values[best(draws, ratio).unwrap_or(0)].clone()
}

/// The first of those with the largest score.
fn best<T>(all: impl Iterator<Item = T>, score: impl Fn(&T) -> f64) -> Option<T> {
    let scored = all.map(|x| (score(&x), x));
    scored.reduce(|a, b| if b.0 > a.0 { b } else { a }).map(|(_, x)| x)
}

/// A density on [0, 1].
struct Parzen {
    /// Middle and width of every Gaussian.
    parts: Vec<(f64, f64)>,
}

impl Parzen {
    fn new(mut places: Vec<f64>) -> Self {
        places.sort_by(f64::total_cmp);
        let narrowest = 1.0 / (places.len() as f64 + 2.0).min(100.0);
        let width = |at: usize| {
            let left = if at == 0 { places[at] } else { places[at] - places[at - 1] };
            let right = places.get(at + 1).map_or(1.0 - places[at], |next| next - places[at]);
            left.max(right).clamp(narrowest, 1.0)
        };
        let mut parts: Vec<(f64, f64)> =
            (0..places.len()).map(|at| (places[at], width(at))).collect();
        parts.push((0.5, 1.0));
        Self { parts }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        let (middle, width) = self.parts[rng.random_range(0..self.parts.len())];
        // What falls outside is drawn again; a middle lies inside, so that half of them stay.
        for _ in 0..64 {
            let x = middle + width * normal(rng);
            if (0.0..=1.0).contains(&x) {
                return x;
            }
        }
        middle
    }

    fn log_density(&self, x: f64) -> f64 {
        let part = |&(middle, width): &(f64, f64)| {
            let inside = cumulative((1.0 - middle) / width) - cumulative(-middle / width);
            let z = (x - middle) / width;
            (-0.5 * z * z).exp() / (width * inside * std::f64::consts::TAU.sqrt())
        };
        let sum: f64 = self.parts.iter().map(part).sum();
        (sum / self.parts.len() as f64).max(f64::MIN_POSITIVE).ln()
    }
}

/// A standard normal number: Box and Muller, 1958.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random_range(f64::EPSILON..1.0), rng.random_range(0.0..1.0));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// The normal distribution function, to 1e-7: Abramowitz and Stegun, 7.1.26.
fn cumulative(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let poly = series.iter().fold(0.0, |sum, c| (sum + c) * t);
    let upper = 0.5 * poly * (-x * x).exp();
    if z < 0.0 { upper } else { 1.0 - upper }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;
    use serde_json::json;

    #[test]
    fn the_distribution_function_at_known_places() {
        for (z, expected) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.96, 0.024_997_9), (5.0, 1.0)] {
            assert!((cumulative(z) - expected).abs() < 1e-6, "{z}: {}", cumulative(z));
        }
    }

    #[test]
    fn a_density_sums_to_one_and_widths_follow_the_neighbours() {
        let parzen = Parzen::new(vec![0.9, 0.1, 0.2]);
        let widths: Vec<f64> = parzen.parts.iter().map(|p| p.1).collect();
        // 0.1 has 0.1 on either side, at the least 1/5; 0.2 has 0.7 to its right; 0.9 has 0.7.
        let expected = [0.2, 0.7, 0.7, 1.0];
        assert!(widths.iter().zip(expected).all(|(w, e)| (w - e).abs() < 1e-12), "{widths:?}");
        let n = 20_000;
        let at = |i: usize| parzen.log_density((i as f64 + 0.5) / f64::from(n)).exp();
        let sum: f64 = (0..n as usize).map(at).sum::<f64>() / f64::from(n);
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        let mut rng = SeedStream::new(3).rng("parzen", 0);
        assert!((0..2_000).map(|_| parzen.draw(&mut rng)).all(|x| (0.0..=1.0).contains(&x)));
    }

    /// A hill at lr = 1e-3, dim = 64: after the first trials most suggestions are near it.
    #[test]
    fn suggestions_are_drawn_to_what_was_good() {
        let space: Space =
            toml::from_str("lr = {log = [1e-5, 1.0]}\ndim = [16, 32, 64, 128]").unwrap();
        let value = |point: &Point| {
            let (dim, lr) = (point[0].as_f64().unwrap(), point[1].as_f64().unwrap());
            -(lr.log10() + 3.0).abs() - (dim.log2() - 6.0).abs()
        };
        let run = |by_tpe: bool, seed: u64| {
            let mut tried: Vec<(Point, f64)> = Vec::new();
            for n in 0..60 {
                let mut rng = SeedStream::new(seed).rng("suggest", n);
                let seen: Vec<(&Point, f64)> = tried.iter().map(|(p, v)| (p, *v)).collect();
                let point =
                    if by_tpe { suggest(&space, &seen, &mut rng) } else { space.draw(&mut rng) };
                let v = value(&point);
                tried.push((point, v));
            }
            let mean = tried[30..].iter().map(|(_, v)| v).sum::<f64>() / 30.0;
            let best = tried.iter().map(|(_, v)| *v).fold(f64::NEG_INFINITY, f64::max);
            (mean, best)
        };
        let mut ahead = 0;
        for seed in 0..10 {
            let (tpe, random) = (run(true, seed), run(false, seed));
            assert!(tpe.0 > random.0 + 0.5, "seed {seed}: {tpe:?} {random:?}");
            ahead += usize::from(tpe.1 >= random.1);
        }
        assert!(ahead >= 7, "best of 60 at least as good in {ahead} of 10 seeds");
    }

    #[test]
    fn a_list_is_chosen_by_what_was_good() {
        let values = [json!("a"), json!("b"), json!("c")];
        let (good, others) = ([json!("b"), json!("b")], [json!("a"), json!("c"), json!("a")]);
        let mut rng = SeedStream::new(3).rng("choose", 0);
        assert_eq!(choose(&values, &good, &others, &mut rng), json!("b"));
    }
}
