//! Fusion layers: the mean of normed projections, right and with one fault each.

use burn::prelude::*;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, LayerNorm, Linear, Views, Weight,
    parse_params,
};
use quintet_testkit::check_fusion;
use serde::Deserialize;
use serde_json::Value;

use crate::{device, must_find};

const NONE: u8 = 0;
/// Multiplies absent rows by zero, which NaN survives.
const READS_ABSENT: u8 = 1;
/// Subtracts the mean of the batch.
const BATCH_MATES: u8 = 2;
/// Ignores unknown parameters.
const ANY_PARAMETER: u8 = 3;
/// The right value with twice the gradient.
const GRADIENT: u8 = 4;
/// Divides by the number of present modalities, also when it is zero.
const ALL_ABSENT: u8 = 5;
/// Shares that sum to the number of modalities.
const SHARES: u8 = 6;
/// Two weights with one name.
const NAMES: u8 = 7;
/// Draws its start from somewhere else than the seed.
const SEED: u8 = 8;

struct Toy<const FAULT: u8> {
    modalities: Vec<Modality>,
    blocks: Vec<(LayerNorm, Linear)>,
    prior: Weight,
    d_out: usize,
}

impl<const FAULT: u8> Layer for Toy<FAULT> {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = Vec::new();
        for (m, (norm, linear)) in self.blocks.iter().enumerate() {
            let m = if FAULT == NAMES { 0 } else { m };
            all.extend(norm.weights().into_iter().map(|(n, w)| (format!("{m}.norm.{n}"), w)));
            all.extend(linear.weights().into_iter().map(|(n, w)| (format!("{m}.linear.{n}"), w)));
        }
        all.push(("prior".into(), &self.prior));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = Vec::new();
        for (norm, linear) in &mut self.blocks {
            all.extend(norm.weights_mut());
            all.extend(linear.weights_mut());
        }
        all.push(&mut self.prior);
        all
    }
}

impl<const FAULT: u8> Fusion for Toy<FAULT> {
    fn name(&self) -> &str {
        "toy"
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        assert_eq!(views.modalities, self.modalities);
        let mut sum = Tensor::<2>::zeros([views.batch(), self.d_out], &views.mask.device());
        for (m, (norm, linear)) in self.blocks.iter().enumerate() {
            let x = match FAULT {
                READS_ABSENT => views.features[m].clone() * views.present(m),
                _ => views.masked(m),
            };
            sum = sum + linear.forward(norm.forward(x)) * views.present(m);
        }
        let count = views.mask.clone().sum_dim(1);
        let none = count.clone().lower_elem(0.5).float();
        let divisor = if FAULT == ALL_ABSENT { count } else { count.clamp_min(1.0) };
        let y = sum / divisor + none.matmul(self.prior.tensor());
        match FAULT {
            BATCH_MATES => y.clone() - y.mean_dim(0),
            GRADIENT => y.clone() * 2.0 - y.detach(),
            _ => y,
        }
    }

    fn shares(&self, views: &Views) -> Tensor<2> {
        let count = views.mask.clone().sum_dim(1).clamp_min(1.0);
        let mask = views.mask.clone();
        if FAULT == SHARES { mask } else { mask / count }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

fn build<const FAULT: u8>(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    if FAULT != ANY_PARAMETER || !params.is_object() {
        parse_params::<NoParams>("toy", params)?;
    }
    let seed = if FAULT == SEED {
        use std::sync::atomic::{AtomicU64, Ordering};
        static CALLS: AtomicU64 = AtomicU64::new(0);
        SeedStream::new(CALLS.fetch_add(1, Ordering::Relaxed))
    } else {
        seed
    };
    let blocks = shape.modalities.iter().map(|&(modality, width)| {
        let mut rng = seed.rng("toy", modality as u64);
        (LayerNorm::new(width, device), Linear::new(width, shape.d_out, &mut rng, device))
    });
    Ok(Box::new(Toy::<FAULT> {
        modalities: shape.modalities.iter().map(|(m, _)| *m).collect(),
        blocks: blocks.collect(),
        prior: Weight::new(&Matrix::zeros(1, shape.d_out), device),
        d_out: shape.d_out,
    }))
}

fn entry<const FAULT: u8>() -> FusionEntry {
    FusionEntry { name: "toy", summary: "a mean", build: build::<FAULT> }
}

#[test]
fn a_right_layer_passes() {
    for device in quintet_testkit::devices() {
        check_fusion(&entry::<NONE>(), &device);
    }
}

#[test]
fn every_fault_is_found() {
    let d = device();
    let says = [
        (entry::<READS_ABSENT>(), "reads absent slots", "absent slots are read: they hold NaN"),
        (entry::<BATCH_MATES>(), "reads batch mates", "batch mates matter"),
        (entry::<ANY_PARAMETER>(), "ignores typos", "an unknown parameter was accepted"),
        (entry::<GRADIENT>(), "wrong gradient", "away from central differences"),
        (entry::<ALL_ABSENT>(), "0 / 0", "output of an item with nothing"),
        (entry::<SHARES>(), "shares do not sum to 1", "sum to"),
        (entry::<NAMES>(), "two weights of one name", "equal names"),
        (entry::<SEED>(), "ignores the seed", "the same seed gives other start values"),
    ];
    for (entry, fault, says) in says {
        must_find(fault, || check_fusion(&entry, &d), says);
    }
}
