//! Every file of a corpus of odd, corrupt and hostile images: a vector or a typed error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quintet_image::{ColourGradient, ColourGradientConfig, open_image};
use quintet_tensor::{Encoder, RawMedia};
use rayon::prelude::*;

fn corpus() -> PathBuf {
    let shared = std::env::var_os("QUINTET_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    shared.join("data/hostile-media/image")
}

fn files_below(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path(), out),
            Ok(kind) if kind.is_file() => out.push(entry.path()),
            _ => {}
        }
    }
}

#[test]
fn every_hostile_file_gives_a_vector_or_a_typed_error() {
    let folder = corpus();
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    if files.is_empty() {
        println!("skipped: no hostile images at {}", folder.display());
        return;
    }
    files.sort();
    let encoder = ColourGradient::new(&ColourGradientConfig::default()).unwrap();
    let outcomes: Vec<&'static str> = files
        .par_iter()
        .map(|path| {
            let decoded = open_image(&RawMedia::File(path.clone()));
            match decoded.and_then(|image| encoder.prepare(&image)) {
                Ok(vector) => {
                    assert_eq!(vector.len(), encoder.info().dim, "{}", path.display());
                    assert!(vector.iter().all(|v| v.is_finite()), "{}", path.display());
                    "ok"
                }
                Err(error) => {
                    let message = error.to_string();
                    let name = path.file_name().unwrap().to_string_lossy();
                    assert!(message.contains(&*name), "{message}");
                    error.code()
                }
            }
        })
        .collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    outcomes.iter().for_each(|code| *counts.entry(code).or_default() += 1);
    println!("{} files: {counts:?}", files.len());
    assert!(counts.get("ok").is_some_and(|&n| n > 100), "{counts:?}");
    let typed = ["ok", "empty", "truncated", "corrupt", "unsupported", "too_large"];
    assert!(counts.keys().all(|code| typed.contains(code)), "{counts:?}");
}
