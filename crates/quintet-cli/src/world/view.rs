//! What one modality shows of an item: its theme mixture, confused and blurred.

use anyhow::Result;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Gamma};

use super::{MODALITIES, Modality, SeedStream, World};

/// How one modality of a world shows themes; the same for all its items.
#[derive(Debug, Clone)]
pub(super) struct Lens {
    modality: Modality,
    /// The theme that each theme is confused with; itself where it has no partner.
    partner: Vec<usize>,
    /// The look (hue, pitch, direction …) that belongs to each theme, as a place on the scale of
    /// looks. Shuffled per modality, so that neighbours on one scale are not neighbours on the next.
    pub(super) look: Vec<usize>,
}

impl Lens {
    /// The lens of modality `index` of [`MODALITIES`].
    pub(super) fn new(themes: usize, index: usize, seeds: SeedStream) -> Self {
        let modality = MODALITIES[index];
        let mut look: Vec<usize> = (0..themes).collect();
        look.shuffle(&mut seeds.rng(&format!("world/look/{modality}"), 0));
        Self { modality, partner: partners(themes, index), look }
    }

    /// Number of themes.
    pub(super) fn themes(&self) -> usize {
        self.partner.len()
    }

    /// The view of `item`: non-negative, sums to 1.
    pub(super) fn view(&self, world: &World, item: usize) -> Result<Vec<f32>> {
        let config = &world.config;
        let truth = world.item_themes.row(item);
        let seeds = SeedStream::new(config.seed);
        let mut rng = seeds.rng(&format!("world/view/{}", self.modality), item as u64);
        let chance = dirichlet(truth.len(), 0.5, &mut rng)?;
        let half = config.overlap / 2.0;
        Ok((0..truth.len())
            .map(|k| {
                let confused = (1.0 - half) * truth[k] + half * truth[self.partner[k]];
                (confused + config.noise * chance[k]) / (1.0 + config.noise)
            })
            .collect())
    }
}

/// The themes of round `round` of a round-robin tournament, each with its opponent. Different
/// rounds share no pair; there are `themes - 1` rounds (`themes` when odd, one theme then sits
/// out and is its own partner), after which they repeat.
fn partners(themes: usize, round: usize) -> Vec<usize> {
    let n = themes + themes % 2;
    let wheel = n - 1;
    let round = round % wheel;
    let mut partner: Vec<usize> = (0..themes).collect();
    let mut meet = |a: usize, b: usize| {
        if a < themes && b < themes {
            partner[a] = b;
            partner[b] = a;
        }
    };
    meet(n - 1, round);
    for i in 1..n / 2 {
        meet((round + i) % wheel, (round + wheel - i) % wheel);
    }
    partner
}

/// A random mixture of `n` parts, symmetric Dirichlet with concentration `alpha`.
pub(super) fn dirichlet(n: usize, alpha: f32, rng: &mut impl Rng) -> Result<Vec<f32>> {
    let gamma = Gamma::new(alpha, 1.0)?;
    let mut parts: Vec<f32> = (0..n).map(|_| gamma.sample(rng).max(f32::MIN_POSITIVE)).collect();
    let sum: f32 = parts.iter().sum();
    parts.iter_mut().for_each(|p| *p /= sum);
    Ok(parts)
}

/// `n` themes in random order whose numbers follow `view` as closely as whole numbers allow
/// (systematic sampling: each theme gets its expected number, rounded up or down by chance).
pub(super) fn allocate(view: &[f32], n: usize, rng: &mut impl Rng) -> Vec<usize> {
    let start: f32 = rng.random();
    let mut themes = Vec::with_capacity(n);
    let mut reached = 0.0;
    for (theme, weight) in view.iter().enumerate() {
        reached += weight * n as f32;
        while themes.len() < n && themes.len() as f32 + start < reached {
            themes.push(theme);
        }
    }
    // Rounding may leave the last place open.
    while themes.len() < n {
        themes.push(view.len() - 1);
    }
    themes.shuffle(rng);
    themes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_modality_confuses_other_pairs() {
        for themes in [5, 8, 12] {
            let rounds: Vec<Vec<usize>> = (0..4).map(|m| partners(themes, m)).collect();
            for (m, partner) in rounds.iter().enumerate() {
                let alone = (0..themes).filter(|&k| partner[k] == k).count();
                assert_eq!(alone, themes % 2, "{partner:?}");
                assert!((0..themes).all(|k| partner[partner[k]] == k), "{partner:?}");
                for other in &rounds[..m] {
                    assert!((0..themes).all(|k| partner[k] == k || partner[k] != other[k]));
                }
            }
        }
        assert_eq!(partners(2, 3), [1, 0]);
    }

    #[test]
    fn allocation_follows_the_view() {
        let mut rng = SeedStream::new(3).rng("allocate", 0);
        for _ in 0..50 {
            let themes = allocate(&[0.5, 0.0, 0.3, 0.2], 10, &mut rng);
            let count = |k| themes.iter().filter(|&&t| t == k).count();
            assert_eq!([count(0), count(2), count(3)], [5, 3, 2]);
        }
    }

    #[test]
    fn a_dirichlet_draw_is_a_mixture() {
        let mut rng = SeedStream::new(3).rng("dirichlet", 0);
        for _ in 0..50 {
            let parts = dirichlet(6, 0.5, &mut rng).unwrap();
            assert!(parts.iter().all(|p| (0.0..=1.0).contains(p)));
            assert!((parts.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}
