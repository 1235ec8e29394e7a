//! Layers of tokens, experts and heads: other parameters and the documented numbers of parameters.

use quintet_core::{Modality, SeedStream};
use quintet_tensor::{Device, FusionShape};
use serde_json::{Value, json};

/// Parameters besides the defaults for the contract suite.
pub(crate) fn parameters() -> Vec<(&'static str, Value)> {
    vec![
        (
            "bottleneck",
            json!({ "tokens": 1, "layers": 3, "heads": 3, "hidden": 3, "dropout": 0.0 }),
        ),
        ("co_training", json!({ "layers": 1, "hidden": 3, "dropout": 0.2 })),
        ("cross_attention", json!({ "layers": 2, "heads": 3, "dropout": 0.0 })),
        ("heads", json!({ "hidden": 6, "dropout": 0.2 })),
        ("moe", json!({ "experts": 3, "top_k": 2, "hidden": 5, "balance_loss": "switch" })),
        ("moe", json!({ "experts": 2, "balance_loss": "switch", "balance": 1.0 })),
        ("moe", json!({ "experts": 2, "balance": 0.0 })),
        ("self_attention", json!({ "layers": 2, "heads": 2, "hidden": 5, "dropout": 0.0 })),
        ("self_attention", json!({ "heads": 3 })),
    ]
}

/// `Σ (2 d_m + d_m d + d)`: norm and projection of every modality.
fn projections(shape: &FusionShape, d: usize) -> usize {
    shape.modalities.iter().map(|(_, w)| 2 * w + w * d + d).sum()
}

/// `4 d D + 3 D + d`.
fn attention(d: usize, heads: usize) -> usize {
    let wide = heads * d.div_ceil(heads);
    4 * d * wide + 3 * wide + d
}

/// `4 d + attention + 2 d f + f + d`.
fn block(d: usize, heads: usize, f: usize) -> usize {
    4 * d + attention(d, heads) + 2 * d * f + f + d
}

#[test]
fn layers_have_as_many_parameters_as_documented() {
    let registry = quintet_fusion::registry().unwrap();
    let d = 5;
    let shape = FusionShape {
        modalities: vec![(Modality::Text, 7), (Modality::Image, 4), (Modality::Audio, 3)],
        d_out: d,
    };
    let m = shape.modalities.len();
    let way_in = projections(&shape, d);
    let cases = [
        // The defaults: 4 heads, a hidden layer of 2 d, 1 layer, 4 shared tokens, 4 experts.
        ("self_attention", json!({}), way_in + m * d + block(d, 4, 2 * d) + d),
        (
            "self_attention",
            json!({ "layers": 3, "heads": 2, "hidden": 6 }),
            way_in + m * d + 3 * block(d, 2, 6) + d,
        ),
        ("cross_attention", json!({}), way_in + m * (2 * d + attention(d, 4)) + d),
        (
            "cross_attention",
            json!({ "layers": 2, "heads": 5 }),
            way_in + 2 * m * (2 * d + attention(d, 5)) + d,
        ),
        ("bottleneck", json!({}), way_in + 4 * d + 2 * m * block(d, 4, 2 * d) + d),
        (
            "moe",
            json!({ "experts": 3, "hidden": 6 }),
            way_in + 3 * ((m * d + m) * 6 + 6 + 6 * d + d) + (m * d + m) * 3 + 3 + d,
        ),
        ("heads", json!({ "hidden": 6 }), projections(&shape, 6) + m * (6 * d + d) + m + d),
        (
            "co_training",
            json!({ "layers": 2, "hidden": 6 }),
            way_in + 2 * (2 * d + 2 * d * 6 + 6 + d) + d,
        ),
    ];
    for (name, params, expected) in cases {
        let build = registry.get(name).unwrap().build;
        let layer = build(&params, &shape, SeedStream::new(1), &Device::flex()).unwrap();
        assert_eq!(layer.n_parameters(), expected, "{name} with {params}");
    }
}
