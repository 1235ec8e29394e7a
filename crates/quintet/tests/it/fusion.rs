//! Comparing fusions, taking modalities away, making vectors up.

use std::path::Path;
use std::time::Duration;

use quintet::Registries;
use quintet::core::{FeatureSet, ItemIdx, Matrix, Modality, ModalityFeatures, UserIdx};
use quintet::data::{Dataset, Event, Item, User};
use quintet::pipeline::{
    FusionRequest, PipelineError, Prepared, RunConfig, compare_fusions, evaluate_models, prepare,
    remove_modalities, train_models,
};
use quintet::tensor::Device;
use quintet::train::Silent;

const ITEMS: usize = 24;

/// 48 users and 24 items in two groups; users take 9 of the 12 items of their own group.
fn dataset() -> Dataset {
    let mut events = Vec::new();
    for user in 0..48u32 {
        for nth in 0..9 {
            let item = ItemIdx(2 * ((user / 2 + nth) % 12) + user % 2);
            let user = UserIdx(user);
            let timestamp = Some(i64::from(nth));
            events.push(Event { user, item, event: "e", value: 1.0, timestamp, part: None });
        }
    }
    let user = |u| User { id: format!("u{u}"), ..User::default() };
    let item = |i| Item { id: format!("i{i}"), ..Item::default() };
    Dataset {
        name: "t".into(),
        users: (0..48).map(user).collect(),
        items: (0..ITEMS).map(item).collect(),
        events: events.into_iter().collect(),
        ..Dataset::default()
    }
}

/// Text shows the group, image twice as loudly and turned; items 4 and 5 have no image.
fn features() -> FeatureSet {
    let mut set = FeatureSet::new(ITEMS);
    let wave = |i: usize, c: usize| (1.7 * i as f32 + c as f32).sin() * 0.1;
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let mut add = |modality, width: usize, loud: f32, present: Vec<bool>| {
        let data = (0..ITEMS)
            .flat_map(|i| (0..width).map(move |c| loud * (sign(i) * (c as f32 - 1.0) + wave(i, c))))
            .collect();
        let matrix = Matrix::from_vec(ITEMS, width, data).unwrap();
        set.push(ModalityFeatures::new(modality, matrix, present).unwrap()).unwrap();
    };
    add(Modality::Text, 4, 1.0, vec![true; ITEMS]);
    add(Modality::Image, 3, 2.0, (0..ITEMS).map(|i| i != 4 && i != 5).collect());
    set
}

const RUN: &str = "[split]\nstrategy = \"leave_one_out\"\n[train]\nepochs = 3\npatience = 3\n\
                   [evaluate]\nresamples = 200\n[[models]]\nmodel = \"two_tower\"\n\
                   params = { dim = 4, lr = 0.02 }\n";

fn config(dir: &Path, more: &str) -> RunConfig {
    let text = format!(
        "name = \"t\"\n[ingest]\ntables.interactions = [{{ path = \"x.csv\", columns = {{}} }}]\n\
         {RUN}[[features]]\nmodality = \"text\"\nnpy = \"t.npy\"\nids = {{ from = \"item_is_row\" }}\n\
         [[features]]\nmodality = \"image\"\nnpy = \"i.npy\"\nids = {{ from = \"item_is_row\" }}\n\
         {more}\n"
    );
    std::fs::write(dir.join("run.toml"), text).unwrap();
    RunConfig::read(&dir.join("run.toml")).unwrap()
}

fn made(more: &str) -> (RunConfig, Result<Prepared, PipelineError>) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), more);
    let prepared = prepare(&config, dataset(), features(), None);
    (config, prepared)
}

fn request(layers: &[&str], seeds: usize) -> FusionRequest {
    FusionRequest {
        model: "two_tower".into(),
        layers: layers.iter().map(|l| (*l).to_owned()).collect(),
        seeds,
        budget: None,
        open_test: false,
        kept: None,
    }
}

#[test]
fn every_layer_and_single_modality_has_a_row_and_one_is_chosen() {
    let (config, prepared) = made("");
    let (prepared, known) = (prepared.unwrap(), Registries::new().unwrap());
    let run = |request: &FusionRequest| {
        compare_fusions(&config, &prepared, &known, &Device::flex(), request, &mut Silent)
    };
    let table = run(&request(&["gated", "concat"], 2)).unwrap();
    let mut labels: Vec<&str> = table.rows.iter().map(|r| r.label.as_str()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["concat", "gated", "image alone", "text alone"]);
    assert!(table.rows.iter().all(|r| r.seeds == 2 && r.test.is_none() && r.parameters > 0));
    assert!(table.rows.windows(2).all(|w| w[0].valid.mean >= w[1].valid.mean));
    assert_eq!((table.valid_users, table.test_users), (48, 0));
    let of = |label: &str| table.rows.iter().find(|r| r.label == label).unwrap();
    assert!(of("concat").against_concat.is_none());
    let paired = of("gated").against_concat.as_ref().unwrap();
    let difference = of("gated").valid.mean - of("concat").valid.mean;
    assert!((paired.difference.mean - difference).abs() < 1e-12);
    assert!((0.0..=1.0).contains(&paired.p));
    // The cheapest of those that cannot be told from the best.
    let choice = table.choice.as_ref().unwrap();
    assert_eq!(choice.best, table.rows[0].label);
    assert!(choice.given_up.lower <= 0.0 && choice.level >= 1);
    assert!(of(&choice.label).parameters <= table.rows[0].parameters);
    // Equal seeds, equal numbers; the test part is opened only when asked for.
    let again =
        run(&FusionRequest { open_test: true, ..request(&["gated", "concat"], 2) }).unwrap();
    for (a, b) in table.rows.iter().zip(&again.rows) {
        assert_eq!((&a.label, a.valid.mean), (&b.label, b.valid.mean));
        assert!(b.test.is_some());
    }
}

#[test]
fn fits_are_kept_and_made_once() {
    let (config, prepared) = made("");
    let (prepared, known) = (prepared.unwrap(), Registries::new().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("fusion/fits.jsonl");
    let wanted = |layers: &[&str], seeds, open_test| FusionRequest {
        open_test,
        kept: Some(kept.clone()),
        ..request(layers, seeds)
    };
    let run = |config: &RunConfig, request: &FusionRequest| {
        compare_fusions(config, &prepared, &known, &Device::flex(), request, &mut Silent)
    };
    let made = |request: &FusionRequest| {
        let table = run(&config, request).unwrap();
        (table.known, table.fitted)
    };
    // Concatenation and two modalities alone, then one layer more, then one seed more.
    assert_eq!(made(&wanted(&["concat"], 1, false)), (0, 3));
    assert_eq!(made(&wanted(&["concat", "gated"], 1, false)), (3, 1));
    assert_eq!(made(&wanted(&["concat", "gated"], 2, false)), (4, 4));
    // A time that is over ends no table whose fits are there.
    let over = FusionRequest { budget: Some(Duration::ZERO), ..wanted(&["concat"], 3, false) };
    let table = run(&config, &over).unwrap();
    assert_eq!((table.known, table.fitted, table.not_run.len()), (6, 0, 0));
    assert!(table.rows.iter().all(|r| r.seeds == 2));
    // What was not measured is not there; the numbers are those of a comparison without a file.
    assert_eq!(made(&wanted(&["concat"], 1, true)), (0, 3));
    let table = run(&config, &wanted(&["concat", "gated"], 2, false)).unwrap();
    let plain = run(&config, &request(&["concat", "gated"], 2)).unwrap();
    assert_eq!((table.known, plain.fitted), (8, 8));
    for (a, b) in table.rows.iter().zip(&plain.rows) {
        assert_eq!((&a.label, a.valid, a.parameters), (&b.label, b.valid, b.parameters));
    }
    // Other settings are other fits; a file that is no log is named.
    let mut other = config.clone();
    other.train.epochs += 1;
    assert_eq!(run(&other, &wanted(&["concat"], 1, false)).unwrap().fitted, 3);
    let text = std::fs::read_to_string(&kept).unwrap().replace("\"seed\"", "\"sede\"");
    std::fs::write(&kept, text).unwrap();
    let error = run(&config, &wanted(&["concat"], 1, false)).map(drop).unwrap_err().to_string();
    assert!(error.contains("fits.jsonl, line 1"), "{error}");
}

#[test]
fn a_budget_is_kept_and_mistakes_are_named() {
    let (config, prepared) = made("");
    let (prepared, known) = (prepared.unwrap(), Registries::new().unwrap());
    let run = |request: &FusionRequest| {
        compare_fusions(&config, &prepared, &known, &Device::flex(), request, &mut Silent)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let none = FusionRequest { budget: Some(Duration::ZERO), ..request(&["concat"], 1) };
    assert!(run(&none).contains("the budget ended before the first fit"));
    assert!(run(&request(&["gatde"], 1)).contains("gatde"));
    let text = run(&request(&["projections"], 1));
    assert!(text.contains("projections are VBPR's own, two_tower has none"), "{text}");
    let bpr = FusionRequest { model: "bpr".into(), ..request(&[], 1) };
    let text = run(&bpr);
    assert!(text.contains("bpr has no fusion layer") && text.contains("two_tower"), "{text}");
}

#[test]
fn the_curve_begins_at_the_whole_and_masks_what_is_taken_away() {
    let (config, prepared) = made("");
    let (prepared, known) = (prepared.unwrap(), Registries::new().unwrap());
    let run = |shares: &[f64]| {
        let request = request(&["gated"], 1);
        let device = Device::flex();
        remove_modalities(&config, &prepared, &known, &device, &request, shares, &mut Silent)
    };
    let table = run(&[0.0, 0.5, 1.0]).unwrap();
    assert!(table.rows.iter().all(|r| r.seeds == 1) && table.not_run.is_empty());
    let names: Vec<&str> = table.rows.iter().map(|r| r.filling.as_str()).collect();
    assert_eq!(names, ["masked", "zeros", "mean", "neighbour_mean", "ridge"]);
    let values = |filling: &str| &table.rows.iter().find(|r| r.filling == filling).unwrap().values;
    // With everything gone there is nothing to fill from: only zeros differ from gaps.
    assert_eq!(values("masked")[2], values("ridge")[2]);
    assert_eq!(values("masked")[2], values("mean")[2]);
    assert!(table.rows.iter().all(|r| r.values.iter().all(|v| (0.0..=1.0).contains(v))));
    let refused = run(&[1.5]).map(drop).unwrap_err().to_string();
    assert!(refused.contains("1.5, expected 0 to 1"), "{refused}");
}

#[test]
fn vectors_are_made_up_from_other_modalities_and_counted() {
    let (_, prepared) = made("[complete]\nmethod = \"ridge\"\nparams = { l2 = 0.01 }");
    let prepared = prepared.unwrap();
    assert_eq!(prepared.completed[&Modality::Image], 2);
    assert_eq!(prepared.completed[&Modality::Text], 0);
    let image = prepared.features.get(Modality::Image).unwrap();
    assert_eq!(image.n_present(), ITEMS);
    // Item 4 is even, as items that look like (-2, 0, 2) are.
    let row = image.matrix.row(4);
    assert!(row[0] < -1.5 && row[1].abs() < 0.5 && row[2] > 1.5, "{row:?}");
    let (_, refused) = made("[complete]\nmethod = \"rigde\"");
    let text = refused.map(drop).unwrap_err().to_string();
    assert!(text.contains("rigde") && text.contains("ridge"), "{text}");
}

#[test]
fn a_run_says_what_each_modality_does() {
    let (config, prepared) = made("");
    let (prepared, known) = (prepared.unwrap(), Registries::new().unwrap());
    let device = Device::flex();
    let models = train_models(&config, &prepared, &known, &device, None, &mut Silent).unwrap();
    let (result, _) = evaluate_models(&config, &prepared, &models, &known).unwrap();
    let modalities = &result.models[0].modalities;
    let shares: f64 = modalities.values().map(|w| w.share.unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-4, "{modalities:?}");
    assert!(modalities.values().all(|w| w.knocked_out.is_some()), "{modalities:?}");
}
