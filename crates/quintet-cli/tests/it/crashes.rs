//! Training that is killed at any moment, and checkpoints that rot.
//!
//! A run is killed with SIGKILL again and again until it ends by itself, and must leave what an
//! uninterrupted run leaves, byte by byte. `QUINTET_KILLS` and `QUINTET_DAMAGES` say how many
//! kills and damaged checkpoints there are; `cargo xtask crash-test` sets them. The moments are
//! drawn from `QUINTET_CRASH_SEED`, which is printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::{RUN_FILE, Tiny, command};

const ARGS: [&str; 7] = ["train", "run.toml", "--data-root", "data", "--out", "out", "--json"];

fn asked(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Numbers from a seed: SplitMix64.
struct Draw(u64);

impl Draw {
    fn begin() -> Self {
        let seed = asked("QUINTET_CRASH_SEED", 1);
        println!("QUINTET_CRASH_SEED={seed}");
        Self(seed as u64)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// A run of two models that writes a checkpoint every epoch, up to the training.
fn prepared(epochs: usize) -> Tiny {
    let tiny = Tiny::new();
    let train = format!("epochs = {epochs}\npatience = 1000\ncheckpoint_every = 1");
    let config =
        RUN_FILE.replace("epochs = 2\npatience = 2", &train).replace("dim = 4", "dim = 24");
    let second = "\n[[models]]\nmodel = \"vbpr\"\nparams = { dim = 8 }\n";
    tiny.write("run.toml", (config + second).as_bytes());
    for verb in ["ingest", "encode"] {
        tiny.verb(verb, &["--json"]).ok();
    }
    tiny
}

/// What a training leaves, without its times: models, reports, logs.
fn left(tiny: &Tiny) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for model in ["popularity", "bpr", "vbpr"] {
        for name in ["model.safetensors", "model.json", "metrics.jsonl"] {
            let path = tiny.path("out/models").join(model).join(name);
            if let Ok(bytes) = fs_err::read(&path) {
                files.insert(format!("{model}/{name}"), timeless(name, bytes));
            }
        }
    }
    assert_eq!(files.len(), 8, "{:?}", files.keys());
    files
}

fn timeless(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    if name != "metrics.jsonl" {
        return bytes;
    }
    let line = |line: &str| {
        let mut epoch: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["train_seconds", "valid_seconds"] {
            epoch.as_object_mut().unwrap().remove(key);
        }
        format!("{epoch}\n")
    };
    String::from_utf8(bytes).unwrap().lines().map(line).collect::<String>().into_bytes()
}

/// Trains until killed after `moment`, or to the end; whether it was killed.
fn killed_after(tiny: &Tiny, moment: Duration) -> bool {
    let mut child = command(&tiny.path(""), &ARGS);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(moment);
    // A process that has ended by itself is not killed any more.
    let ended = child.try_wait().unwrap();
    if ended.is_none() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert!(ended.is_none() || status.success(), "{status}");
    !status.success()
}

#[test]
fn training_that_is_killed_ends_with_the_bytes_of_one_that_is_not() {
    let kills = asked("QUINTET_KILLS", 3);
    let epochs = 40;
    let whole = prepared(epochs);
    let begun = std::time::Instant::now();
    let args = ["--json", "--threads", "1"];
    whole.verb("train", &args).ok();
    let took = begun.elapsed();
    let expected = left(&whole);
    let mut draw = Draw::begin();
    let (mut done, mut runs) = (0, 0);
    while done < kills {
        let cut = prepared(epochs);
        runs += 1;
        // Some kills of every run come soon after the start, when checkpoints are read again.
        while done < kills {
            let share = draw.below(1_000) as u32;
            if !killed_after(&cut, took * share / 1_000) {
                break;
            }
            done += 1;
        }
        cut.verb("train", &["--json"]).ok();
        assert_eq!(left(&cut), expected, "after {done} kills");
        for model in ["bpr", "vbpr"] {
            // A kill between the last checkpoint and the removal of the oldest leaves one more.
            let folders = checkpoints(&cut, model);
            assert!((2..=3).contains(&folders.len()), "{folders:?}");
        }
    }
    println!("{done} kills in {runs} runs: all bytes as without");
}

/// The finished checkpoints of a model, oldest first.
fn checkpoints(tiny: &Tiny, model: &str) -> Vec<PathBuf> {
    let entries =
        fs_err::read_dir(tiny.path("out/models").join(model).join("checkpoints")).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    found.retain(|p| p.file_name().unwrap().to_string_lossy().starts_with("ckpt-"));
    found.sort();
    found
}

/// Damages one file of a folder: a bit, its end, or all of it.
fn damage(folder: &Path, draw: &mut Draw) -> String {
    let mut files: Vec<PathBuf> =
        fs_err::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let path = &files[draw.below(files.len() as u64) as usize];
    let mut bytes = fs_err::read(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    match draw.below(3) {
        0 => {
            let at = draw.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << draw.below(8);
            fs_err::write(path, bytes).unwrap();
            format!("{name}, a bit at {at}")
        }
        1 => {
            let n = draw.below(bytes.len() as u64) as usize;
            fs_err::write(path, &bytes[..n]).unwrap();
            format!("{name}, cut at {n}")
        }
        _ => {
            fs_err::remove_file(path).unwrap();
            format!("{name}, gone")
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let damages = asked("QUINTET_DAMAGES", 3);
    let epochs = 8;
    let tiny = prepared(epochs);
    tiny.verb("train", &["--json"]).ok();
    let expected = left(&tiny);
    let mut draw = Draw::begin();
    for number in 0..damages {
        let model = if draw.below(2) == 0 { "bpr" } else { "vbpr" };
        let newest = checkpoints(&tiny, model).pop().unwrap();
        let what = damage(&newest, &mut draw);
        let done = tiny.verb("train", &["--json"]).ok();
        let told = format!("damage {number}: {model}, {what}: {}", done.stderr);
        let name = newest.file_name().unwrap().to_str().unwrap();
        assert!(done.stderr.contains("damaged checkpoint passed over"), "{told}");
        assert!(done.stderr.contains(name), "{told}");
        // A manifest that says something else shows as a file that does not match it.
        let file = what.split(',').next().unwrap();
        assert!(file == "MANIFEST.json" || done.stderr.contains(file), "{told}");
        let before = format!("{model}: resumed after epoch {}", epochs - 1);
        assert!(done.stderr.contains(&before), "{told}");
        assert_eq!(left(&tiny), expected, "{told}");
        assert!(newest.is_dir(), "{told}: written again");
    }
    println!("{damages} damaged checkpoints: each was named, and the one before it used");
}
