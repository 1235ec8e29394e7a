//! What the program says about itself.

use std::collections::BTreeSet;

use crate::support::{names, quintet};

#[test]
fn the_help_of_every_verb_names_its_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let run = [
        "FILE.toml",
        "--data-root",
        "--out",
        "--cache",
        "--weights",
        "--device",
        "--seed",
        "--json",
        "--threads",
    ];
    let mut trains = run.to_vec();
    trains.push("--dashboard");
    let mut recommend = run.to_vec();
    recommend.extend(["--user", "--model", "-k", "--reasons"]);
    let demo = [
        "--out",
        "--seed",
        "--seeds",
        "--device",
        "--json",
        "--recipe",
        "--users",
        "--items",
        "--themes",
        "--clicks-per-user",
        "--noise",
        "--overlap",
        "--taste",
        "--popularity",
        "--missing",
        "--cold",
    ];
    let verbs = [
        ("demo", &demo[..]),
        ("run", &trains),
        ("ingest", &run),
        ("export", &["--format", "--to", "--json"]),
        ("import", &["--npy", "--modality", "--ids", "--name", "--f16", "--zero-is-missing"]),
        ("encode", &run),
        ("train", &trains),
        ("evaluate", &run),
        ("recommend", &recommend),
        ("tune", &["--trials", "--seeds", "--parallel", "--out"]),
        ("cv", &["--dashboard", "--folds", "--leave-one-out", "--valid"]),
        ("seeds", &["--dashboard", "--seeds", "--budget", "--markdown", "--out"]),
        ("report", &["RUN_DIR"]),
        ("runs", &["list", "show", "compare", "projector"]),
        ("weights", &["add", "list", "remove", "--weights"]),
        ("doctor", &["--json"]),
        ("list", &["--json"]),
    ];
    let top = quintet(dir.path(), &["--help"]).ok().stdout;
    names(&top, &["quintet demo"]);
    for (verb, args) in verbs {
        assert!(top.lines().any(|l| l.trim_start().starts_with(verb)), "{verb} is not in {top}");
        let help = quintet(dir.path(), &[verb, "--help"]).ok().stdout;
        names(&help, args);
        assert!(help.lines().next().is_some_and(|l| l.contains(' ')), "{help}");
    }
    names(&quintet(dir.path(), &["--version"]).ok().stdout, &[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn the_list_holds_every_kind() {
    let dir = tempfile::tempdir().unwrap();
    let list = quintet(dir.path(), &["list", "--json"]).ok().json();
    let list = list.as_array().unwrap();
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let kinds: BTreeSet<String> = list.iter().map(|e| text(e, "kind")).collect();
    let expected = [
        "audio encoder",
        "completion",
        "decision",
        "fusion",
        "image encoder",
        "metric",
        "model",
        "rating model",
        "text encoder",
        "video encoder",
    ];
    assert_eq!(kinds, expected.map(str::to_owned).into());
    let seen: BTreeSet<_> = list.iter().map(|e| (text(e, "kind"), text(e, "name"))).collect();
    assert_eq!(seen.len(), list.len(), "a name occurs twice");
    for (kind, name) in [
        ("text encoder", "tfidf-svd"),
        ("image encoder", "colour-gradient"),
        ("audio encoder", "log-mel"),
        ("video encoder", "frame-motion"),
        ("model", "popularity"),
        ("model", "two_tower"),
        ("model", "ensemble"),
        ("fusion", "moe"),
        ("decision", "rrf"),
        ("completion", "ridge"),
        ("metric", "ndcg"),
    ] {
        assert!(seen.contains(&(kind.into(), name.into())), "{kind} {name}");
    }
    let printed = quintet(dir.path(), &["list"]).ok().stdout;
    for entry in list {
        assert!(!text(entry, "summary").is_empty());
        names(&printed, &[&text(entry, "name")]);
    }
}

#[test]
fn the_doctor_finds_a_device() {
    let dir = tempfile::tempdir().unwrap();
    names(&quintet(dir.path(), &["doctor"]).ok().stdout, &["flex", "threads", "usable"]);
    let report = quintet(dir.path(), &["doctor", "--json", "--threads", "1"]).ok().json();
    assert_eq!(
        (report["threads"].as_u64(), report["version"].as_str()),
        (Some(1), Some(env!("CARGO_PKG_VERSION")))
    );
    let devices = report["devices"].as_array().unwrap();
    assert!(devices.iter().any(|d| d["usable"] == true), "{report}");
    for device in devices {
        assert!(!device["note"].as_str().unwrap().is_empty(), "{device}");
        assert!(device["compiled"] == true || device["usable"] == false, "{device}");
    }
}

#[test]
fn the_recipe_of_the_world_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = quintet(dir.path(), &["demo", "--recipe"]).ok().stdout;
    names(&recipe, &["noise", "popularity", "overlap", "missing"]);
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 0, "nothing is written");
}
