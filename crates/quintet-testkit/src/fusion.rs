//! The contract of fusion layers.

use std::collections::BTreeSet;

use burn::prelude::*;
use quintet_core::{Modality, ModelState, SeedStream};
use quintet_tensor::{
    Adam, AdamConfig, FitError, Fusion, FusionEntry, FusionShape, Views, load_weights,
    save_weights, tensor_to_vec,
};
use rand::RngExt;
use serde_json::{Value, json};

use crate::compare::{CLOSE, assert_close, assert_finite, assert_rerun};
use crate::gradient::check_gradients;
use crate::views::{Batch, random_tensor};

/// A layer under test.
pub(crate) struct Case<'a> {
    pub(crate) entry: &'a FusionEntry,
    pub(crate) params: &'a Value,
    pub(crate) shape: FusionShape,
    pub(crate) device: &'a Device,
    pub(crate) title: String,
}

impl Case<'_> {
    pub(crate) fn build(&self, seed: u64, device: &Device) -> Box<dyn Fusion> {
        (self.entry.build)(self.params, &self.shape, SeedStream::new(seed), device)
            .unwrap_or_else(|e| panic!("{}: cannot be built: {e}", self.title))
    }

    fn forward(&self, layer: &dyn Fusion, batch: &Batch) -> Vec<f32> {
        let y = layer.forward(&batch.views(self.device));
        assert_eq!(
            y.dims(),
            [batch.len(), self.shape.d_out],
            "{}: shape of the output",
            self.title
        );
        tensor_to_vec(y).unwrap_or_else(|e| panic!("{}: {e}", self.title))
    }
}

/// Runs the contract of [`Fusion`] with the default parameters.
///
/// # Panics
/// When the contract is broken; the message names the layer, the device and the rule.
pub fn check_fusion(entry: &FusionEntry, device: &Device) {
    check_fusion_with(entry, &Value::Null, device);
    // Other numbers of modalities, for which parameters by modality would not fit.
    let all = [(Modality::Place, 5), (Modality::Video, 8)];
    let widths = [(Modality::Text, 12), (Modality::Image, 9), (Modality::Audio, 6)];
    let five: Vec<_> = widths.into_iter().chain(all.into_iter().rev()).collect();
    for modalities in [five, vec![(Modality::Image, 7)]] {
        let case = Case {
            entry,
            params: &Value::Null,
            title: format!("fusion {} on {device:?}, {} modalities", entry.name, modalities.len()),
            shape: FusionShape { modalities, d_out: 5 },
            device,
        };
        shapes_and_finiteness(&case);
        absent_slots_are_not_read(&case);
    }
}

/// As [`check_fusion`] with parameters, on text, image and audio features only.
///
/// # Panics
/// As [`check_fusion`].
pub fn check_fusion_with(entry: &FusionEntry, params: &Value, device: &Device) {
    let modalities = vec![(Modality::Text, 12), (Modality::Image, 9), (Modality::Audio, 6)];
    let case = Case {
        entry,
        params,
        shape: FusionShape { modalities, d_out: 4 },
        device,
        title: format!("fusion {} on {device:?}", entry.name),
    };
    parameters(&case);
    names_of_weights(&case);
    shapes_and_finiteness(&case);
    absent_slots_are_not_read(&case);
    single_modalities_are_read(&case);
    batch_mates_do_not_matter(&case);
    order_of_modalities_does_not_matter(&case);
    training_step(&case);
    shares(&case);
    seed_and_state(&case);
    check_gradients(&case);
    small_world_is_learned(&case);
}

fn parameters(case: &Case<'_>) {
    let title = &case.title;
    let build = |p: &Value| {
        (case.entry.build)(p, &case.shape, SeedStream::new(1), case.device).map(|layer| {
            assert_eq!(layer.name(), case.entry.name, "{title}: name of the layer and its entry");
            assert_eq!(layer.d_out(), case.shape.d_out, "{title}: d_out()");
        })
    };
    for defaults in [Value::Null, json!({})] {
        build(&defaults).unwrap_or_else(|e| panic!("{title}: {defaults} must mean defaults: {e}"));
    }
    match build(&json!({ "no_such_parameter": 1 })) {
        Err(e @ FitError::Config { .. }) => assert!(
            e.to_string().contains("no_such_parameter"),
            "{title}: the error for an unknown parameter must name it, found {e}"
        ),
        Err(e) => panic!("{title}: an unknown parameter must be FitError::Config, found {e:?}"),
        Ok(()) => panic!("{title}: an unknown parameter was accepted"),
    }
    assert!(build(&json!("text")).is_err(), "{title}: parameters that are a string were accepted");
}

/// The weights are saved by name and stepped by order.
fn names_of_weights(case: &Case<'_>) {
    let title = &case.title;
    let mut layer = case.build(1, case.device);
    let listed: Vec<(String, [usize; 2])> =
        layer.weights().into_iter().map(|(n, w)| (n, w.dims())).collect();
    let names: BTreeSet<&String> = listed.iter().map(|(n, _)| n).collect();
    assert_eq!(names.len(), listed.len(), "{title}: weights with equal names in {listed:?}");
    let count = layer.weights_mut().len();
    assert_eq!(count, listed.len(), "{title}: weights() and weights_mut() differ in number");
    for (i, (name, dims)) in listed.iter().enumerate() {
        let marked = random_tensor(*dims, 1.0, 90 + i as u64, case.device);
        assert_eq!(layer.weights_mut()[i].dims(), *dims, "{title}: order of weights_mut(), {name}");
        layer.weights_mut()[i].set(marked.clone());
        let read = layer.weights()[i].1.tensor();
        let (a, b) = (tensor_to_vec(marked).unwrap(), tensor_to_vec(read.inner()).unwrap());
        assert_eq!(a, b, "{title}: weights() and weights_mut() have another order at {name}");
    }
}

fn shapes_and_finiteness(case: &Case<'_>) {
    let layer = case.build(1, case.device);
    let batch = Batch::every_subset(&case.shape, 2);
    let y = case.forward(&*layer, &batch);
    for (row, values) in y.chunks_exact(case.shape.d_out).enumerate() {
        let what = format!("output of an item with {}", batch.describe(row));
        assert_finite(&case.title, &what, values);
    }
}

fn absent_slots_are_not_read(case: &Case<'_>) {
    let layer = case.build(1, case.device);
    let batch = Batch::every_subset(&case.shape, 3);
    let expected = case.forward(&*layer, &batch.fill_absent(|| 0.0));
    let mut rng = SeedStream::new(4).rng("noise", 0);
    let fillings = [
        ("noise", batch.fill_absent(|| rng.random_range(-1e3..1e3))),
        ("NaN", batch.fill_absent(|| f32::NAN)),
        ("infinity", batch.fill_absent(|| f32::INFINITY)),
    ];
    for (filling, filled) in fillings {
        let found = case.forward(&*layer, &filled);
        let rows =
            expected.chunks_exact(case.shape.d_out).zip(found.chunks_exact(case.shape.d_out));
        for (row, (expected, found)) in rows.enumerate() {
            let what = format!(
                "absent slots are read: they hold {filling} instead of zeros, and the output of \
                 an item with {} changes",
                batch.describe(row)
            );
            assert_rerun(&case.title, &what, expected, found, case.device);
        }
    }
}

fn single_modalities_are_read(case: &Case<'_>) {
    let layer = case.build(1, case.device);
    let n = case.shape.modalities.len();
    for m in 0..n {
        let mask = vec![(0..n).map(|other| other == m).collect(); 2];
        let batch = Batch::random(&case.shape, mask, 5);
        let y = case.forward(&*layer, &batch);
        assert_finite(&case.title, &format!("output of {} alone", batch.describe(0)), &y);
        assert!(
            y[..case.shape.d_out] != y[case.shape.d_out..],
            "{}: two items with different {} features and nothing else have one vector",
            case.title,
            batch.describe(0)
        );
    }
}

fn batch_mates_do_not_matter(case: &Case<'_>) {
    let layer = case.build(1, case.device);
    let batch = Batch::every_subset(&case.shape, 6);
    let width = case.shape.d_out;
    let y = case.forward(&*layer, &batch);
    let reversed: Vec<usize> = (0..batch.len()).rev().collect();
    let z = case.forward(&*layer, &batch.select(&reversed));
    for row in 0..batch.len() {
        let expected = &y[row * width..(row + 1) * width];
        let place = batch.len() - 1 - row;
        let what =
            format!("batch mates matter: item with {} in another order", batch.describe(row));
        assert_close(&case.title, &what, expected, &z[place * width..(place + 1) * width], CLOSE);
        let alone = case.forward(&*layer, &batch.select(&[row]));
        let what = format!("batch mates matter: item with {} alone", batch.describe(row));
        assert_close(&case.title, &what, expected, &alone, CLOSE);
    }
}

fn order_of_modalities_does_not_matter(case: &Case<'_>) {
    let layer = case.build(1, case.device);
    let views = Batch::every_subset(&case.shape, 13).views(case.device);
    let turned = Views::new(
        views.modalities.iter().rev().copied().collect(),
        views.features.iter().rev().cloned().collect(),
        views.mask.clone().flip([1]),
    );
    let run = |views: &Views| tensor_to_vec(layer.forward(views)).unwrap();
    let what = "the order in which a caller names the modalities matters";
    assert_rerun(&case.title, what, &run(&views), &run(&turned), case.device);
}

/// Dropout, penalties and heads: finite, from the generator alone, blind to absent slots.
fn training_step(case: &Case<'_>) {
    let title = &case.title;
    let layer = case.build(1, case.device);
    let batch = Batch::every_subset(&case.shape, 14);
    let step = |batch: &Batch| {
        let mut rng = SeedStream::new(15).rng("step", 0);
        let fused = layer.forward_train(&batch.views(case.device), &mut rng);
        let expected = [batch.len(), case.shape.d_out];
        assert_eq!(fused.vectors.dims(), expected, "{title}: shape of the output in training");
        let heads = fused.heads.len();
        assert!(
            heads == 0 || heads == case.shape.modalities.len(),
            "{title}: {heads} heads for {} modalities",
            case.shape.modalities.len()
        );
        let mut all = tensor_to_vec(fused.vectors).unwrap();
        all.extend(fused.penalty.map_or_else(Vec::new, |p| tensor_to_vec(p).unwrap()));
        for (m, head) in fused.heads.into_iter().enumerate() {
            assert_eq!(head.dims(), expected, "{title}: shape of head {m}");
            let values = tensor_to_vec(head).unwrap();
            let rows = values.chunks_exact(case.shape.d_out).zip(&batch.mask);
            rows.filter(|(_, mask)| mask[m]).for_each(|(row, _)| all.extend(row));
        }
        assert_finite(title, "a step of training", &all);
        all
    };
    let first = step(&batch.fill_absent(|| 0.0));
    let again = step(&batch.fill_absent(|| f32::NAN));
    let what = "a step of training reads absent slots, or draws from another generator";
    assert_rerun(title, what, &first, &again, case.device);
}

fn shares(case: &Case<'_>) {
    let layer = case.build(1, case.device);
    let batch = Batch::every_subset(&case.shape, 7).fill_absent(|| f32::NAN);
    let shares = layer.shares(&batch.views(case.device));
    let n = case.shape.modalities.len();
    let title = &case.title;
    assert_eq!(shares.dims(), [batch.len(), n], "{title}: shape of the shares");
    let shares = tensor_to_vec(shares).unwrap_or_else(|e| panic!("{title}: {e}"));
    for (row, values) in shares.chunks_exact(n).enumerate() {
        let who = format!("shares {values:?} of an item with {}", batch.describe(row));
        let expected = f32::from(u8::from(batch.mask[row].contains(&true)));
        let sum: f32 = values.iter().sum();
        assert!((sum - expected).abs() < 1e-4, "{title}: {who} sum to {sum}, not {expected}");
        for (share, present) in values.iter().zip(&batch.mask[row]) {
            assert!(*share >= 0.0, "{title}: {who} are negative");
            assert!(*present || *share == 0.0, "{title}: {who} give to what is absent");
        }
    }
}

fn seed_and_state(case: &Case<'_>) {
    let title = &case.title;
    let batch = Batch::every_subset(&case.shape, 8);
    let state_of = |layer: &dyn Fusion| {
        let mut state = ModelState::new("fusion");
        save_weights(layer, "f.", &mut state).unwrap_or_else(|e| panic!("{title}: save: {e}"));
        state
    };
    let (first, again) = (case.build(1, case.device), case.build(1, case.device));
    let same = state_of(&*first) == state_of(&*again);
    assert!(same, "{title}: the same seed gives other start values");
    let (a, b) = (case.forward(&*first, &batch), case.forward(&*again, &batch));
    assert_rerun(title, "the same seed gives another output", &a, &b, case.device);

    let mut moved = case.build(1, case.device);
    scatter(&mut *moved, case.device);
    let expected = case.forward(&*moved, &batch);
    let state = state_of(&*moved);
    let mut loaded = case.build(2, case.device);
    load_weights(&mut *loaded, "f.", &state, case.device)
        .unwrap_or_else(|e| panic!("{title}: load: {e}"));
    let found = case.forward(&*loaded, &batch);
    assert_rerun(title, "saved and loaded, the output changes", &expected, &found, case.device);
}

/// Moves every weight to a point without special values: zeros at the start would hide errors.
pub(crate) fn scatter(layer: &mut dyn Fusion, device: &Device) {
    for (i, weight) in layer.weights_mut().into_iter().enumerate() {
        let noise = random_tensor(weight.dims(), 0.3, 50 + i as u64, device);
        weight.set(weight.tensor().detach() + noise);
    }
}

/// Eight items, random targets: the loss must fall by more than 90 %.
fn small_world_is_learned(case: &Case<'_>) {
    const STEPS: usize = 400;
    let title = &case.title;
    let dev = case.device.clone().autodiff();
    let n = case.shape.modalities.len();
    // Five items have everything, the others lack one modality each.
    let mask = (0..8).map(|i| (0..n).map(|m| i < 5 || (i - 5) % n != m).collect()).collect();
    let batch = Batch::random(&case.shape, mask, 9);
    let (views, target) = (batch.views(&dev), random_tensor([8, case.shape.d_out], 0.7, 10, &dev));
    let mut layer = case.build(1, &dev);
    let mut adam = Adam::new(AdamConfig::new(0.02));
    let loss_of =
        |layer: &dyn Fusion| (layer.forward(&views) - target.clone()).powi_scalar(2).mean();
    let number = |loss: Tensor<1>| tensor_to_vec(loss.inner()).unwrap()[0];
    let first = number(loss_of(&*layer));
    for step in 0..STEPS {
        let loss = loss_of(&*layer);
        let value = number(loss.clone());
        assert!(value.is_finite(), "{title}: the loss of a small world is {value} in step {step}");
        adam.step(&mut *layer, &mut loss.backward());
    }
    let last = number(loss_of(&*layer));
    assert!(
        last < 0.1 * first,
        "{title}: eight items are not learned: the loss falls from {first} to {last} in {STEPS} \
         steps, and should fall by 90 %"
    );
}
