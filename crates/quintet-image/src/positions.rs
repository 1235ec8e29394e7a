//! Learned positions for another number of patches than they were learned for.

use burn::prelude::*;

/// Positions of `from`² patches, brought to `to`² ones by a cubic over four neighbours on each
/// axis with a = -0.75, as PyTorch's `interpolate(mode="bicubic")` does; the first `kept`
/// positions are those of other tokens and stay. `[kept + from², dim] → [kept + to², dim]`.
pub(crate) fn resampled(positions: Tensor<2>, kept: usize, from: usize, to: usize) -> Tensor<2> {
    if from == to {
        return positions;
    }
    let (device, dim) = (positions.device(), positions.dims()[1]);
    let patches = positions.clone().narrow(0, kept, from * from);
    // Along columns, then along rows: the same weights for both.
    let weights = weights(from, to);
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [to, from]), &device);
    let rows = weights.clone().matmul(patches.reshape([from, from * dim]));
    let rows: Tensor<3> = rows.reshape([to, from, dim]);
    let columns = rows.swap_dims(0, 1).reshape([from, to * dim]);
    let both: Tensor<3> = weights.matmul(columns).reshape([to, to, dim]);
    let patches = both.swap_dims(0, 1).reshape([to * to, dim]);
    Tensor::cat(vec![positions.narrow(0, 0, kept), patches], 0)
}

/// The weight of each of `from` places in each of `to`, `[to, from]`.
fn weights(from: usize, to: usize) -> Vec<f32> {
    let mut all = vec![0.0; to * from];
    let scale = from as f64 / to as f64;
    for (out, row) in all.chunks_exact_mut(from).enumerate() {
        let centre = (out as f64 + 0.5) * scale - 0.5;
        let left = centre.floor();
        for step in -1..=2 {
            let at = left + f64::from(step);
            let place = at.clamp(0.0, (from - 1) as f64) as usize;
            row[place] += cubic(centre - at) as f32;
        }
    }
    all
}

/// Keys' kernel (1981).
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    let x = x.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_the_other_tokens_stay() {
        for (from, to) in [(37, 16), (4, 9), (5, 5)] {
            for row in weights(from, to).chunks_exact(from) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
        let device = Device::flex();
        let constant = Tensor::<2>::full([1 + 16, 3], 2.5, &device);
        let more = resampled(constant, 1, 4, 6);
        assert_eq!(more.dims(), [37, 3]);
        let numbers = more.into_data().try_to_vec::<f32>().unwrap();
        assert!(numbers.iter().all(|x| (x - 2.5).abs() < 1e-5));
    }
}
