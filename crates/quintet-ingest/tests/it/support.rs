//! Folders and configurations for the tests.

use std::path::{Path, PathBuf};

use quintet_ingest::{FaultCode, IngestConfig, IngestError, IngestReport, Ingested, ingest};
use tempfile::TempDir;

/// A data root with some files.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(dir.path(), name, text.as_bytes());
    }
    dir
}

/// Writes a file and the folders above it.
pub(crate) fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

/// A configuration from the text of an `[ingest]` table.
pub(crate) fn config(text: &str) -> IngestConfig {
    toml::from_str(text).unwrap()
}

/// An ingest that must succeed.
pub(crate) fn run(root: &Path, text: &str) -> Ingested {
    let done = ingest(&config(text), root).unwrap();
    for f in &done.report.files {
        assert_eq!(f.rows_in, f.rows_kept + f.rows_reported, "{f:?}");
    }
    done
}

/// An ingest that must fail.
pub(crate) fn fail(root: &Path, text: &str) -> IngestError {
    ingest(&config(text), root).unwrap_err()
}

/// The faults as (code, file, line).
pub(crate) fn places(report: &IngestReport) -> Vec<(FaultCode, &str, Option<u64>)> {
    report.faults.iter().map(|f| (f.code, f.file.as_str(), f.line)).collect()
}

/// A folder of the shared real data, or a printed line that says that the test is skipped.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("QUINTET_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join("data").join(name);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: the shared data folder {name} is absent");
    None
}
