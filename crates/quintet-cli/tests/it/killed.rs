//! `quintet encode` that is killed, and catalogues that share a cache.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

use crate::support::{Tiny, command};

/// Enough for several windows of the encoder.
const ITEMS: usize = 420;

fn png(item: usize) -> Vec<u8> {
    let (blue, tilt) = ((item % 251) as u8, (item / 251) as u32);
    let image =
        RgbImage::from_fn(96, 96, |x, y| Rgb([((2 + tilt) * x) as u8, (y * 2) as u8, blue]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A catalogue of so many pictures, ingested.
fn catalogue(n: usize) -> Tiny {
    let tiny = Tiny::new();
    let mut items = String::from("id,title\n");
    let mut clicks = String::from("user,item,stars,time\n");
    for item in 0..n {
        items += &format!("i{item},thing\n");
        clicks += &format!("u{},i{item},5,{item}\n", item % 12);
        tiny.write(&format!("data/images/i{item}.png"), &png(item));
    }
    tiny.write("data/items.csv", items.as_bytes());
    tiny.write("data/clicks.csv", clicks.as_bytes());
    let config = crate::support::RUN_FILE
        .replace("\n[split]", "media = [{ modality = \"image\", folder = \"images\" }]\n\n[split]")
        .replace("modality = \"text\"\nencoder = \"tfidf-svd\"\nparams = { dim = 3 }", IMAGE);
    tiny.write("run.toml", config.as_bytes());
    tiny.verb("ingest", &[]).ok();
    tiny
}

const IMAGE: &str = "modality = \"image\"\nencoder = \"colour-gradient\"";

/// Every file of the features of a run.
fn features(tiny: &Tiny, out: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for dir in fs_err::read_dir(tiny.path(out).join("features")).unwrap() {
        let dir = dir.unwrap();
        // What a killed process left half-written is no feature directory.
        if dir.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        for file in fs_err::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            let name = Path::new(&dir.file_name()).join(file.file_name());
            files.insert(name.display().to_string(), fs_err::read(file.path()).unwrap());
        }
    }
    assert_eq!(files.len(), 4);
    files
}

fn encode(tiny: &Tiny, more: &[&str]) -> Value {
    let report = tiny.verb("encode", &[&["--json"], more].concat()).ok().json();
    report["modalities"][0].clone()
}

fn computed(line: &Value) -> usize {
    line["computed"].as_u64().unwrap() as usize
}

/// Bytes below a folder, 0 when it is not there.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = fs_err::read_dir(dir) else { return 0 };
    let len = |e: fs_err::DirEntry| match e.path().is_dir() {
        true => size(&e.path()),
        false => e.metadata().map_or(0, |m| m.len()),
    };
    entries.flatten().map(len).sum()
}

#[test]
fn a_killed_encode_goes_on_where_it_was() {
    let tiny = catalogue(ITEMS);
    let whole = encode(&tiny, &["--cache", "whole"]);
    assert_eq!((computed(&whole), whole["encoded"].as_u64()), (ITEMS, Some(ITEMS as u64)));
    let expected = features(&tiny, "out");

    fs_err::remove_dir_all(tiny.path("out/features")).unwrap();
    let args = ["encode", "run.toml", "--data-root", "data", "--out", "out", "--threads", "1"];
    // The first of four windows is whole then, and the second one begun: what is half-written when
    // a process ends is made again.
    let enough = size(&tiny.path("whole")) * 2 / 5;
    let mut child = command(&tiny.path(""), &args).spawn().unwrap();
    let begun = Instant::now();
    while size(&tiny.path("out/cache")) < enough && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = encode(&tiny, &[]);
    // On a fast machine the kill may come after the last window.
    println!("{} of {ITEMS} were left after the kill", computed(&resumed));
    assert!(computed(&resumed) < ITEMS);
    assert_eq!(features(&tiny, "out"), expected);
}

#[test]
fn one_changed_file_is_encoded_alone_and_other_runs_know_the_rest() {
    let tiny = catalogue(30);
    // Two files of one content.
    tiny.write("data/images/i7.png", &png(3));
    tiny.verb("ingest", &[]).ok();
    let cache = ["--cache", "shared"];
    assert_eq!(computed(&encode(&tiny, &cache)), 29);
    assert_eq!(encode(&tiny, &cache)["reused"], true);
    tiny.write("data/images/i9.png", &png(900));
    tiny.verb("ingest", &[]).ok();
    let line = encode(&tiny, &cache);
    assert_eq!((computed(&line), line["encoded"].as_u64()), (1, Some(30)));

    // Another catalogue, of which 25 pictures are known.
    let other = catalogue(26);
    let shared = tiny.path("shared");
    let shared = ["--cache", shared.to_str().unwrap()];
    let line = encode(&other, &shared);
    assert_eq!((computed(&line), line["encoded"].as_u64()), (1, Some(26)));
    let expected = features(&other, "out");
    fs_err::remove_dir_all(other.path("out/features")).unwrap();
    assert_eq!(computed(&encode(&other, &[])), 26);
    assert_eq!(features(&other, "out"), expected);
}

#[test]
fn a_file_that_changed_after_the_ingest_costs_its_item() {
    let tiny = catalogue(5);
    tiny.write("data/images/i2.png", &png(77));
    let line = encode(&tiny, &[]);
    assert_eq!((computed(&line), line["encoded"].as_u64()), (5, Some(4)));
    let error = line["errors"][0].as_str().unwrap();
    crate::support::names(error, &["item i2", "i2.png", "that was ingested", "quintet ingest"]);
}
