//! Faults of the sources, the order of the stages and the command line: one clear line where the
//! run cannot go on, an entry in the report where it can.

use serde_json::json;

use crate::support::{Tiny, clicks, command, names, quintet};

/// The fault of a code in a report.
#[track_caller]
fn fault(report: &serde_json::Value, code: &str) -> serde_json::Value {
    let faults = report["faults"].as_array().unwrap();
    let found: Vec<_> = faults.iter().filter(|f| f["code"] == code).collect();
    assert_eq!(found.len(), 1, "{code}: {report:#}");
    assert_eq!(report["counts"][code], 1, "{code}: {report:#}");
    found[0].clone()
}

#[test]
fn a_missing_column_ends_the_run() {
    let tiny = Tiny::with("timestamp = \"time\"", "timestamp = \"when\"");
    let error = tiny.verb("ingest", &[]).error();
    names(&error, &["clicks.csv", "expected a column \"when\"", "user, item, stars, time"]);
    assert!(!tiny.path("out").exists());
}

#[test]
fn a_bad_row_is_reported_and_the_run_goes_on() {
    // Line 1 is the header, 2 to 73 are good.
    let csv = clicks() + "u0,i0,many,5\nu0,nothing,3,6\nu0,i0,4,9000\n";
    let tiny = Tiny::with_clicks(&csv);
    let done = tiny.verb("ingest", &[]).ok();
    names(&done.stdout, &["75 rows in = 72 kept + 3 reported"]);
    let report = tiny.report();
    assert_eq!((report["events"].clone(), report["items"].clone()), (json!(72), json!(10)));
    let file = report["files"].as_array().unwrap().iter().find(|f| f["role"] == "interactions");
    let file = file.unwrap();
    let counts = ["rows_in", "rows_kept", "rows_reported"].map(|key| file[key].as_u64().unwrap());
    assert_eq!(counts, [75, 72, 3]);

    let bad = fault(&report, "bad_number");
    assert_eq!((&bad["file"], &bad["line"]), (&json!("clicks.csv"), &json!(74)));
    names(bad["found"].as_str().unwrap(), &["many"]);
    let unknown = fault(&report, "unknown_item");
    assert_eq!((&unknown["file"], &unknown["line"]), (&json!("clicks.csv"), &json!(75)));
    assert_eq!(unknown["item"], "nothing");
    // The later row stays, so the earlier one is reported: line 2 is `u0,i0,1,1000`.
    let pair = fault(&report, "duplicate_pair");
    assert_eq!((&pair["line"], &pair["item"]), (&json!(2), &json!("i0")));
    names(pair["found"].as_str().unwrap(), &["line 76"]);

    // The whole way goes on over it.
    tiny.verb("run", &["--json"]).ok();
    assert_eq!(tiny.report(), report);
    let printed = tiny.verb("ingest", &["--json"]).ok().json();
    assert_eq!(printed, report);
}

#[test]
fn in_strict_mode_a_bad_row_ends_the_run() {
    let rows = [
        ("u0,i0,many,5\n", ["line 74", "bad_number", "many"]),
        ("u0,nothing,3,6\n", ["line 74", "unknown_item", "nothing"]),
        ("u0,i0,4,9000\n", ["line 2", "duplicate_pair", "line 74"]),
    ];
    for (row, parts) in rows {
        let tiny = Tiny::with("name = \"tiny world\"", "strict = true");
        tiny.write("data/clicks.csv", (clicks() + row).as_bytes());
        let error = tiny.verb("ingest", &[]).error();
        names(&error, &["clicks.csv", "expected", "found"]);
        names(&error, &parts);
    }
}

#[test]
fn nothing_to_read_ends_the_run() {
    let header = "user,item,stars,time\n";
    let all_bad = format!("{header}u0,i0,x,1\nu0,i1,y,2\n");
    let cases = [
        ("", vec!["clicks.csv", "empty"]),
        (header, vec!["clicks.csv", "empty"]),
        (&all_bad, vec!["2 rows were read and 2 reported", "clicks.csv, line 2", "\"x\""]),
    ];
    for (csv, parts) in cases {
        let error = Tiny::with_clicks(csv).verb("ingest", &[]).error();
        names(&error, &parts);
    }
    let tiny = Tiny::new();
    tiny.write("data/items.csv", b"");
    names(&tiny.verb("ingest", &[]).error(), &["items.csv", "empty"]);
}

#[test]
fn too_little_to_split_is_said() {
    let error = Tiny::with_clicks("user,item,stars,time\nu0,i0,1,1\n").verb("run", &[]).error();
    names(&error, &["split", "no interactions in", "[split]"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let tiny = Tiny::new();
    names(&tiny.call(&["run", "nowhere.toml"]).error(), &["nowhere.toml", "No such file"]);
    names(&tiny.call(&["run", "data"]).error(), &["data"]);
    let error = tiny.call(&["run", "run.toml", "--data-root", "nowhere"]).error();
    names(&error, &["nowhere"]);
    fs_err::remove_file(tiny.path("data/clicks.csv")).unwrap();
    names(&tiny.verb("run", &[]).error(), &["clicks.csv", "No such file"]);
}

#[test]
fn a_stage_before_its_time_says_what_to_run_first() {
    let tiny = Tiny::new();
    let first = |verb: &str, more: &[&str], needed: &str| {
        let error = tiny.verb(verb, more).error();
        names(&error, &[&format!("run `quintet {needed}` first"), "out"]);
    };
    first("encode", &[], "ingest");
    first("train", &[], "ingest");
    first("evaluate", &[], "ingest");
    first("recommend", &["--user", "u0"], "ingest");
    tiny.verb("ingest", &[]).ok();
    first("train", &[], "encode");
    first("evaluate", &[], "encode");
    tiny.verb("encode", &[]).ok();
    first("evaluate", &[], "train");
    first("recommend", &["--user", "u0"], "train");
    tiny.verb("train", &[]).ok();
    tiny.verb("evaluate", &[]).ok();

    let error = tiny.verb("recommend", &["--user", "nobody"]).error();
    names(&error, &["\"nobody\"", "12 users", "\"u0\""]);
    let error = tiny.verb("recommend", &["--user", "u0", "--model", "bprr"]).error();
    names(&error, &["--model \"bprr\"", "popularity, bpr"]);
}

#[test]
fn models_of_other_data_are_not_measured() {
    // Fitted on one division of the clicks, measured on another: the test part would have been
    // trained on.
    let tiny = Tiny::new();
    for verb in ["ingest", "encode", "train"] {
        tiny.verb(verb, &[]).ok();
    }
    let other = crate::support::RUN_FILE.replace("valid = 0.2", "valid = 0.1");
    tiny.write("run.toml", other.as_bytes());
    for (verb, more) in [("evaluate", vec![]), ("recommend", vec!["--user", "u0"])] {
        let error = tiny.verb(verb, &more).error();
        names(&error, &["out/models/", "quintet train"]);
    }
    // Nor does its training go on from the other's checkpoint.
    names(&tiny.verb("train", &[]).error(), &["out/models/bpr/checkpoints", "another run"]);
    fs_err::remove_dir_all(tiny.path("out/models")).unwrap();
    tiny.verb("train", &[]).ok();
    tiny.verb("evaluate", &[]).ok();
}

#[test]
fn a_damaged_file_of_an_earlier_stage_is_named() {
    let tiny = Tiny::new();
    tiny.verb("run", &["--json"]).ok();
    let cut = |name: &str| {
        let bytes = fs_err::read(tiny.path(name)).unwrap();
        fs_err::write(tiny.path(name), &bytes[..bytes.len() / 2]).unwrap();
        bytes
    };
    let files = [
        "out/models/bpr/model.safetensors",
        "out/models/bpr/model.json",
        "out/dataset/interactions.parquet",
        "out/dataset/dataset.toml",
    ];
    for name in files {
        let whole = cut(name);
        let error = tiny.verb("evaluate", &[]).error();
        names(&error, &[name]);
        fs_err::write(tiny.path(name), whole).unwrap();
    }
    tiny.verb("evaluate", &[]).ok();
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let tiny = Tiny::new();
    let done = tiny.verb("run", &["--device", "cdua"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    names(&done.stderr, &["error: ", "cdua", "known: auto, flex", "cuda", "--device"]);
    assert!(!done.stderr.contains("panicked") && !tiny.path("out").exists(), "{done:?}");

    let report = tiny.call(&["doctor", "--json"]).ok().json();
    let devices = report["devices"].as_array().unwrap();
    let cuda = devices.iter().find(|d| d["device"] == "cuda").unwrap();
    if cuda["compiled"] == false {
        for args in [vec!["run", "run.toml", "--data-root", "data"], vec!["demo"]] {
            let mut args = args.clone();
            args.extend(["--out", "elsewhere", "--device", "cuda"]);
            let error = tiny.call(&args).error();
            names(&error, &["cuda", "not compiled", "--features cuda", "flex"]);
        }
    }
}

#[test]
fn numbers_on_the_command_line_have_ranges() {
    let tiny = Tiny::new();
    let refused = |args: &[&str], parts: &[&str]| names(&tiny.call(args).error(), parts);
    refused(&["--threads", "0", "list"], &["--threads", "expected at least 1", "found 0"]);
    refused(&["demo", "--seeds", "0"], &["--seeds", "expected at least 1", "found 0"]);
    let out = ["--out", "demo-out"];
    for (knob, value, range) in [
        ("users", "0", "between 1 and"),
        ("items", "3", "between 20 and"),
        ("themes", "1", "between 2 and"),
        ("clicks-per-user", "0", "between 1 and"),
        ("noise", "NaN", "between 0 and"),
        ("missing", "1.5", "between 0 and"),
        ("cold", "0.9", "between 0 and"),
    ] {
        let knob_arg = format!("--{knob}");
        let mut args = vec!["demo", knob_arg.as_str(), value];
        args.extend(out);
        refused(&args, &[&knob.replace('-', "_"), range, value]);
    }
    for args in [vec!["run"], vec!["walk"], vec!["list", "--threads", "many"], vec![]] {
        let done = tiny.call(&args);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(!done.stderr.contains("panicked"), "{done:?}");
    }
}

#[test]
fn the_demo_takes_nobody_s_folder() {
    let owned = [
        ("out/world/novel.txt", "out/world"),
        ("out/run/config.toml", "out/run"),
        ("out/run/notes.md", "out/run"),
        ("out/demo.toml", "out/demo.toml"),
    ];
    for (file, named) in owned {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, "mine").unwrap();
        let size = ["--users", "20", "--items", "20", "--clicks-per-user", "4"];
        let mut args = vec!["demo", "--out", "out"];
        args.extend(size);
        let error = quintet(dir.path(), &args).error();
        names(&error, &[named, "choose another --out"]);
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "mine", "{file}");
    }
    // A file where the folder should be.
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("out"), "mine").unwrap();
    names(&quintet(dir.path(), &["demo", "--out", "out"]).error(), &["out"]);
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_early_is_no_panic() {
    use std::io::Read;
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path(), &["demo", "--recipe"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Closed before the program has started to write: as `quintet … | head -0`.
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    child.wait().unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
}
