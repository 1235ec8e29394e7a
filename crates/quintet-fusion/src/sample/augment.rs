//! Augmentation: training samples made out of others, on [`Views`].
//!
//! - Modality dropout (Neverova et al., "ModDrop: Adaptive Multi-Modal Gesture Recognition", TPAMI
//!   2016; Wang, Niepert & Li, "LRMM", EMNLP 2018): modalities that are there are hidden, so that a
//!   layer learns to do without.
//! - Mix-up (Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018): `λ x_a + (1 - λ)
//!   x_b` with `λ ~ Beta(α, α)`, in the modalities that both items have; the others stay those of
//!   the first item, so the mask is that of the first item.
//! - Feature noise (Bishop, "Training with Noise is Equivalent to Tikhonov Regularization", Neural
//!   Computation 1995): `x + std · rms(x) · n`, `n ~ N(0, 1)`, relative to the root mean square of
//!   the item's own vector, since scales differ between modalities.
//!
//! All numbers are drawn on the host from the generator that is given, in a fixed order, whatever
//! the masks: the same generator gives the same sample on every device.
//! Cost: one draw a cell of the mask, an item, or a feature; no parameters.

use burn::prelude::*;
use burn::tensor::TensorData;
use quintet_tensor::{FitError, Views, index_tensor};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_distr::{Beta, Distribution, StandardNormal};

/// Hides each modality of each item with probability `rate`. An item that has something keeps
/// something: if all of it would go, the modality with the largest draw stays, so each is as
/// likely as the other. With `may_empty` everything may go.
///
/// # Errors
/// A rate outside `[0, 1)`, or outside `[0, 1]` with `may_empty`.
pub fn modality_dropout(
    views: &Views,
    rate: f32,
    may_empty: bool,
    rng: &mut impl Rng,
) -> Result<Views, FitError> {
    if !((0.0..1.0).contains(&rate) || may_empty && rate == 1.0) {
        let reason = format!("rate is {rate}, expected a probability from 0 to below 1");
        return Err(FitError::Config { model: "modality dropout".into(), reason });
    }
    let [batch, n] = views.mask.dims();
    // Above 0, so that an absent modality, which gets 0 below, is never the largest.
    let draws: Vec<f32> = (0..batch * n).map(|_| 1.0 - rng.random::<f32>()).collect();
    let device = views.mask.device();
    let draws = Tensor::<2>::from_data(TensorData::new(draws, [batch, n]), &device);
    let draws = draws * views.mask.clone();
    let mut kept = draws.clone().greater_elem(rate);
    if !may_empty {
        let largest = draws.clone().max_dim(1).expand([batch, n]);
        kept = kept.bool_or(draws.greater_equal(largest));
    }
    let mask = views.mask.clone() * kept.float();
    Ok(Views::new(views.modalities.clone(), views.features.clone(), mask))
}

/// What [`mix_up`] made.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// The mixed items.
    pub views: Views,
    /// The place of the second item of each.
    pub partners: Vec<usize>,
    /// `λ` of each: the share of the first item, with which targets are to be mixed as well.
    pub lambda: Vec<f32>,
}

/// Mixes every item with another one of the batch, in the modalities that both have. Partners are
/// a random order of the batch, so an item may meet itself.
///
/// # Errors
/// An `alpha` that is not above 0.
pub fn mix_up(views: &Views, alpha: f32, rng: &mut impl Rng) -> Result<Mixed, FitError> {
    let refuse = || FitError::Config {
        model: "mix-up".into(),
        reason: format!("alpha is {alpha}, expected a number above 0"),
    };
    if !(alpha > 0.0 && alpha.is_finite()) {
        return Err(refuse());
    }
    let beta = Beta::new(alpha, alpha).map_err(|_| refuse())?;
    let mut partners: Vec<usize> = (0..views.batch()).collect();
    partners.shuffle(rng);
    let lambda: Vec<f32> = partners.iter().map(|_| beta.sample(rng)).collect();
    let views = mixed(views, &partners, &lambda);
    Ok(Mixed { views, partners, lambda })
}

/// `λ x + (1 - λ) x_partner` in the modalities that both have.
fn mixed(views: &Views, partners: &[usize], lambda: &[f32]) -> Views {
    let device = views.mask.device();
    let places: Vec<u32> = partners.iter().map(|p| *p as u32).collect();
    let places = index_tensor(&places, &device);
    let data = TensorData::new(lambda.to_vec(), [lambda.len(), 1]);
    let lambda = Tensor::<2>::from_data(data, &device);
    let blocks = (0..views.modalities.len()).map(|m| {
        let (own, present) = (views.masked(m), views.present(m));
        let other = own.clone().select(0, places.clone());
        let both = present.clone() * present.select(0, places.clone());
        // 1 where the partner lacks the modality: the first item's vector stays whole.
        let share = (lambda.clone() - 1.0) * both + 1.0;
        own * share.clone() + other * (share.neg() + 1.0)
    });
    Views::new(views.modalities.clone(), blocks.collect(), views.mask.clone())
}

/// Adds noise of `std` times the root mean square of each vector. Absent slots become zeros.
///
/// # Errors
/// A `std` below 0 or not finite.
pub fn feature_noise(views: &Views, std: f32, rng: &mut impl Rng) -> Result<Views, FitError> {
    if !(std >= 0.0 && std.is_finite()) {
        let reason = format!("std is {std}, expected a number from 0");
        return Err(FitError::Config { model: "feature noise".into(), reason });
    }
    let device = views.mask.device();
    let mut noisy = |m: usize| {
        let block = views.masked(m);
        let [batch, dim] = block.dims();
        let draws: Vec<f32> = (0..batch * dim).map(|_| StandardNormal.sample(rng)).collect();
        let draws = Tensor::<2>::from_data(TensorData::new(draws, [batch, dim]), &device);
        // Its gradient is not wanted: noise is no function of the features.
        let rms = block.clone().detach().powi_scalar(2).mean_dim(1).sqrt(); // [batch, 1]
        block + draws * rms * std
    };
    let blocks = (0..views.modalities.len()).map(&mut noisy).collect();
    Ok(Views::new(views.modalities.clone(), blocks, views.mask.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items};
    use quintet_core::{Modality, SeedStream};
    use quintet_tensor::tensor_to_vec;

    fn rng(counter: u64) -> impl Rng {
        SeedStream::new(3).rng("augment", counter)
    }

    fn full(batch: usize, n: usize) -> Views {
        let device = Device::flex();
        let block = |_| Tensor::ones([batch, 2], &device);
        let features = (0..n).map(block).collect();
        Views::new(Modality::ALL[..n].to_vec(), features, Tensor::ones([batch, n], &device))
    }

    #[test]
    fn dropout_hides_at_its_rate_and_never_everything() {
        let views = full(4000, 2);
        let mask = |may_empty, counter| {
            let dropped = modality_dropout(&views, 0.4, may_empty, &mut rng(counter)).unwrap();
            tensor_to_vec(dropped.mask).unwrap()
        };
        let kinds = |mask: &[f32]| {
            let mut counts = [0.0f32; 4];
            for row in mask.chunks_exact(2) {
                counts[(row[0] + 2.0 * row[1]) as usize] += 1.0 / 4000.0;
            }
            counts
        };
        // Nothing .16, one .24, the other .24, both .36; four standard deviations are .03.
        let near = |found: [f32; 4], expected: [f32; 4]| {
            let apart = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
            assert!(apart.fold(0.0, f32::max) < 0.03, "{found:?}, expected {expected:?}");
        };
        near(kinds(&mask(true, 1)), [0.16, 0.24, 0.24, 0.36]);
        // What would be empty keeps one or the other.
        let kept = kinds(&mask(false, 1));
        assert_eq!(kept[0], 0.0);
        near(kept, [0.0, 0.32, 0.32, 0.36]);
        assert_eq!(mask(false, 1), mask(false, 1));
        assert_ne!(mask(false, 1), mask(false, 2));
    }

    #[test]
    fn dropout_brings_nothing_back() {
        let views = four_items(&Device::flex());
        let mask = |rate, may_empty| {
            let dropped = modality_dropout(&views, rate, may_empty, &mut rng(1)).unwrap();
            tensor_to_vec(dropped.mask).unwrap()
        };
        assert_eq!(mask(0.0, false), [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        // Almost everything goes, but each item that had something keeps one thing.
        let most = mask(0.999_999, false);
        assert_eq!(most[0] + most[1], 1.0);
        assert_eq!(most[2..], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(mask(1.0, true), [0.0; 8]);
        let err = modality_dropout(&views, 1.0, false, &mut rng(1)).unwrap_err().to_string();
        assert!(err.contains("rate is 1"), "{err}");
    }

    #[test]
    fn mixing_by_hand() {
        let views = four_items(&Device::flex());
        // Rows: both, text, image, nothing; text (1, 3) and image (1, 1) where present.
        let both = full(4, 2);
        let views = Views::new(
            views.modalities.clone(),
            vec![views.features[0].clone(), both.features[1].clone()],
            views.mask.clone(),
        );
        let mixed = mixed(&views, &[2, 0, 1, 0], &[0.25, 0.5, 0.75, 0.5]);
        // Item 0 with 2: no text in 2, so its own; images 1 and 1. Item 1 with 0: text both alike.
        // Item 2 with 1: nothing in common. Item 3 has nothing, whatever its partner has.
        assert_close(mixed.masked(0), &[1.0, 3.0, 1.0, 3.0, 0.0, 0.0, 0.0, 0.0]);
        assert_close(mixed.masked(1), &[1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(tensor_to_vec(mixed.mask).unwrap(), tensor_to_vec(views.mask).unwrap());
    }

    #[test]
    fn shares_of_a_mixture_are_those_it_tells() {
        let device = Device::flex();
        let features =
            Tensor::<2>::from_floats([[0.0, 100.0], [1.0, 200.0], [2.0, 400.0]], &device);
        let mask = Tensor::ones([3, 1], &device);
        let views = Views::new(vec![Modality::Text], vec![features], mask);
        let Mixed { views: mixture, partners, lambda } = mix_up(&views, 0.4, &mut rng(4)).unwrap();
        let second = [100.0, 200.0, 400.0];
        let mut expected = Vec::new();
        for (a, (&b, &share)) in partners.iter().zip(&lambda).enumerate() {
            assert!((0.0..=1.0).contains(&share));
            expected.push(share * a as f32 + (1.0 - share) * b as f32);
            expected.push(share * second[a] + (1.0 - share) * second[b]);
        }
        let found = tensor_to_vec(mixture.features[0].clone()).unwrap();
        for (f, e) in found.iter().zip(&expected) {
            assert!((f - e).abs() < 1e-3, "{found:?}, expected {expected:?}");
        }
        let mut sorted = partners.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2]);
        let again = mix_up(&views, 0.4, &mut rng(4)).unwrap();
        assert_eq!((again.partners, again.lambda), (partners, lambda));
        for alpha in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let err = mix_up(&views, alpha, &mut rng(4)).unwrap_err().to_string();
            assert!(err.contains(&format!("alpha is {alpha}")), "{err}");
        }
    }

    #[test]
    fn noise_is_relative_and_leaves_absent_slots_alone() {
        let (batch, dim) = (50, 200);
        let device = Device::flex();
        // The root mean square of every row is 1000.
        let features = Tensor::<2>::full([batch, dim], 1000.0, &device);
        let mask = Tensor::ones([batch, 1], &device);
        let views = Views::new(vec![Modality::Text], vec![features], mask);
        let noisy = feature_noise(&views, 0.1, &mut rng(5)).unwrap();
        let apart: Vec<f32> =
            tensor_to_vec(noisy.features[0].clone() - views.features[0].clone()).unwrap();
        let n = apart.len() as f32;
        let mean = apart.iter().sum::<f32>() / n;
        let std = (apart.iter().map(|v| v * v).sum::<f32>() / n).sqrt();
        // 10,000 draws of N(0, 100²): the mean within 4, the deviation within 3 of 100.
        assert!(mean.abs() < 4.0 && (std - 100.0).abs() < 3.0, "{mean} {std}");
        let holes = four_items(&device);
        let noisy = feature_noise(&holes, 0.1, &mut rng(5)).unwrap();
        let text = tensor_to_vec(noisy.features[0].clone()).unwrap();
        assert!(text.iter().all(|v| v.is_finite()) && text[4..] == [0.0; 4], "{text:?}");
        let same = feature_noise(&holes, 0.0, &mut rng(5)).unwrap();
        assert_close(same.masked(0), &[1.0, 3.0, 1.0, 3.0, 0.0, 0.0, 0.0, 0.0]);
        let err = feature_noise(&holes, -1.0, &mut rng(5)).err().unwrap().to_string();
        assert!(err.contains("std is -1"), "{err}");
    }
}
