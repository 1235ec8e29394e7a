//! Gradients of fusion layers against central differences.

use burn::prelude::*;
use quintet_core::Matrix;
use quintet_tensor::{Fusion, matrix_to_tensor, tensor_to_vec};

use crate::compare::assert_finite;
use crate::fusion::{Case, scatter};
use crate::views::{Batch, random_tensor};

/// Step of the differences. In `f32` the rounding of a difference costs about `1e-7 / STEP`; with
/// two steps to each side the error of the curve is of the order `STEP⁴`.
const STEP: f32 = 2e-2;

/// Slopes over one and two steps that differ by more cross a corner.
const KINK: f64 = 1e-3;

/// Allowed length of the difference of two gradients, relative to their lengths.
const RELATIVE: f64 = 1e-3;

/// Added to it, for weights that have almost no gradient.
const ABSOLUTE: f64 = 1e-3;

/// Compares the gradient of `Σ r ∘ y`, `r` random, with differences, for every weight; and
/// checks that nothing flows back into absent slots.
pub(crate) fn check_gradients(case: &Case<'_>) {
    let title = &case.title;
    let dev = case.device.clone().autodiff();
    let batch = Batch::every_subset(&case.shape, 11);
    let direction = random_tensor([batch.len(), case.shape.d_out], 1.0, 12, &dev);
    let mut tracked = case.build(1, &dev);
    scatter(&mut *tracked, &dev);

    // Absent slots hold NaN: gradients must be finite all the same.
    let views = batch.fill_absent(|| f32::NAN).tracked_views(&dev);
    let grads = (tracked.forward(&views) * direction.clone()).sum().backward();
    for (m, block) in views.features.iter().enumerate() {
        let Some(grad) = block.grad(&grads) else {
            panic!("{title}: no gradient flows back into the {} features", batch.modalities[m]);
        };
        let grad = tensor_to_vec(grad).unwrap();
        feature_gradients(title, &batch, m, &grad);
    }

    let mut plain = case.build(1, case.device);
    scatter(&mut *plain, case.device);
    let views = batch.views(case.device);
    let direction: Vec<f32> = tensor_to_vec(direction.inner()).unwrap();
    let objective = |layer: &dyn Fusion| -> f64 {
        let y = tensor_to_vec(layer.forward(&views)).unwrap();
        y.iter().zip(&direction).map(|(y, r)| f64::from(*y) * f64::from(*r)).sum()
    };
    for (i, (name, weight)) in tracked.weights().into_iter().enumerate() {
        let found = match weight.tensor().grad(&grads) {
            Some(grad) => tensor_to_vec(grad).unwrap(),
            // Not in the graph: the differences must then be zero.
            None => vec![0.0; weight.dims()[0] * weight.dims()[1]],
        };
        assert_finite(title, &format!("gradient of {name}"), &found);
        let expected = differences(&mut *plain, i, case.device, &objective);
        compare(title, &name, &expected, &found);
    }
}

fn feature_gradients(title: &str, batch: &Batch, m: usize, grad: &[f32]) {
    let modality = batch.modalities[m];
    let width = batch.blocks[m].cols();
    assert_finite(title, &format!("gradient of the {modality} features"), grad);
    for (row, values) in grad.chunks_exact(width).enumerate() {
        assert!(
            batch.mask[row][m] || values.iter().all(|v| *v == 0.0),
            "{title}: a gradient flows into absent {modality} features"
        );
    }
}

/// Central differences of fourth order of `objective` for every number of weight `i`.
fn differences(
    layer: &mut dyn Fusion,
    i: usize,
    device: &Device,
    objective: &dyn Fn(&dyn Fusion) -> f64,
) -> Vec<f64> {
    let start: Matrix = layer.weights()[i].1.to_matrix().unwrap();
    let mut moved = start.clone();
    let mut all = Vec::with_capacity(start.as_slice().len());
    for place in 0..start.as_slice().len() {
        let value = start.as_slice()[place];
        let mut at = |offset: f32| {
            moved.as_mut_slice()[place] = value + offset;
            layer.weights_mut()[i].set(matrix_to_tensor(&moved, device));
            objective(&*layer)
        };
        let mut slope = |step: f32| {
            // Over the steps that were taken, after rounding.
            let taken = f64::from(value + step) - f64::from(value - step);
            (at(step) - at(-step)) / taken
        };
        let (near, far) = (slope(STEP), slope(2.0 * STEP));
        let kink = (near - far).abs() > KINK * (1.0 + near.abs());
        // The error of a central difference grows with the square of the step: of two of them it
        // cancels (Richardson). At the corner of a ReLU a short step meets the corner less often.
        all.push(if kink { slope(STEP / 16.0) } else { (4.0 * near - far) / 3.0 });
        moved.as_mut_slice()[place] = value;
    }
    layer.weights_mut()[i].set(matrix_to_tensor(&start, device));
    all
}

fn compare(title: &str, name: &str, expected: &[f64], found: &[f32]) {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart = length(&mut expected.iter().zip(found).map(|(e, f)| e - f64::from(*f)));
    let lengths =
        length(&mut expected.iter().copied()) + length(&mut found.iter().map(|f| f64::from(*f)));
    let allowed = RELATIVE * lengths / 2.0 + ABSOLUTE;
    assert!(
        apart <= allowed,
        "{title}: the gradient of {name} is {apart:.2e} away from central differences, allowed \
         are {allowed:.2e}; expected {expected:.4?}, found {found:.4?}"
    );
}
