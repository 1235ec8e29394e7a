//! Cross-modal mapping: planted worlds, and parity with scikit-learn, POT, NumPy and PyTorch.

use quintet_core::{FeatureSet, Matrix, Modality, ModalityFeatures, SeedStream};
use quintet_fusion::mapping::{
    Alignment, Completed, DeepCca, DeepCcaParams, Objective, completions, coral, mmd,
};
use quintet_tensor::{matrix_to_tensor, tensor_to_vec};
use quintet_testkit::devices;
use rand_distr::{Distribution, StandardNormal};
use serde_json::{Value, json};

const ITEMS: usize = 240;

/// Text of width 8 and image of width 6 from one latent vector of width 3, with a little noise.
fn planted() -> (Matrix, Matrix) {
    let mut rng = SeedStream::new(11).rng("world", 0);
    let mut draw =
        |n: usize| -> Vec<f32> { (0..n).map(|_| StandardNormal.sample(&mut rng)).collect() };
    let (latent, a, b) = (draw(ITEMS * 3), draw(3 * 8), draw(3 * 6));
    let mut view = |w: &[f32], d: usize| {
        let noise = draw(ITEMS * d);
        let number = |i: usize, c: usize| -> f32 {
            let signal: f32 = (0..3).map(|k| latent[i * 3 + k] * w[k * d + c]).sum();
            signal + 0.1 * noise[i * d + c] + 5.0
        };
        let data = (0..ITEMS).flat_map(|i| (0..d).map(move |c| (i, c))).map(|(i, c)| number(i, c));
        Matrix::from_vec(ITEMS, d, data.collect()).unwrap()
    };
    (view(&a, 8), view(&b, 6))
}

/// Items from 180 on lack the image; the last but one lacks the text instead, the last both.
fn with_gaps() -> FeatureSet {
    let (text, image) = planted();
    let mut set = FeatureSet::new(ITEMS);
    let has_text = (0..ITEMS).map(|i| i < ITEMS - 2).collect();
    let has_image = (0..ITEMS).map(|i| i < 180 || i == ITEMS - 2).collect();
    set.push(ModalityFeatures::new(Modality::Text, text, has_text).unwrap()).unwrap();
    set.push(ModalityFeatures::new(Modality::Image, image, has_image).unwrap()).unwrap();
    set
}

fn complete(name: &str, params: &Value, features: &FeatureSet) -> Completed {
    let registry = completions().unwrap();
    let entry = registry.get(name).unwrap();
    let device = devices().swap_remove(0);
    let train: Vec<u32> = (0..180).collect();
    let completion = (entry.build)(params, SeedStream::new(3), &device).unwrap();
    completion.fit(features, &train).unwrap().complete(features).unwrap()
}

/// Small and quick forms of the trained ones.
fn small(name: &str) -> Value {
    match name {
        "autoencoder" => json!({ "hidden": [32], "epochs": 150, "batch_size": 60, "lr": 0.005 }),
        "cgan" => json!({
            "project": 16, "hidden": 32, "epochs": 150, "batch_size": 60, "lr": 0.002, "hide": 0.5
        }),
        _ => Value::Null,
    }
}

/// Mean squared error on the images that were taken away.
fn error(done: &Completed) -> f64 {
    let (_, truth) = planted();
    let image = &done.features.get(Modality::Image).unwrap().matrix;
    let rows = 180..ITEMS - 2;
    let n = (rows.len() * truth.cols()) as f64;
    let apart = rows.flat_map(|i| image.row(i).iter().zip(truth.row(i)));
    apart.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / n
}

#[test]
fn completion_beats_the_mean_where_views_share_a_latent() {
    let features = with_gaps();
    let mean = error(&complete("mean", &Value::Null, &features));
    // The share of the variance that is left; transport averages neighbours and is coarser.
    for (name, left) in
        [("ridge", 0.02), ("cca", 0.02), ("autoencoder", 0.05), ("cgan", 0.05), ("ot", 0.3)]
    {
        let found = error(&complete(name, &small(name), &features));
        assert!(found < left * mean, "{name}: {found} against the mean's {mean}");
    }
}

#[test]
fn completion_keeps_marks_and_repeats() {
    let features = with_gaps();
    for entry in completions().unwrap().iter() {
        let mut params = small(entry.name);
        if let Some(epochs) = params.get_mut("epochs") {
            *epochs = json!(2);
        }
        let done = complete(entry.name, &params, &features);
        assert_eq!(done, complete(entry.name, &params, &features), "{}", entry.name);
        for (f, (modality, made_up)) in features.iter().zip(&done.made_up) {
            assert_eq!(f.modality, *modality);
            let g = done.features.get(f.modality).unwrap();
            for (i, made_up) in made_up.iter().enumerate().take(ITEMS - 1) {
                assert!(g.present[i] && *made_up != f.present[i], "{}", entry.name);
                assert!(*made_up || f.matrix.row(i) == g.matrix.row(i), "{}", entry.name);
            }
            // With nothing at all there is nothing to go by.
            assert!(!g.present[ITEMS - 1] && !made_up[ITEMS - 1]);
        }
    }
}

#[test]
fn completion_reads_training_items_alone() {
    let features = with_gaps();
    // Images of an item outside the training items: 238 has one.
    let mut moved = FeatureSet::new(ITEMS);
    for f in features.iter() {
        let mut matrix = f.matrix.clone();
        if f.modality == Modality::Image {
            matrix.row_mut(ITEMS - 2).iter_mut().for_each(|v| *v += 100.0);
        }
        moved.push(ModalityFeatures::new(f.modality, matrix, f.present.clone()).unwrap()).unwrap();
    }
    for name in ["mean", "ridge", "cca", "autoencoder", "cgan", "ot"] {
        let mut params = small(name);
        if let Some(epochs) = params.get_mut("epochs") {
            *epochs = json!(2);
        }
        let image = |f| complete(name, &params, f).features.get(Modality::Image).unwrap().clone();
        let (a, b) = (image(&features), image(&moved));
        assert!((180..ITEMS - 2).all(|i| a.matrix.row(i) == b.matrix.row(i)), "{name}");
    }
}

#[test]
fn completion_refuses_what_it_cannot_do() {
    let features = with_gaps();
    let registry = completions().unwrap();
    let device = devices().swap_remove(0);
    for (name, params, words) in [
        ("ridge", json!({ "l2": 0.0 }), "l2 must be above 0"),
        ("cca", json!({ "regularisation": -1.0 }), "regularisation must be above 0"),
        ("ot", json!({ "support": 0 }), "support must be at least 1"),
        ("cgan", json!({ "hide": 0.0 }), "hide must be in (0, 1]"),
        ("autoencoder", json!({ "hidden": [] }), "hidden must be"),
        ("mean", json!({ "k": 1 }), "unknown field"),
    ] {
        let built = (registry.get(name).unwrap().build)(&params, SeedStream::new(1), &device);
        let text = built.err().unwrap().to_string();
        assert!(text.contains(words), "{text}");
    }
    for entry in registry.iter() {
        let built = (entry.build)(&Value::Null, SeedStream::new(1), &device).unwrap();
        // No training item has an image.
        let text = built.fit(&features, &[190, 191]).err().unwrap().to_string();
        assert!(text.contains("image has 0 training rows"), "{}: {text}", entry.name);
        assert!(built.fit(&features, &[ITEMS as u32]).is_err());
    }
}

#[test]
fn alignment_finds_the_other_half_of_held_out_pairs() {
    let (text, image) = planted();
    let mut set = FeatureSet::new(ITEMS);
    let all = vec![true; ITEMS];
    set.push(ModalityFeatures::new(Modality::Text, text, all.clone()).unwrap()).unwrap();
    set.push(ModalityFeatures::new(Modality::Image, image, all).unwrap()).unwrap();
    let train: Vec<u32> = (0..180).collect();
    let held_out: Vec<u32> = (180..ITEMS as u32).collect();
    let device = devices().swap_remove(0);
    for objective in [
        Objective::InfoNce,
        Objective::Coral { weight: 1.0 },
        Objective::Mmd { weight: 0.1, bandwidths: vec![0.25, 0.5, 1.0] },
        Objective::Adversarial { lambda: 0.1, lr: 1e-3 },
    ] {
        let params = Alignment {
            objective: objective.clone(),
            dim: 8,
            epochs: 80,
            lr: 0.01,
            batch_size: 60,
            ..Alignment::default()
        };
        let fit = || params.fit(&set, &train, &held_out, SeedStream::new(5), &device).unwrap();
        let (aligned, report) = fit();
        assert_eq!(report.retrieval.len(), 2);
        for r in &report.retrieval {
            // Chance is 1/60 and 10/60.
            assert_eq!(r.pairs, 60);
            assert!(r.recall_at_1 > 0.7 && r.recall_at_10 > 0.95, "{objective:?}: {r:?}");
        }
        assert!(report.variance.iter().all(|(_, v)| *v > 0.5 && *v <= 1.0), "{report:?}");
        assert!(report.losses.last() < report.losses.first());
        let adversarial = matches!(objective, Objective::Adversarial { .. });
        assert_eq!(report.classifier_accuracy.is_some(), adversarial);
        // Two kinds: chance is one half.
        assert!(report.classifier_accuracy.is_none_or(|a| a < 0.75), "{report:?}");
        let z = aligned.project(&set).unwrap();
        let row = z.get(Modality::Image).unwrap().matrix.row(7);
        assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        let (again, same) = fit();
        assert_eq!((same, again.project(&set).unwrap()), (report, z));
    }
}

#[test]
fn deep_cca_finds_a_correlation_that_no_line_shows() {
    // y = x² + noise: uncorrelated with x, and a function of it.
    let mut rng = SeedStream::new(21).rng("curve", 0);
    let mut draw = || -> f32 { StandardNormal.sample(&mut rng) };
    let x: Vec<f32> = (0..600).map(|_| draw()).collect();
    let y: Vec<f32> = x.iter().map(|x| x * x + 0.1 * draw()).collect();
    let (x, y) = (Matrix::from_vec(600, 1, x).unwrap(), Matrix::from_vec(600, 1, y).unwrap());
    let params = DeepCcaParams {
        components: 1,
        hidden: 16,
        epochs: 150,
        lr: 0.02,
        batch_size: 400,
        ..DeepCcaParams::default()
    };
    let (train, rest): (Vec<u32>, Vec<u32>) = (0..600u32).partition(|&i| i < 400);
    let device = devices().swap_remove(0);
    let fit = || {
        DeepCca::fit(["x", "y"], (&x, &y), &train, &params, SeedStream::new(2), &device).unwrap()
    };
    let found = fit();
    let held = found.held_out_correlations(&x, &y, &rest).unwrap();
    assert!(held[0] > 0.9 && found.correlations()[0] > 0.9, "{held:?}");
    assert_eq!(found.transform_x(&x).unwrap(), fit().transform_x(&x).unwrap());
}

/// Text for all, images for the first 180, sound (two columns of the text, one constant column)
/// for the first 40.
fn three() -> FeatureSet {
    let (text, image) = planted();
    let sound = (0..ITEMS).flat_map(|i| [text.row(i)[0], text.row(i)[1], 4.0]).collect();
    let sound = Matrix::from_vec(ITEMS, 3, sound).unwrap();
    let mut set = FeatureSet::new(ITEMS);
    for (modality, matrix, n) in
        [(Modality::Audio, sound, 40), (Modality::Text, text, ITEMS), (Modality::Image, image, 180)]
    {
        let present = (0..ITEMS).map(|i| i < n).collect();
        set.push(ModalityFeatures::new(modality, matrix, present).unwrap()).unwrap();
    }
    set
}

#[test]
fn three_modalities_complete_each_other() {
    let features = three();
    let sound = &planted().0;
    for name in ["ridge", "cca"] {
        let done = complete(name, &Value::Null, &features);
        let found = done.features.get(Modality::Audio).unwrap();
        // The text says all about the sound, the image less: the weights tell them apart.
        for i in 60..ITEMS {
            let row = found.matrix.row(i);
            assert!((row[0] - sound.row(i)[0]).abs() < 0.6, "{name}: {row:?}");
            assert!((row[2] - 4.0).abs() < 1e-4, "{name}: {row:?}");
        }
    }
    let done = complete("autoencoder", &small("autoencoder"), &features);
    assert!((done.features.get(Modality::Audio).unwrap().matrix.row(200)[2] - 4.0).abs() < 1e-4);
}

#[test]
fn alignment_takes_batches_without_a_modality() {
    let features = three();
    let train: Vec<u32> = (0..180).collect();
    let params = Alignment {
        objective: Objective::Adversarial { lambda: 0.1, lr: 1e-3 },
        dim: 4,
        hidden: 8,
        epochs: 3,
        batch_size: 6,
        ..Alignment::default()
    };
    let device = devices().swap_remove(0);
    let (seed, held_out) = (SeedStream::new(5), [200, 201]);
    let (aligned, report) = params.fit(&features, &train, &held_out, seed, &device).unwrap();
    // Held-out items have text alone: nothing to retrieve.
    assert_eq!(report.retrieval.len(), 6);
    assert!(report.retrieval.iter().all(|r| r.pairs == 0 && r.recall_at_1 == 0.0));
    let z = aligned.project(&features).unwrap();
    for (f, g) in features.iter().zip(z.iter()) {
        assert_eq!((f.modality, &f.present), (g.modality, &g.present));
    }
    let fit = |p: &Alignment, train: &[u32]| {
        p.fit(&features, train, &[], seed, &device).err().unwrap().to_string()
    };
    let text = fit(&params, &[200, 201]);
    assert!(text.contains("image has 0 training rows"), "{text}");
    let zero = Alignment { temperature: 0.0, ..params.clone() };
    assert!(fit(&zero, &train).contains("temperature must be above 0"));
    let none = Objective::Mmd { weight: 1.0, bandwidths: vec![] };
    assert!(fit(&Alignment { objective: none, ..params }, &train).contains("bandwidths"));
}

#[test]
fn distances_of_sets_are_part_of_the_loss() {
    let (text, image) = planted();
    let mut set = FeatureSet::new(ITEMS);
    let all = vec![true; ITEMS];
    set.push(ModalityFeatures::new(Modality::Text, text, all.clone()).unwrap()).unwrap();
    set.push(ModalityFeatures::new(Modality::Image, image, all).unwrap()).unwrap();
    let items: Vec<u32> = (0..ITEMS as u32).collect();
    let device = devices().swap_remove(0);
    let bandwidths = [0.25, 0.5, 1.0];
    let apart = |objective: Objective| {
        let params = Alignment { objective, dim: 4, epochs: 5, lr: 0.01, ..Alignment::default() };
        let (fitted, _) = params.fit(&set, &items, &[], SeedStream::new(5), &device).unwrap();
        let z = fitted.project(&set).unwrap();
        let tensor = |m| matrix_to_tensor(&z.get(m).unwrap().matrix, &device);
        let (a, b) = (tensor(Modality::Text), tensor(Modality::Image));
        let found = [coral(a.clone(), b.clone()), mmd(a, b, &bandwidths)];
        found.map(|d| tensor_to_vec(d).unwrap()[0])
    };
    let plain = apart(Objective::InfoNce);
    let by_coral = apart(Objective::Coral { weight: 1e4 });
    let by_mmd = apart(Objective::Mmd { weight: 1e3, bandwidths: bandwidths.to_vec() });
    assert!(by_coral[0] < 0.8 * plain[0], "{by_coral:?} against {plain:?}");
    assert!(by_mmd[1] < 0.8 * plain[1], "{by_mmd:?} against {plain:?}");
}

#[test]
fn transport_uses_images_of_items_without_text() {
    let features = with_gaps();
    let mut unpaired = FeatureSet::new(ITEMS);
    for f in features.iter() {
        // The first 60 training items have an image and no text.
        let present = f.present.iter().enumerate();
        let present = present.map(|(i, p)| *p && (f.modality == Modality::Image || i >= 60));
        let f = ModalityFeatures::new(f.modality, f.matrix.clone(), present.collect());
        unpaired.push(f.unwrap()).unwrap();
    }
    let (registry, device) = (completions().unwrap(), devices().swap_remove(0));
    let build = registry.get("ot").unwrap().build;
    let fill = |train: std::ops::Range<u32>| {
        let ot = build(&Value::Null, SeedStream::new(3), &device).unwrap();
        let train: Vec<u32> = train.collect();
        ot.fit(&unpaired, &train).unwrap().complete(&unpaired).unwrap()
    };
    let (with, without) = (fill(0..180), fill(60..180));
    assert_ne!(with.features, without.features);
    assert!(error(&with) < error(&without), "more to choose from is better here");
}
