//! `quintet tune` and `quintet cv` from outside.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{RUN_FILE, Tiny, command, names};

const TUNE: &str = r#"
[tune]
model = "bpr"
trials = 6
method = "METHOD"
[tune.space]
lr = { log = [1e-3, 1e-1] }
dim = [2, 4]
"#;

fn tiny(method: &str, more: &str) -> Tiny {
    let tiny = Tiny::new();
    let table =
        TUNE.replace("METHOD", method).replace("[tune.space]", &format!("{more}\n[tune.space]"));
    let config = RUN_FILE.replace("epochs = 2\n", "epochs = 6\ncheckpoint_every = 2\n") + &table;
    tiny.write("run.toml", config.as_bytes());
    tiny
}

fn values(result: &Value) -> Vec<(u64, f64)> {
    let trials = result["trials"].as_array().unwrap().iter();
    trials.map(|t| (t["trial"].as_u64().unwrap(), t["mean"].as_f64().unwrap())).collect()
}

#[test]
fn a_search_prints_a_table_that_can_be_pasted() {
    let tiny = tiny("tpe", "seeds = 2\nparallel = 2");
    let printed = tiny.verb("tune", &[]).ok();
    names(&printed.stdout, &["bpr: 6 trials", "lr", "dim", "ndcg@10 in validation", "±"]);
    names(&printed.stdout, &["[[models]]", "[models.params]", "The test part was not opened"]);
    assert_eq!(printed.stderr.lines().count(), 12, "a line a fit: {}", printed.stderr);
    // Nothing was measured on the test part, and no checkpoint of a trial stays.
    assert!(!tiny.path("out/metrics.json").exists());
    assert_eq!(fs_err::read_dir(tiny.path("out/tune/trials")).unwrap().count(), 0);

    let best = fs_err::read_to_string(tiny.path("out/tune/best.toml")).unwrap();
    let at = RUN_FILE.find("[[models]]\nmodel = \"bpr\"").unwrap();
    tiny.write("run.toml", format!("{}{best}", &RUN_FILE[..at]).as_bytes());
    tiny.verb("train", &["--json"]).ok();
}

#[test]
fn the_same_trials_again_and_more_of_them() {
    let tiny = tiny("random", "");
    let first = tiny.verb("tune", &["--json"]).ok().json();
    assert_eq!((first["fitted"].as_u64(), first["known"].as_u64()), (Some(6), Some(0)));
    let again = tiny.verb("tune", &["--json", "--trials", "8"]).ok().json();
    assert_eq!((again["fitted"].as_u64(), again["known"].as_u64()), (Some(2), Some(6)));
    // The resolved run file is the same search.
    let args = ["tune", "out/config.toml", "--data-root", "data", "--out", "out", "--json"];
    let resolved = tiny.call(&args).ok().json();
    assert_eq!((resolved["fitted"].as_u64(), resolved["known"].as_u64()), (Some(0), Some(8)));
    let (mut first, mut again) = (values(&first), values(&again));
    first.sort_by_key(|t| t.0);
    again.sort_by_key(|t| t.0);
    assert_eq!(first, again[..6]);
    let error = tiny.verb("tune", &["--seed", "8"]).error();
    names(&error, &["trials.jsonl", "another search"]);
}

#[test]
fn a_killed_search_goes_on_and_ends_the_same() {
    for method in ["tpe", "halving"] {
        let whole = tiny(method, "").verb("tune", &["--json"]).ok().json();
        let cut = tiny(method, "");
        let log = cut.path("out/tune/trials.jsonl");
        let lines = || fs_err::read_to_string(&log).map_or(0, |text| text.lines().count());
        for more in [2, 4] {
            let args = ["tune", "run.toml", "--data-root", "data", "--out", "out", "--json"];
            let mut child = command(&cut.path(""), &args);
            let mut child = child.stdout(std::process::Stdio::null()).spawn().unwrap();
            let begun = Instant::now();
            let over = |child: &mut std::process::Child| child.try_wait().unwrap().is_some();
            while lines() < more && !over(&mut child) && begun.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_micros(300));
            }
            child.kill().ok();
            child.wait().unwrap();
        }
        let ended = cut.verb("tune", &["--json"]).ok().json();
        println!("{method}: {} fits were known after two kills", ended["known"]);
        assert_eq!(values(&ended), values(&whole), "{method}");
        assert_eq!(ended["best"], whole["best"], "{method}");
        let fits = ended["fitted"].as_u64().unwrap() + ended["known"].as_u64().unwrap();
        assert_eq!(fits, whole["fitted"].as_u64().unwrap(), "{method}: nothing is repeated");
    }
}

#[test]
fn folds_judge_instead_of_the_validation_part() {
    let plain = tiny("random", "").verb("tune", &["--json"]).ok().json();
    let folds = tiny("random", "folds = { k_fold = 3 }").verb("tune", &["--json"]).ok().json();
    let left =
        tiny("random", "folds = { leave_one_out = 2 }").verb("tune", &["--json"]).ok().json();
    assert_ne!(values(&plain), values(&folds));
    assert_ne!(values(&left), values(&folds));
}

#[test]
fn cross_validation_has_a_row_a_model() {
    let tiny = Tiny::new();
    let table = tiny.verb("cv", &["--folds", "3", "--json"]).ok().json();
    let models = table["models"].as_array().unwrap();
    let labels: Vec<&str> = models.iter().map(|m| m["label"].as_str().unwrap()).collect();
    assert_eq!((labels, table["users"].as_u64()), (vec!["popularity", "bpr"], Some(12)));
    for model in models {
        let folds: Vec<f64> =
            model["folds"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!(folds.len(), 3);
        let mean = folds.iter().sum::<f64>() / 3.0;
        let told = model["metrics"]["ndcg@10"]["mean"].as_f64().unwrap();
        assert!((mean - told).abs() < 1e-12, "{model}");
    }
    assert!(models[1]["against"].is_null() && !models[0]["against"].is_null());
    let again = tiny.verb("cv", &["--folds", "3", "--json"]).ok().json();
    assert_eq!(again, table);
    let printed = tiny.verb("cv", &["--leave-one-out", "2"]).ok().stdout;
    names(&printed, &["2 × leave one out", "bpr minus it", "over folds"]);
    names(&tiny.verb("cv", &["--folds", "1"]).error(), &["k folds", "2 or more"]);
}

#[test]
fn mistakes_in_a_search_are_named_before_anything_is_fitted() {
    names(&Tiny::new().verb("tune", &[]).error(), &["no [tune] table", "popularity"]);
    for (from, to, parts) in [
        (
            "model = \"bpr\"\ntrials",
            "model = \"brp\"\ntrials",
            &["[tune] model", "\"brp\"", "bpr"][..],
        ),
        ("dim = [2, 4]", "dmi = [2, 4]", &["bpr", "dmi"]),
        ("dim = [2, 4]", "dim = [2, \"four\"]", &["bpr", "four"]),
        ("dim = [2, 4]", "dim = 4", &["dim", "expected a list"]),
        ("log = [1e-3, 1e-1]", "log = [0, 1e-1]", &["lr", "above 0"]),
        ("trials = 6", "trails = 6", &["trails"]),
        ("method = \"tpe\"", "method = \"tep\"", &["tep", "halving"]),
        ("method = \"tpe\"", "method = \"grid\"", &["a list of values", "lr"]),
    ] {
        let tiny = tiny("tpe", "");
        let text = fs_err::read_to_string(tiny.path("run.toml")).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from}");
        tiny.write("run.toml", text.replace(from, to).as_bytes());
        names(&tiny.verb("tune", &[]).error(), parts);
        assert!(!tiny.path("out").exists(), "{to}");
    }
}

/// A table a call, and nothing that was fitted is fitted again.
#[test]
fn seeds_add_up() {
    let tiny = Tiny::new();
    let table = tiny.verb("seeds", &["--seeds", "2", "--json"]).ok().json();
    assert_eq!((table["fitted"].as_u64(), table["known"].as_u64()), (Some(4), Some(0)));
    let rows = table["models"].as_array().unwrap();
    let labels: Vec<&str> = rows.iter().map(|m| m["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["popularity", "bpr"]);
    assert_eq!(table["models"][1]["seeds"], 2);
    let printed = tiny.verb("seeds", &["--seeds", "3", "--markdown"]).ok().stdout;
    names(&printed, &["3 seeds", "| model | numbers |", "| bpr |", "±", "4 fits were known"]);
    let refused = tiny.verb("seeds", &["--seeds", "0"]).error();
    names(&refused, &["--seeds: expected at least 1, found 0"]);
}
