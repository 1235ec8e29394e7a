//! The page of a run, and runs side by side.

use serde_json::Value;

use crate::support::{Tiny, names};

/// A run in `out`, and one with another seed in `other`.
fn two() -> Tiny {
    let tiny = Tiny::new();
    tiny.verb("run", &["--json"]).ok();
    let args =
        ["run", "run.toml", "--data-root", "data", "--out", "other", "--seed", "9", "--json"];
    tiny.call(&args).ok();
    tiny
}

#[test]
fn a_run_leaves_a_page_that_can_be_written_again() {
    let tiny = Tiny::new();
    let title = "\"<script>alert(1)</script>, & more\"";
    let items = crate::support::items().replace("river stone", title);
    assert!(items.contains("<script>"));
    tiny.write("data/items.csv", items.as_bytes());
    tiny.verb("run", &["--json"]).ok();
    let page = fs_err::read_to_string(tiny.path("out/report.html")).unwrap();
    names(
        &page,
        &["Minus popularity", "ndcg@10", "Learning curves", "Lists of bpr", "config.toml"],
    );
    assert!(!page.contains("<script") && !page.contains("http://localhost"));
    names(&page, &["quintet run run.toml --data-root data --out out --json"]);
    fs_err::remove_file(tiny.path("out/report.html")).unwrap();
    let done = tiny.call(&["report", "out"]).ok();
    names(&done.stdout, &["report.html"]);
    assert_eq!(fs_err::read_to_string(tiny.path("out/report.html")).unwrap(), page);

    names(&tiny.call(&["report", "nowhere"]).error(), &["metrics.json", "quintet evaluate"]);
}

#[test]
fn runs_are_listed_shown_and_compared() {
    let tiny = two();
    let list = tiny.call(&["runs", "list", "."]).ok().stdout;
    names(&list, &["./other", "./out", "tiny world", "ndcg@10"]);
    let listed = tiny.call(&["runs", "list", ".", "--json"]).ok().json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((listed[0]["seed"].as_u64(), listed[1]["seed"].as_u64()), (Some(9), Some(3)));
    assert!(listed.iter().all(|r| r["state"] == "evaluated" && r["models"] == 2), "{listed:?}");
    names(&tiny.call(&["runs", "show", "out"]).ok().stdout, &["finished", "bpr", "report.html"]);

    let diff = tiny.call(&["runs", "compare", "out", "other", "--json"]).ok().json();
    let models = diff[0]["models"].as_array().unwrap();
    assert_eq!(models.len(), 2, "{diff}");
    for model in models {
        let label = model["label"].as_str().unwrap();
        for metric in model["metrics"].as_array().unwrap() {
            let of = |run: &str| value(&tiny, run, label, metric["metric"].as_str().unwrap());
            assert_eq!(metric["left"].as_f64(), of("out"), "{metric}");
            assert_eq!(metric["right"].as_f64(), of("other"), "{metric}");
        }
        assert!(model["paired"]["p"].as_f64().unwrap() <= 1.0);
    }
    let printed = tiny.call(&["runs", "compare", "out", "other", "--model", "bpr"]).ok().stdout;
    names(&printed, &["note: the runs have other data", "bpr:", "second − first", "paired"]);
    assert!(!printed.contains("popularity:"));
    // A run beside itself.
    let same = tiny.call(&["runs", "compare", "out", "out", "--json"]).ok().json();
    assert_eq!(same[0]["notes"].as_array().unwrap().len(), 0);
    assert_eq!(same[0]["models"][0]["paired"]["difference"]["mean"], 0.0);
}

#[test]
fn the_results_of_one_user_are_shown_and_their_means_are_those_of_the_run() {
    let tiny = Tiny::new();
    tiny.verb("run", &["--json"]).ok();
    let path = tiny.path("out/per_user.parquet");
    let all = quintet::data::read_user_results(&path, None).unwrap();
    let text = fs_err::read_to_string(tiny.path("out/per_user.json")).unwrap();
    let users: Value = serde_json::from_str(&text).unwrap();
    let n = users["users"].as_array().unwrap().len();
    assert_eq!(all.rows.len(), 2 * n);
    for label in ["popularity", "bpr"] {
        let rows: Vec<_> = all.rows.iter().filter(|r| r.model == label).collect();
        for (at, key) in all.metrics.iter().enumerate() {
            let mean = rows.iter().map(|r| r.values[at]).sum::<f64>() / n as f64;
            let told = value(&tiny, "out", label, key).unwrap();
            assert!((mean - told).abs() < 1e-12, "{label}, {key}: {mean} {told}");
        }
    }
    // Everybody has six of ten items, some of them in the test part, which competes.
    assert!(all.rows.iter().all(|r| r.warm && (5..=9).contains(&r.length)), "{:?}", all.rows);

    let row = &all.rows[n];
    assert_eq!(row.model, "bpr");
    let shown = tiny.call(&["runs", "show", "out", "--user", &row.user]).ok().stdout;
    names(&shown, &[&row.user, "warm", "popularity", "bpr", "ndcg@10"]);
    let told = tiny.call(&["runs", "show", "out", "--user", &row.user, "--json"]).ok().json();
    assert_eq!(told["models"][1]["model"], "bpr");
    assert_eq!(told["length"], row.length);
    for (key, value) in all.metrics.iter().zip(&row.values) {
        assert_eq!(told["models"][1]["values"][key].as_f64(), Some(*value), "{key}");
    }
    let error = tiny.call(&["runs", "show", "out", "--user", "nobody"]).error();
    names(&error, &["per_user.parquet", "\"nobody\"", "test part"]);
    fs_err::remove_file(&path).unwrap();
    let error = tiny.call(&["runs", "show", "out", "--user", &row.user]).error();
    names(&error, &["per_user.parquet", "quintet evaluate"]);
}

/// A metric as the run wrote it.
fn value(tiny: &Tiny, run: &str, label: &str, key: &str) -> Option<f64> {
    let text = fs_err::read_to_string(tiny.path(run).join("metrics.json")).unwrap();
    let result: Value = serde_json::from_str(&text).unwrap();
    let model = result["models"].as_array().unwrap().iter().find(|m| m["label"] == label)?.clone();
    model["test"].get(key).or_else(|| model["beyond"].get(key))?.as_f64()
}

#[test]
fn mistakes_about_runs_are_named() {
    let tiny = Tiny::new();
    names(&tiny.call(&["runs", "show", "data"]).error(), &["data holds no run", "config.toml"]);
    names(&tiny.call(&["runs", "list"]).error(), &["runs"]);
    names(&tiny.call(&["runs", "list", "data"]).ok().stdout, &["no run below data"]);
    tiny.verb("train", &[]).error();
    tiny.verb("ingest", &[]).ok();
    let listed = tiny.call(&["runs", "list", ".", "--json"]).ok().json();
    assert_eq!((&listed[0]["state"], &listed[0]["best"]), (&"ingested".into(), &Value::Null));
    let error = tiny.call(&["runs", "compare", "out", "out"]).error();
    names(&error, &["metrics.json", "quintet evaluate"]);
    tiny.verb("run", &["--json"]).ok();
    let error = tiny.call(&["runs", "compare", "out", "out", "--model", "brp"]).error();
    names(&error, &["\"brp\"", "popularity, bpr"]);
    tiny.write("out/metrics.json", b"{");
    let listed = tiny.call(&["runs", "list", "."]).ok().stdout;
    names(&listed, &["damaged"]);
    names(&tiny.call(&["report", "out"]).error(), &["metrics.json", "results of a run"]);
}

#[test]
fn item_factors_are_written_for_the_projector() {
    let tiny = Tiny::new();
    tiny.verb("run", &["--json"]).ok();
    let done = tiny.call(&["runs", "projector", "out", "--model", "bpr", "--json"]).ok().json();
    assert_eq!((done["items"].as_u64(), done["dim"].as_u64()), (Some(10), Some(4)));
    let read =
        |name: &str| fs_err::read_to_string(tiny.path("out/tensorboard/bpr").join(name)).unwrap();
    let vectors = read("vectors.tsv");
    assert_eq!(vectors.lines().count(), 10);
    for line in vectors.lines() {
        let numbers: Vec<f32> = line.split('\t').map(|x| x.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 4);
    }
    let metadata = read("metadata.tsv");
    assert_eq!(metadata.lines().next(), Some("id\ttitle\tevents"));
    let events: usize = metadata
        .lines()
        .skip(1)
        .map(|l| l.split('\t').nth(2).unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!((metadata.lines().count(), events), (11, 72));
    names(&read("projector_config.pbtxt"), &["tensor_path: \"vectors.tsv\"", "metadata_path"]);
    let error = tiny.call(&["runs", "projector", "out", "--model", "popularity"]).error();
    names(&error, &["popularity", "no factors"]);
    let error = tiny.call(&["runs", "projector", "out", "--model", "none"]).error();
    names(&error, &["quintet train"]);
}

#[test]
fn rules_are_measured_beside_the_lists_and_mistakes_in_them_named() {
    let rule = |lambda: &str, modality: &str| {
        let rule = format!("{{ kind = \"mmr\", lambda = {lambda}, modality = \"{modality}\" }}");
        let table =
            format!("[evaluate]\nprimary = \"ndcg@3\"\ncutoffs = [3]\nrules = [{rule}]\n\n");
        Tiny::with("[train]", &format!("{table}[train]"))
    };
    let run = rule("0.3", "text").verb("run", &["--json"]).ok().json();
    for model in run["models"].as_array().unwrap() {
        let of = |part: &str, key: &str| model[part][key].as_f64().unwrap();
        let (before, after) = (of("beyond", "ild_text@3"), of("ruled", "ild_text@3"));
        assert!(after >= before, "{}: {before} {after}", model["label"]);
        assert!((0.0..=1.0).contains(&of("ruled", "ndcg@3")));
    }
    names(&rule("0.3", "audio").verb("run", &[]).error(), &["[evaluate] rules", "audio", "text"]);
    names(&rule("3.0", "text").verb("run", &[]).error(), &["mmr.lambda", "in [0, 1]", "3"]);
}
