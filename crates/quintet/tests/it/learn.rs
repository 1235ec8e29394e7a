//! Encoders that learn from clicks before they encode.

use std::path::Path;

use image::{Rgb, RgbImage};
use quintet::Registries;
use quintet::core::{FeatureSet, Modality};
use quintet::data::Dataset;
use quintet::ingest::Quiet;
use quintet::pipeline::{
    EncodePlaces, PipelineError, RunConfig, TrainedEncoder, Workspace, cross_validate,
    encode_stage, ingest_stage, read_features_stage, train_encoders_stage,
};
use quintet::tensor::Device;
use quintet::train::{Folding, Silent};

const USERS: usize = 30;
/// Items that are clicked, and new ones behind them.
const KNOWN: usize = 48;
const ALL: usize = 64;
const SIDE: u32 = 16;

/// Even items have upright stripes and one family of words, odd ones lying stripes and another;
/// colour, width and the other words say nothing.
fn poster(item: usize) -> RgbImage {
    let (width, start) = (2 + item / 2 % 2, item * 7 % 5);
    let ink = [item * 37 % 200, item * 61 % 200, item * 89 % 200].map(|c| c as u8);
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let along = if item.is_multiple_of(2) { x } else { y } as usize;
        Rgb(if ((along + start) / width).is_multiple_of(2) { ink } else { [255; 3] })
    })
}

fn title(item: usize) -> String {
    let family = [["tower", "mast", "pillar"], ["plain", "lake", "meadow"]][item % 2];
    let noise = ["red", "old", "far", "new", "small"][item * 3 % 5];
    format!("{noise} {} {}", family[item / 2 % 3], ["story", "song", "day"][item * 5 % 3])
}

/// Files and a run file; everybody clicks twelve items of their kind.
fn config(root: &Path, encode: &str) -> RunConfig {
    let data = root.join("data");
    std::fs::create_dir_all(data.join("posters")).unwrap();
    let (mut items, mut clicks) = (String::from("id,title\n"), String::from("user,item\n"));
    for item in 0..ALL {
        items += &format!("i{item},{}\n", title(item));
        poster(item).save(data.join(format!("posters/i{item}.png"))).unwrap();
    }
    std::fs::write(data.join("posters/i7.png"), b"no picture").unwrap();
    for user in 0..USERS {
        for nth in 0..12 {
            let item = 2 * ((user / 2 * 5 + nth * (1 + user % 3)) % (KNOWN / 2)) + user % 2;
            clicks += &format!("u{user},i{item}\n");
        }
    }
    std::fs::write(data.join("items.csv"), items).unwrap();
    std::fs::write(data.join("clicks.csv"), clicks).unwrap();
    let toml = format!(
        "name = \"t\"\n[ingest]\ntables.interactions = [{{ path = \"clicks.csv\", columns = {{}} }}]\n\
         tables.items = {{ path = \"items.csv\", columns = {{ title = \"title\", text = [\"title\"] }} }}\n\
         [[ingest.media]]\nmodality = \"image\"\nfolder = \"posters\"\n\
         [split]\nstrategy = \"random\"\nvalid = 0.15\ntest = 0.15\n[train]\nmetric = \"recall@10\"\n\
         {encode}\n[[models]]\nmodel = \"popularity\"\n"
    );
    std::fs::write(root.join("run.toml"), toml).unwrap();
    let config = RunConfig::read(&root.join("run.toml")).unwrap();
    config.check_names(&Registries::new().unwrap()).unwrap();
    config
}

const CNN: &str = "[[encode]]\nmodality = \"image\"\nencoder = \"cnn\"\n\
    params = { resize = 16, crop = 16 }\n[encode.train]\nepochs = 12\npatience = 12\n\
    sizes = { channels = [8, 16], dim = 8 }\nparams = { lr = 0.01, batch_size = 64 }\n";
const TEXTCNN: &str = "[[encode]]\nmodality = \"text\"\nencoder = \"textcnn\"\n[encode.train]\n\
    epochs = 20\npatience = 20\nsizes = { embedding_dim = 8, num_filters = 8, kernel_sizes = [1, 2], projection_dim = 8 }\n\
    params = { lr = 0.01, batch_size = 64 }\n";

fn learn(root: &Path, config: &RunConfig) -> Result<(Dataset, Vec<TrainedEncoder>), PipelineError> {
    let workspace = Workspace::new(root.join("out"));
    let (dataset, _) = ingest_stage(config, &root.join("data"), &workspace, &Quiet)?;
    let (known, device) = (Registries::new().unwrap(), Device::flex());
    let trained = train_encoders_stage(config, &dataset, &known, &device, &workspace, &mut Silent)?;
    Ok((dataset, trained))
}

fn features(root: &Path, config: &RunConfig, dataset: &Dataset) -> FeatureSet {
    let (workspace, data_root) = (Workspace::new(root.join("out")), root.join("data"));
    let known = Registries::new().unwrap();
    let cache = root.join("cache");
    let places = EncodePlaces { data_root: &data_root, workspace: &workspace, cache: &cache };
    encode_stage(config, dataset, &known, &Device::flex(), places, &|_, _, _| {}).unwrap();
    read_features_stage(config, dataset, &known, &workspace).unwrap()
}

/// The share of new items whose vector is nearer, by its cosine, to the mean of the known items
/// of its own kind.
fn told_apart(features: &FeatureSet, dataset: &Dataset, modality: Modality) -> f64 {
    let f = features.get(modality).unwrap();
    let number = |row: usize| dataset.items[row].id[1..].parse::<usize>().unwrap();
    let unit = |row: usize| {
        let length = f.matrix.row(row).iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-9);
        f.matrix.row(row).iter().map(|x| x / length).collect::<Vec<f32>>()
    };
    let rows = |known: bool| {
        (0..ALL).filter(move |row| f.present[*row] && (number(*row) < KNOWN) == known)
    };
    let mut means = [vec![0.0; f.matrix.cols()], vec![0.0; f.matrix.cols()]];
    for row in rows(true) {
        means[number(row) % 2].iter_mut().zip(unit(row)).for_each(|(m, x)| *m += x);
    }
    let score = |row: usize, kind: usize| -> f32 {
        means[kind].iter().zip(unit(row)).map(|(m, x)| m * x).sum()
    };
    let right = |row: &usize| {
        let kind = number(*row) % 2;
        score(*row, kind) > score(*row, 1 - kind)
    };
    let new: Vec<usize> = rows(false).collect();
    new.iter().filter(|row| right(row)).count() as f64 / new.len() as f64
}

#[test]
fn clicks_teach_an_encoder_what_matters_of_items_that_nobody_clicked() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let config = config(root, &format!("{CNN}{TEXTCNN}"));
    let (dataset, trained) = learn(root, &config).unwrap();
    let [image, text] = &trained[..] else { panic!("{trained:?}") };
    assert_eq!((image.items, text.items), (ALL - 1, ALL));
    // Ingestion had found the damaged poster, so that nothing had to fail here.
    assert!(image.failed.is_empty() && image.seconds.is_some());
    assert!(image.fit.best_valid > 0.0 && image.fit.n_parameters > 0);
    let set = features(root, &config, &dataset);
    for modality in [Modality::Image, Modality::Text] {
        // Of 16 new items 14 or more; by chance that is one time in 500.
        let right = told_apart(&set, &dataset, modality);
        assert!(right >= 0.875, "{modality}: {right}");
    }
    // The same call takes the weights that are there; another setting learns again.
    let (_, again) = learn(root, &config).unwrap();
    assert!(again.iter().all(|t| t.seconds.is_none()));
    assert_eq!(again[0].fit, image.fit);
    let mut other = config.clone();
    other.encode[1].train.as_mut().unwrap().epochs = 2;
    let (_, changed) = learn(root, &other).unwrap();
    let learned: Vec<bool> = changed.iter().map(|t| t.seconds.is_some()).collect();
    assert_eq!(learned, [false, true]);
}

#[test]
fn a_training_that_was_killed_ends_with_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let config = config(root, &CNN.replace("epochs = 12\n", "epochs = 4\n"));
    let (dataset, _) = learn(root, &config).unwrap();
    let dir = root.join("out/encoders/image");
    let bytes = || std::fs::read(dir.join("weights/model.safetensors")).unwrap();
    let log = || std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let (whole, lines) = (bytes(), log().lines().count());
    // As if it had ended within the third epoch: the newest checkpoints and all that follows a
    // training are not there.
    std::fs::remove_dir_all(dir.join("weights")).unwrap();
    std::fs::remove_file(dir.join("report.json")).unwrap();
    let mut checkpoints: Vec<_> = std::fs::read_dir(dir.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("ckpt-"))
        .collect();
    checkpoints.sort();
    assert!(checkpoints.len() > 1, "{checkpoints:?}");
    std::fs::remove_dir_all(checkpoints.pop().unwrap()).unwrap();
    // Nothing is encoded with weights that are not there.
    let (workspace, known) = (Workspace::new(root.join("out")), Registries::new().unwrap());
    let missing = read_features_stage(&config, &dataset, &known, &workspace);
    assert!(missing.map(drop).unwrap_err().to_string().contains("quintet encode"));
    learn(root, &config).unwrap();
    assert_eq!(bytes(), whole);
    assert_eq!(log().lines().count(), lines);
}

#[test]
fn what_cannot_learn_or_would_leak_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let good = config(root, CNN);
    let known = Registries::new().unwrap();
    let refused = |change: &dyn Fn(&mut RunConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config.check_names(&known).unwrap_err().to_string()
    };
    let text = refused(&|c| c.encode[0].encoder = "colour-gradient".into());
    assert!(text.contains("no weights that learn") && text.contains("cnn"), "{text}");
    let text = refused(&|c| {
        c.encode[0].train.as_mut().unwrap().params = serde_json::json!({ "lrr": 1.0 });
    });
    assert!(text.contains("lrr"), "{text}");
    let text = refused(&|c| c.encode[0].train.as_mut().unwrap().epochs = 0);
    assert!(text.contains("epochs"), "{text}");
    let (dataset, _) =
        ingest_stage(&good, &root.join("data"), &Workspace::new(root.join("out")), &Quiet).unwrap();
    let none = FeatureSet::new(dataset.items.len());
    let folds = (Folding::KFold(3), 0.1);
    let data = (&dataset, &none);
    let text = cross_validate(&good, data, folds, &known, &Device::flex(), &mut Silent)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(text.contains("cross-validation") && text.contains("cnn"), "{text}");
}
