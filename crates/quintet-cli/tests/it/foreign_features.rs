//! Features that somebody else computed, and items without any.

use crate::support::{RUN_FILE, Tiny, names};

pub(crate) const TABLES: &str = r#"
[[features]]
modality = "image"
npy = "vectors.npy"
ids = { from = "list", path = "ids.txt" }
name = "elsewhere"
zero_is_missing = true

[missing.image]
strategy = "neighbour_mean"
neighbours = 3

[[models]]
model = "vbpr"
params = { dim = 4, content_dim = 4 }
"#;

/// Eight rows of two numbers: items 0 to 7, of which item 3 has zeros.
fn vectors() -> Vec<u8> {
    let mut header = "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 2), }".to_owned();
    header.push_str(&" ".repeat((64 - (10 + header.len() + 1) % 64) % 64));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for item in 0..8u8 {
        let x = if item == 3 { 0.0 } else { 1.0 + f32::from(item) };
        bytes.extend([x, x / 2.0].iter().flat_map(|v| v.to_le_bytes()));
    }
    bytes
}

pub(crate) fn tiny(tables: &str) -> Tiny {
    let tiny = Tiny::new();
    tiny.write("run.toml", format!("{RUN_FILE}{tables}").as_bytes());
    tiny.write("data/vectors.npy", &vectors());
    let ids: String = (0..8).map(|i| format!("i{i}\n")).collect();
    tiny.write("data/ids.txt", ids.as_bytes());
    tiny
}

#[test]
fn a_matrix_of_somebody_else_is_a_modality() {
    let tiny = tiny(TABLES);
    let whole = tiny.verb("run", &["--json"]).ok().json();
    let labels: Vec<&str> =
        whole["models"].as_array().unwrap().iter().map(|m| m["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["popularity", "bpr", "vbpr"]);
    // Ten items: seven with a vector, one with zeros, two without a row.
    let encoded = tiny.verb("encode", &["--json"]).ok().json();
    let image = &encoded["modalities"][1];
    assert_eq!((image["encoded"].as_u64(), image["missing"].as_u64()), (Some(7), Some(3)));
    assert_eq!(encoded["imported"][0]["blank_items"].as_u64(), Some(1));
    // Stage by stage it is the same, without the data root.
    let args = ["train", "run.toml", "--out", "out"];
    let trained = tiny.call(&args).ok();
    names(&trained.stdout, &["image: 3 of 3 items without it got a vector", "leakage"]);
    let again = tiny.call(&["evaluate", "run.toml", "--out", "out", "--json"]).ok().json();
    assert_eq!(again, whole);
}

#[test]
fn what_does_not_fit_is_one_line() {
    let twice = TABLES.replace("\"image\"", "\"text\"");
    names(&tiny(&twice).verb("run", &[]).error(), &["[[features]] modality text occurs twice"]);
    let nothing = "\n[missing.audio]\nstrategy = \"mean\"\n";
    names(&tiny(nothing).verb("run", &[]).error(), &["[missing.audio]", "[[features]]"]);
    let wrong = TABLES.replace("neighbours = 3", "neighbours = 0");
    names(&tiny(&wrong).verb("run", &[]).error(), &["neighbours", "at least 1"]);
    let short = tiny(TABLES);
    short.write("data/ids.txt", b"i0\ni1\n");
    names(&short.verb("run", &[]).error(), &["vectors.npy", "2 rows", "id file", "8"]);
    let cut = tiny(TABLES);
    cut.write("data/vectors.npy", &vectors()[..100]);
    names(&cut.verb("run", &[]).error(), &["vectors.npy"]);
    let damaged = tiny(TABLES);
    damaged.verb("ingest", &[]).ok();
    damaged.verb("encode", &[]).ok();
    for file in ["out/dataset/duplicates.json", "out/features/imported.json"] {
        damaged.write(file, b"[");
        names(&damaged.verb("train", &[]).error(), &[file, "expected", "found"]);
    }
    let unmade = tiny(TABLES);
    unmade.verb("ingest", &[]).ok();
    names(&unmade.verb("train", &[]).error(), &["quintet encode"]);
}

#[test]
fn a_matrix_is_taken_in_by_one_verb() {
    let tiny = tiny(TABLES);
    tiny.verb("ingest", &[]).ok();
    let import = |ids: &str| {
        let npy = ["--npy", "data/vectors.npy", "--zero-is-missing", "--modality", "image"];
        tiny.call(&[&["import", "out", "--ids", ids][..], &npy[..]].concat())
    };
    let done = import("list=data/ids.txt").ok();
    names(&done.stdout, &["8 rows of 2 numbers", "7 have a vector", "1 have a blank row"]);
    names(&import("dataset-order").error(), &["vectors.npy", "8", "10"]);
    names(&import("list=data/none.txt").error(), &["none.txt"]);
    let unknown = import("by-magic");
    assert!(unknown.code != Some(0));
    names(&unknown.stderr, &["by-magic", "item-is-row", "map=FILE"]);
}
