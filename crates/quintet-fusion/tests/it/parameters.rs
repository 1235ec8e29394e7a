//! The numbers of parameters that the layers' documents state.

use quintet_core::{Modality, SeedStream};
use quintet_tensor::{Device, FusionShape};
use serde_json::{Value, json};

/// Layer norm and linear map of every modality to `width` numbers: `Σ (d_m (width + 2) + width)`.
fn projections(d: &[usize], width: usize) -> usize {
    d.iter().map(|d| d * (width + 2) + width).sum()
}

/// A layer, its parameters, and its number of trained numbers from the widths of the modalities
/// and of the output.
type Documented = (&'static str, Value, fn(&[usize], usize) -> usize);

fn documented() -> Vec<Documented> {
    vec![
        ("attention", json!({ "width": 6 }), |d, out| projections(d, out) + (out + 2) * 6 + out),
        ("bilinear", json!({ "rank": 5 }), |d, out| {
            let m = d.len();
            projections(d, out) + m * (m - 1) * 5 * out + 5 * out + out
        }),
        ("film", json!({}), |d, out| projections(d, out) + 2 * out * out + 3 * out),
        ("hadamard", json!({}), |d, out| projections(d, out) + d.len() * (out * out + out) + out),
        ("lmf", json!({ "rank": 3 }), |d, out| {
            projections(d, out) + d.len() * 3 * (out * out + out) + 3 + 2 * out
        }),
        ("mlp", json!({ "hidden": 10, "layers": 3 }), |d, out| {
            projections(d, 10) + 2 * (10 * 10 + 10) + (10 + 2) * out
        }),
        ("spectrum", json!({}), |d, out| projections(d, out) + 2 * d.len() * (out / 2 + 1) + out),
        ("squeeze_excite", json!({ "reduction": 4 }), |d, out| {
            let whole = d.len() * out;
            let narrow = whole.div_ceil(4);
            projections(d, out) + (whole + 1) * narrow + (narrow + 1) * whole + out
        }),
        ("tensor", json!({ "width": 3 }), |d, out| {
            projections(d, 3) + 4usize.pow(d.len() as u32) * out + out
        }),
    ]
}

#[test]
fn layers_have_as_many_parameters_as_documented() {
    let registry = quintet_fusion::registry().unwrap();
    let shapes = [
        (vec![(Modality::Text, 12), (Modality::Image, 9)], 4),
        (vec![(Modality::Text, 7), (Modality::Audio, 3), (Modality::Place, 2)], 5),
    ];
    for (name, params, formula) in documented() {
        for (modalities, d_out) in &shapes {
            let widths: Vec<usize> = modalities.iter().map(|(_, width)| *width).collect();
            let shape = FusionShape { modalities: modalities.clone(), d_out: *d_out };
            let build = registry.get(name).unwrap().build;
            let layer = build(&params, &shape, SeedStream::new(1), &Device::flex()).unwrap();
            let expected = formula(&widths, *d_out);
            assert_eq!(layer.n_parameters(), expected, "{name} for {widths:?} to {d_out}");
        }
    }
}
