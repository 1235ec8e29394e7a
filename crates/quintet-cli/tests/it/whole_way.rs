//! From files to recommendations: the same bytes for the same seed, in one call or in five.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Done, Tiny, names, quintet};

const SIZE: [&str; 6] = ["--users", "60", "--items", "80", "--clicks-per-user", "12"];

struct Demo {
    dir: TempDir,
}

impl Demo {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs_err::read(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).unwrap()
    }

    fn call(&self, args: &[&str]) -> Done {
        quintet(self.dir.path(), args)
    }

    fn demo(&self, out: &str, seed: &str, threads: &str) -> Value {
        let mut args = vec!["demo", "--json", "--seed", seed, "--threads", threads, "--out", out];
        args.extend(SIZE);
        let done = self.call(&args).ok();
        assert_eq!(done.json(), self.json(&format!("{out}/run/metrics.json")));
        done.json()
    }

    /// A verb on the demo's run file.
    fn verb(&self, verb: &str, file: &str, out: &str, more: &[&str]) -> Done {
        let mut args = vec![verb, file, "--data-root", "a/world", "--out", out];
        args.extend(more);
        self.call(&args).ok()
    }
}

fn labels(result: &Value) -> Vec<&str> {
    result["models"].as_array().unwrap().iter().map(|m| m["label"].as_str().unwrap()).collect()
}

/// A result without the ranking by the truth, which only the demo knows.
fn without_ceiling(result: &Value) -> Vec<u8> {
    let mut result = result.clone();
    result["models"].as_array_mut().unwrap().retain(|m| m["label"] != "ceiling");
    serde_json::to_vec_pretty(&result).unwrap()
}

#[test]
fn the_whole_way_at_once_and_stage_by_stage() {
    let d = Demo { dir: tempfile::tempdir().unwrap() };
    let result = d.demo("a", "5", "1");
    d.demo("b", "5", "2");
    assert_eq!(d.bytes("a/run/metrics.json"), d.bytes("b/run/metrics.json"));
    assert_eq!(d.bytes("a/run/per_user.json"), d.bytes("b/run/per_user.json"));
    assert_eq!(d.bytes("a/run/per_user.parquet"), d.bytes("b/run/per_user.parquet"));
    assert_eq!(d.bytes("a/world/interactions.csv"), d.bytes("b/world/interactions.csv"));
    let all = ["popularity", "bpr", "text only", "image only", "audio only", "video only", "fused"];
    assert_eq!(labels(&result), [&all[..], &["ceiling"]].concat());
    assert_eq!((result["phase"].as_str(), result["seed"].as_u64()), (Some("test"), Some(5)));
    for model in result["models"].as_array().unwrap() {
        check_result(model);
    }

    // Again into the same folder, with another seed: the old world goes.
    let other = d.demo("b", "6", "2");
    assert_ne!(without_ceiling(&other), without_ceiling(&result));
    assert_ne!(d.bytes("a/world/interactions.csv"), d.bytes("b/world/interactions.csv"));

    stage_by_stage(&d, &result);
    a_second_run(&d);
    lists(&d);
}

fn check_result(model: &Value) {
    let primary = &model["primary"];
    let [low, mean, high] = ["lower", "mean", "upper"].map(|k| primary[k].as_f64().unwrap());
    assert!(low <= mean && mean <= high, "{model}");
    for (key, value) in model["test"].as_object().unwrap() {
        let value = value.as_f64().unwrap();
        assert!((0.0..=1.0).contains(&value), "{key}: {model}");
    }
    assert!((model["test"]["ndcg@10"].as_f64().unwrap() - mean).abs() < 1e-12, "{model}");
}

fn stage_by_stage(d: &Demo, result: &Value) {
    let file = "a/demo.toml";
    let done = d.verb("ingest", file, "staged", &[]);
    names(&done.stdout, &["80 items", "Next: quintet encode a/demo.toml"]);
    let encoded = d.verb("encode", file, "staged", &["--json", "--threads", "2"]).json();
    for m in encoded["modalities"].as_array().unwrap() {
        let n = |key: &str| m[key].as_u64().unwrap();
        assert_eq!(n("items"), n("encoded") + n("missing") + n("failed"), "{m}");
        assert_eq!((n("failed"), m["reused"].as_bool()), (0, Some(false)), "{m}");
        assert!(n("encoded") > 40, "{m}");
    }
    let fitted = d.verb("train", file, "staged", &["--json", "--threads", "1"]).json();
    assert_eq!(fitted.as_array().unwrap().len(), 7);
    let measured = d.verb("evaluate", file, "staged", &["--json"]).json();
    assert_eq!(measured, d.json("staged/metrics.json"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(text(d.bytes("staged/metrics.json")), text(without_ceiling(result)));
}

fn a_second_run(d: &Demo) {
    let before = d.bytes("staged/metrics.json");
    let again = d.verb("run", "a/demo.toml", "staged", &[]);
    assert_eq!(again.stdout.matches("from an earlier run").count(), 4, "{}", again.stdout);
    names(&again.stdout, &["1 · ingest", "4 · evaluate", "5 · recommend", "fused"]);
    assert_eq!(d.bytes("staged/metrics.json"), before);

    // The resolved run file is a run file, and resolves to itself.
    let resolved = d.verb("run", "staged/config.toml", "resolved", &["--json"]);
    assert_eq!(resolved.json(), d.json("resolved/metrics.json"));
    assert_eq!(d.bytes("resolved/metrics.json"), before);
    assert_eq!(d.bytes("resolved/config.toml"), d.bytes("staged/config.toml"));
    assert_eq!(d.bytes("resolved/seed"), b"5\n");
}

/// What each user clicked before the test part began.
fn history(d: &Demo, user: &str) -> BTreeSet<String> {
    let data = d.json("staged/data.json");
    let test_from = data["split"]["test"]["first"].as_i64().unwrap();
    let csv = fs_err::read_to_string(d.path("a/world/interactions.csv")).unwrap();
    let rows = csv.lines().skip(1).map(|row| row.split(',').collect::<Vec<_>>());
    rows.filter(|r| r[0] == user && r[2].parse::<i64>().unwrap() < test_from)
        .map(|r| r[1].to_owned())
        .collect()
}

fn lists(d: &Demo) {
    let mut users = 0;
    for (user, model) in [("u0003", "fused"), ("u0017", "bpr"), ("u0042", "popularity")] {
        let args = ["--json", "--user", user, "--model", model, "-k", "1000", "--reasons", "2"];
        let list = d.verb("recommend", "a/demo.toml", "staged", &args).json();
        let list = list.as_array().unwrap();
        let used = history(d, user);
        users += usize::from(!used.is_empty());
        let items: BTreeSet<String> =
            list.iter().map(|r| r["item"].as_str().unwrap().to_owned()).collect();
        assert_eq!(items.len(), list.len(), "{user}: an item occurs twice");
        assert!(items.is_disjoint(&used), "{user}: {:?}", items.intersection(&used));
        assert_eq!(items.len() + used.len(), 80, "{user}: every other item is in the list");
        let scores: Vec<f64> = list.iter().map(|r| r["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{user}: {scores:?}");
        for (i, line) in list.iter().enumerate() {
            assert_eq!(line["rank"].as_u64(), Some(i as u64 + 1));
            let reasons = line["reasons"].as_array().unwrap().iter().map(|r| r.as_str().unwrap());
            assert!(reasons.filter(|r| r.starts_with("like ")).count() <= 2, "{line}");
        }
        if model == "fused" {
            assert!(!list[0]["reasons"].as_array().unwrap().is_empty(), "{}", list[0]);
        }
    }
    assert!(users >= 2, "users without a history show nothing");
    // Without --model it is the reference, and ten of them.
    let list = d.verb("recommend", "a/demo.toml", "staged", &["--user", "u0003"]).stdout;
    names(&list, &["For user u0003, by fused:"]);
    let ten = d.verb("recommend", "a/demo.toml", "staged", &["--user", "u0003", "--json"]).json();
    assert_eq!(ten.as_array().unwrap().len(), 10);
}

#[test]
fn the_seed_of_the_command_line_is_written_down() {
    let tiny = Tiny::new();
    let result = tiny.verb("run", &["--json", "--seed", "11"]).ok().json();
    assert_eq!(result["seed"], 11);
    let config = fs_err::read_to_string(tiny.path("out/config.toml")).unwrap();
    assert!(config.lines().any(|l| l == "seed = 11"), "{config}");
    assert_eq!(fs_err::read_to_string(tiny.path("out/seed")).unwrap(), "11\n");
}

#[test]
fn a_run_has_its_own_folder_by_default() {
    let tiny = Tiny::new();
    tiny.call(&["run", "run.toml", "--data-root", "data", "--json"]).ok();
    let made: BTreeSet<String> = walk(&tiny.path("runs/tiny"));
    let names = [
        "config.toml",
        "seed",
        "data.json",
        "metrics.json",
        "per_user.json",
        "per_user.parquet",
        "run.json",
        "report.html",
    ];
    for name in names {
        assert!(made.contains(name), "{name} is not in {made:?}");
    }
    // No temporary file stays behind.
    assert!(!made.iter().any(|n| n.contains("tmp")), "{made:?}");
}

/// Names of the files below a folder, without their folders.
fn walk(dir: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs_err::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            names.extend(walk(&entry.path()));
        } else {
            names.insert(entry.file_name().into_string().unwrap());
        }
    }
    names
}

#[test]
fn json_output_is_one_object_and_nothing_else() {
    let tiny = Tiny::new();
    for verb in ["ingest", "encode", "train", "evaluate", "run"] {
        let done = tiny.verb(verb, &["--json"]).ok();
        let value = done.json();
        assert!(value.is_object() || value.is_array(), "{verb}: {value}");
        // The second training finds the checkpoint of the first, and says so where it harms none.
        let notes = if verb == "run" { "bpr: resumed after epoch 2\n" } else { "" };
        assert_eq!(done.stderr, notes, "{verb}");
    }
}
