//! Items, users and clicks: the part of the world that is known exactly.

use anyhow::Result;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, Gumbel, LogNormal, Normal};
use rayon::prelude::*;

use super::view::dirichlet;
use super::{Click, MODALITIES, Matrix, SeedStream, WorldConfig};

/// First second of the log: 2024-01-01 00:00 UTC.
const START: i64 = 1_704_067_200;
/// Length of the log in seconds: 180 days.
const SPAN: i64 = 180 * 24 * 3600;
/// What the one or two dominant themes of an item hold of its mixture.
const DOMINANT: f32 = 0.85;

/// `[items, themes]`: one or two dominant themes, the rest spread thinly.
pub(super) fn item_mixtures(config: &WorldConfig, seeds: SeedStream) -> Result<Matrix> {
    let mut mixtures = Matrix::zeros(config.items, config.themes);
    for item in 0..config.items {
        let mut rng = seeds.rng("world/item", item as u64);
        let mut themes: Vec<usize> = (0..config.themes).collect();
        themes.shuffle(&mut rng);
        // Half of the items have one dominant theme, half have two.
        let first = if rng.random::<bool>() { 1.0 } else { rng.random_range(0.4f32..0.6) };
        let rest = dirichlet(config.themes, 0.5, &mut rng)?;
        let row = mixtures.row_mut(item);
        for (weight, rest) in row.iter_mut().zip(rest) {
            *weight = (1.0 - DOMINANT) * rest;
        }
        row[themes[0]] += DOMINANT * first;
        row[themes[1]] += DOMINANT * (1.0 - first);
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|w| *w /= sum);
    }
    Ok(mixtures)
}

/// `[users, themes]`: two or three likes, one or two dislikes, the others near zero.
pub(super) fn user_tastes(config: &WorldConfig, seeds: SeedStream) -> Result<Matrix> {
    let near_zero = Normal::new(0.0f32, 0.1)?;
    let mut tastes = Matrix::zeros(config.users, config.themes);
    for user in 0..config.users {
        let mut rng = seeds.rng("world/user", user as u64);
        let mut themes: Vec<usize> = (0..config.themes).collect();
        themes.shuffle(&mut rng);
        let likes = rng.random_range(2..=3usize);
        let dislikes = rng.random_range(1..=2usize);
        let row = tastes.row_mut(user);
        row.iter_mut().for_each(|w| *w = near_zero.sample(&mut rng));
        for (rank, &theme) in themes.iter().take(likes + dislikes).enumerate() {
            let liked = rank < likes;
            row[theme] +=
                if liked { rng.random_range(0.6..1.0) } else { -rng.random_range(0.4f32..0.9) };
        }
    }
    Ok(tastes)
}

/// Log-normal popularity of every item, standardised to mean 0 and variance 1.
pub(super) fn popularity(config: &WorldConfig, seeds: SeedStream) -> Result<Vec<f32>> {
    let heavy = LogNormal::new(0.0f64, 0.75)?;
    let mut rng = seeds.rng("world/popularity", 0);
    let raw: Vec<f64> = (0..config.items).map(|_| heavy.sample(&mut rng)).collect();
    let n = raw.len() as f64;
    let mean = raw.iter().sum::<f64>() / n;
    let variance = raw.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    Ok(raw.iter().map(|v| ((v - mean) / variance.sqrt()) as f32).collect())
}

/// `[users, items]`: `taste · (u · z) + popularity · pop`.
pub(super) fn utility(
    config: &WorldConfig,
    tastes: &Matrix,
    mixtures: &Matrix,
    popularity: &[f32],
) -> Matrix {
    let mut utility = Matrix::zeros(config.users, config.items);
    for user in 0..config.users {
        let likes = tastes.row(user);
        for (item, out) in utility.row_mut(user).iter_mut().enumerate() {
            let fit: f32 = likes.iter().zip(mixtures.row(item)).map(|(u, z)| u * z).sum();
            *out = config.taste * fit + config.popularity * popularity[item];
        }
    }
    utility
}

/// Which items are brand-new: a random share `cold` of them, so that ids tell nothing.
pub(super) fn brand_new(config: &WorldConfig, seeds: SeedStream) -> Vec<bool> {
    let n_cold = (config.cold * config.items as f32).round() as usize;
    let mut cold: Vec<bool> = (0..config.items).map(|item| item < n_cold).collect();
    cold.shuffle(&mut seeds.rng("world/cold", 0));
    cold
}

/// When each user clicks: uniform over the period, strictly increasing within a user. Decided
/// before what is clicked, so that the moment of 90 % of all clicks is known in time.
pub(super) fn click_times(config: &WorldConfig, seeds: SeedStream) -> Result<Vec<Vec<i64>>> {
    let spread = LogNormal::new((config.clicks_per_user as f64).ln(), 0.4)?;
    let low = (config.clicks_per_user as f64 / 4.0).max(1.0);
    // `validate` keeps the median below a fifth of the items, and at least a quarter of them
    // (half of the half that is not brand-new) are there from the start; a user may still be
    // one whose wishes outnumber them, and gets as many clicks as there are items to click.
    let n_cold = (config.cold * config.items as f32).round() as usize;
    let at_start = (config.items - n_cold).div_ceil(2);
    let high = (3.0 * config.clicks_per_user as f64).min(at_start as f64);
    Ok((0..config.users)
        .map(|user| {
            let mut rng = seeds.rng("world/times", user as u64);
            let n = spread.sample(&mut rng).clamp(low, high).round() as usize;
            let mut times: Vec<i64> = (0..n).map(|_| START + rng.random_range(0..SPAN)).collect();
            times.sort_unstable();
            for i in 1..n {
                times[i] = times[i].max(times[i - 1] + 1);
            }
            times
        })
        .collect())
}

/// When each item appears. Half of the ordinary items are there from the start, the others
/// come during the first 80 % of the period; brand-new ones come one second after the click at
/// the 90 % quantile, so that every click on them belongs to the last tenth of all clicks.
pub(super) fn release_times(cold: &[bool], times: &[Vec<i64>], seeds: SeedStream) -> Vec<i64> {
    let mut all: Vec<i64> = times.iter().flatten().copied().collect();
    all.sort_unstable();
    let cut = (9 * all.len()).div_ceil(10).min(all.len().saturating_sub(1));
    let launch = all.get(cut).map_or(START + SPAN, |t| t + 1);
    let mut ordinary: Vec<usize> = (0..cold.len()).filter(|&item| !cold[item]).collect();
    let mut rng = seeds.rng("world/release", 0);
    ordinary.shuffle(&mut rng);
    let mut released = vec![launch; cold.len()];
    for (rank, &item) in ordinary.iter().enumerate() {
        let later = rank >= ordinary.len().div_ceil(2);
        released[item] = if later { START + rng.random_range(0..SPAN / 10 * 8) } else { START };
    }
    released
}

/// What each user clicks: at each moment one item among the released and unseen ones, with
/// probability proportional to exp(utility). The largest of utility plus Gumbel noise is
/// exactly such a draw (Maddison, Tarlow, Minka, "A* Sampling", 2014).
pub(super) fn clicks(
    utility: &Matrix,
    released: &[i64],
    times: &[Vec<i64>],
    seeds: SeedStream,
) -> Result<Vec<Click>> {
    let gumbel = Gumbel::new(0.0f64, 1.0)?;
    let per_user: Vec<Vec<Click>> = times
        .par_iter()
        .enumerate()
        .map(|(user, times)| {
            let mut rng = seeds.rng("world/clicks", user as u64);
            let mut seen = vec![false; released.len()];
            let mut clicks = Vec::with_capacity(times.len());
            for &timestamp in times {
                let mut best: Option<(f64, usize)> = None;
                for (item, &u) in utility.row(user).iter().enumerate() {
                    if seen[item] || released[item] > timestamp {
                        continue;
                    }
                    let key = f64::from(u) + gumbel.sample(&mut rng);
                    if best.is_none_or(|(k, _)| key > k) {
                        best = Some((key, item));
                    }
                }
                if let Some((_, item)) = best {
                    seen[item] = true;
                    clicks.push(Click { user, item, timestamp });
                }
            }
            clicks
        })
        .collect();
    let mut clicks: Vec<Click> = per_user.into_iter().flatten().collect();
    clicks.sort_by_key(|c| (c.timestamp, c.user));
    Ok(clicks)
}

/// Which files each item has.
pub(super) fn presence(config: &WorldConfig, seeds: SeedStream) -> Vec<[bool; 4]> {
    (0..config.items)
        .map(|item| {
            let mut rng = seeds.rng("world/present", item as u64);
            let mut present = [true; MODALITIES.len()];
            for has in &mut present {
                *has = rng.random::<f32>() >= config.missing;
            }
            let kept = rng.random_range(0..MODALITIES.len());
            if present == [false; MODALITIES.len()] {
                present[kept] = true;
            }
            present
        })
        .collect()
}
