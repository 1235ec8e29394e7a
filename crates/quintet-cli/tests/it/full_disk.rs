//! A disk that is full: one line says which file, and the next run goes on from there.
//!
//! A limit on the size of files (`ulimit -f`) stands in for the disk: a write beyond it fails
//! with EFBIG where a full disk gives ENOSPC, and Quintet treats both alike. Small files still
//! fit, so that each limit stops the run at another file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Done, RUN_FILE, Tiny};

/// Limits in the unit of POSIX, 512 bytes.
const LIMITS: [u32; 7] = [0, 1, 3, 8, 20, 80, 160];

/// What has been done when the disk becomes full: later stages then write the first files.
const DONE: [&[&str]; 4] =
    [&[], &["ingest"], &["ingest", "encode"], &["ingest", "encode", "train"]];

fn world() -> Tiny {
    let tiny = Tiny::new();
    // Checkpoints, and factors that are larger than most of the other files.
    let config = RUN_FILE
        .replace("patience = 2", "patience = 2\ncheckpoint_every = 1")
        .replace("dim = 4", "dim = 400");
    assert!(config.contains("checkpoint_every") && config.contains("400"));
    tiny.write("run.toml", config.as_bytes());
    tiny
}

/// Runs the program where no file may have more than `blocks` of 512 bytes.
fn limited(tiny: &Tiny, blocks: u32) -> Done {
    // Without the signal's default the write itself fails, as on a full disk.
    let script = "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh", &blocks.to_string(), env!("CARGO_BIN_EXE_quintet")])
        .args(["run", "run.toml", "--data-root", "data", "--out", "out", "--json"])
        .current_dir(tiny.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Every file below a folder with its bytes, hidden ones too.
fn files(dir: &Path, below: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs_err::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, below, found);
        } else {
            let name = path.strip_prefix(below).unwrap().display().to_string();
            found.insert(name, fs_err::read(&path).unwrap());
        }
    }
}

/// What a run leaves, without the files that times stand in (logs, their events, checkpoints with
/// the log in them, `run.json`, the page) or in whose names they do (the cache).
fn left(tiny: &Tiny) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let out = tiny.path("out");
    if out.is_dir() {
        files(&out, &out, &mut found);
    }
    found.retain(|name, _| {
        let timed = ["metrics.jsonl", "run.json", "report.html"];
        !timed.iter().any(|end| name.ends_with(end))
            && !name.starts_with("tensorboard")
            && !name.contains("checkpoints/ckpt-")
            && !name.starts_with("cache")
    });
    found
}

/// The file that an error names.
fn named(error: &str) -> String {
    let name = error.split(['`', '"', ' ', ':']).rfind(|w| w.contains("out/"));
    let name = name.unwrap_or_else(|| panic!("no file is named: {error}"));
    // Drafts have the number of the process in their names.
    name.rsplit_once("out/").unwrap().1.replace(|c: char| c.is_ascii_digit(), "")
}

#[test]
fn a_full_disk_is_told_in_one_line_and_the_next_run_goes_on() {
    let whole = world();
    let done = limited(&whole, 1 << 20).ok();
    let expected = left(&whole);
    assert!(expected.contains_key("per_user.parquet"), "{:?}", expected.keys());
    let mut stopped = BTreeSet::new();
    for before in DONE {
        for blocks in LIMITS {
            let tiny = world();
            for verb in before {
                tiny.verb(verb, &["--json"]).ok();
            }
            let Some(name) = cut(&tiny, blocks, &expected) else { continue };
            stopped.insert(name);
            let again = tiny.verb("run", &["--json"]).ok();
            let told = format!("{blocks} blocks after {before:?}");
            assert_eq!(again.json()["models"], done.json()["models"], "{told}");
            let found = left(&tiny);
            assert!(found.keys().eq(expected.keys()), "{told}: {:?}", found.keys());
            for (name, bytes) in &found {
                assert_eq!(bytes, &expected[name], "{told}: {name}");
            }
        }
    }
    println!("stopped at: {stopped:?}");
    for part in ["config.toml", "dataset/", "checkpoints/"] {
        assert!(stopped.iter().any(|name| name.contains(part)), "nothing of {part}: {stopped:?}");
    }
}

/// Runs under a limit: one line names the file, which is given, and nothing is half-written. None
/// where every file fits.
fn cut(tiny: &Tiny, blocks: u32, expected: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    let cut = limited(tiny, blocks);
    if cut.code == Some(0) {
        return None;
    }
    let told = format!("{blocks} blocks: {}", cut.stderr);
    assert!(!cut.stderr.contains("panicked") && cut.code.is_some(), "{told}");
    let errors: Vec<&str> = cut.stderr.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{told}");
    assert!(errors[0].contains("File too large"), "{told}");
    let mut all = BTreeMap::new();
    if tiny.path("out").is_dir() {
        files(&tiny.path("out"), &tiny.path("out"), &mut all);
    }
    assert!(!all.keys().any(|name| name.contains(".tmp")), "{told}: {:?}", all.keys());
    for (name, bytes) in left(tiny) {
        // Later stages write the report of the dataset again, with more in it.
        if name == "dataset/report.json" {
            let whole: Result<serde_json::Value, _> = serde_json::from_slice(&bytes);
            assert!(whole.is_ok(), "{told}: {name} is not whole");
        } else if let Some(whole) = expected.get(&name) {
            assert_eq!(&bytes, whole, "{told}: {name} is not whole");
        }
    }
    Some(named(errors[0]))
}
