//! What is encoded, what is known already, and what a kill costs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quintet::core::Modality;
use quintet::ingest::Quiet;
use quintet::pipeline::{
    EncodePlaces, ModalityReport, RunConfig, Workspace, encode_stage, ingest_stage,
    read_features_stage,
};
use quintet::tensor::Device;

use crate::counting::{Log, registries};

/// Says where a killed process works, and after how many calls it ends.
const KILLED: &str = "QUINTET_TEST_KILLED";

/// A dataset of these texts in a folder, with its run file.
fn config(root: &Path, texts: &[String], reads_corpus: bool) -> RunConfig {
    let data = root.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let mut items = String::from("id,title\n");
    let mut clicks = String::from("user,item\n");
    for (i, text) in texts.iter().enumerate() {
        items += &format!("i{i},{text}\n");
        clicks += &format!("u{},i{i}\n", i % 5);
    }
    std::fs::write(data.join("items.csv"), items).unwrap();
    std::fs::write(data.join("clicks.csv"), clicks).unwrap();
    let toml = format!(
        "name = \"t\"\n[ingest]\ntables.interactions = [{{ path = \"clicks.csv\", columns = {{}} }}]\n\
         tables.items = {{ path = \"items.csv\", columns = {{ title = \"title\", text = [\"title\"] }} }}\n\
         [split]\nstrategy = \"random\"\n[[encode]]\nmodality = \"text\"\nencoder = \"counting\"\n\
         params = {{ reads_corpus = {reads_corpus} }}\n"
    );
    std::fs::write(root.join("run.toml"), toml).unwrap();
    RunConfig::read(&root.join("run.toml")).unwrap()
}

/// Ingests and encodes in `root/out`.
fn encode(root: &Path, config: &RunConfig, cache: &Path, log: &Arc<Log>) -> ModalityReport {
    let workspace = Workspace::new(root.join("out"));
    let data_root = root.join("data");
    let (dataset, _) = ingest_stage(config, &data_root, &workspace, &Quiet).unwrap();
    let known = registries(log);
    let places = EncodePlaces { data_root: &data_root, workspace: &workspace, cache };
    let report =
        encode_stage(config, &dataset, &known, &Device::flex(), places, &|_, done, all| {
            assert!(done <= all);
        });
    let set = read_features_stage(config, &dataset, &known, &workspace).unwrap();
    let mut report = report.unwrap();
    let line = report.modalities.remove(0);
    assert_eq!(set.get(Modality::Text).unwrap().n_present(), line.encoded);
    line
}

/// Every file of the features in a folder.
fn features(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for dir in std::fs::read_dir(root.join("out/features")).unwrap() {
        let dir = dir.unwrap();
        if dir.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().to_string_lossy().into_owned();
            files.insert(name, std::fs::read(file.path()).unwrap());
        }
    }
    files
}

fn texts(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("text {i} {}", "x".repeat(i * 7 % 13))).collect()
}

#[test]
fn nothing_is_encoded_twice() {
    let root = tempfile::tempdir().unwrap();
    let (a, b, cache) = (root.path().join("a"), root.path().join("b"), root.path().join("cache"));
    let log = Arc::new(Log::default());
    let mut all = texts(40);
    all[5] = all[30].clone();
    all[8] = "an unreadable one".to_owned();
    let run =
        |root: &Path, texts: &[String]| encode(root, &config(root, texts, false), &cache, &log);
    let line = run(&a, &all);
    assert_eq!((line.computed, line.encoded, line.failed), (39, 39, 1));
    // Two items of one content, and one that cannot be prepared.
    assert_eq!(log.take(), 38);
    assert!(line.errors[0].contains("item i8: text: corrupt"), "{:?}", line.errors);

    let line = run(&a, &all);
    assert!(line.reused && line.computed == 0 && log.take() == 0);
    assert_eq!(log.fits.load(Ordering::SeqCst), 1);

    all[17] = "something else".to_owned();
    assert_eq!(run(&a, &all).computed, 2);
    assert_eq!(log.take(), 1, "the changed text; the unreadable one is only tried again");

    // Another dataset over the same cache: of its texts all but one are known.
    let mut other = texts(30);
    other.remove(8);
    other.push("new".to_owned());
    assert_eq!((run(&b, &other).encoded, log.take()), (30, 2));
    let fits = log.fits.load(Ordering::SeqCst);
    std::fs::remove_dir_all(b.join("out/features")).unwrap();
    let before = run(&b, &other);
    assert_eq!((before.computed, log.take()), (0, 0));
    assert_eq!(log.fits.load(Ordering::SeqCst), fits, "weights that nobody needs are not loaded");
}

#[test]
fn an_encoder_that_learns_from_the_corpus_begins_anew_with_another() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let log = Arc::new(Log::default());
    let mut all = texts(12);
    let run = |texts: &[String]| {
        let config = config(root.path(), texts, true);
        encode(root.path(), &config, &cache, &log);
        log.take()
    };
    assert_eq!((run(&all), run(&all)), (12, 0));
    all[3] = "something else".to_owned();
    assert_eq!(run(&all), 12);
}

#[test]
fn a_run_that_was_killed_makes_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let (whole, texts) = (root.path().join("whole"), texts(57));
    let log = Arc::new(Log::default());
    encode(&whole, &config(&whole, &texts, false), &whole.join("cache"), &log);
    let (expected, calls) = (features(&whole), log.calls.lock().unwrap().len());
    // Windows of 10 texts in calls of 3: 4 calls a window.
    assert_eq!((expected.len(), calls), (4, 5 * 4 + 3));
    for at in [1, 4, 5, 11, calls] {
        let dir = root.path().join(format!("killed-{at}"));
        let config = config(&dir, &texts, false);
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "encode::the_process_that_is_killed"])
            .env(KILLED, format!("{at} {}", dir.display()))
            .output()
            .unwrap()
            .status;
        assert!(!status.success());
        assert!(!dir.join("out/features").exists(), "nothing half-written counts");
        let log = Arc::new(Log::default());
        let line = encode(&dir, &config, &dir.join("cache"), &log);
        let windows = (at - 1) / 4;
        assert_eq!((line.computed, line.encoded), (57 - 10 * windows, 57), "call {at}");
        assert!(features(&dir) == expected, "call {at}");
    }
}

/// Does nothing but in the processes that the test above starts.
#[test]
fn the_process_that_is_killed() {
    let Ok(said) = std::env::var(KILLED) else { return };
    let (at, dir) = said.split_once(' ').unwrap();
    let dir = Path::new(dir);
    let log = Arc::new(Log { abort_at: at.parse().ok(), ..Log::default() });
    let config = RunConfig::read(&dir.join("run.toml")).unwrap();
    encode(dir, &config, &dir.join("cache"), &log);
}
