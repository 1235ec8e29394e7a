//! The run files of the repository: each is one that the program takes.

use std::path::{Path, PathBuf};

use quintet::Registries;
use quintet::pipeline::RunConfig;

fn below(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    files.filter(named).filter(|path| !path.ends_with("Cargo.toml")).collect()
}

#[test]
fn every_run_file_has_names_and_parameters_that_there_are() {
    let known = Registries::new().unwrap();
    let files: Vec<PathBuf> = ["examples", "benches/fusion"].into_iter().flat_map(below).collect();
    assert!(files.len() > 8, "{files:?}");
    for path in files {
        let config = RunConfig::read(&path).unwrap_or_else(|e| panic!("{e}"));
        config.check_names(&known).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}
