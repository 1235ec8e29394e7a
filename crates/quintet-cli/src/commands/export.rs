//! `quintet export`: a dataset in the forms that others read.

use std::path::{Path, PathBuf};

use anyhow::Context;
use quintet::data::Dataset;
use quintet::ingest::{ExportFormat, export};
use serde_json::json;

use crate::args::ExportArgs;
use crate::print;

/// Writes the files and names them.
pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let dataset = Dataset::read(&dataset_dir(&args.dataset))?;
    let files = export(&dataset, args.format, &args.to)?;
    if args.json {
        return print::json(&json!({
            "users": dataset.users.len(), "items": dataset.items.len(),
            "events": dataset.events.len(), "files": files,
        }));
    }
    print::line(&format!(
        "{}: {} users, {} items and {} events as {}",
        dataset.name,
        dataset.users.len(),
        dataset.items.len(),
        dataset.events.len(),
        args.format.as_str()
    ));
    files.iter().for_each(|f| print::line(&f.display().to_string()));
    Ok(())
}

/// A dataset's own folder, also where the folder of a run is given.
pub(crate) fn dataset_dir(path: &Path) -> PathBuf {
    let inner = path.join("dataset");
    if inner.join("dataset.toml").is_file() { inner } else { path.to_owned() }
}

/// A format by its name, for the command line.
pub(crate) fn format(name: &str) -> anyhow::Result<ExportFormat> {
    let known = ExportFormat::ALL.map(ExportFormat::as_str);
    let found = ExportFormat::ALL.into_iter().find(|f| f.as_str() == name);
    found.with_context(|| format!("expected one of {}", known.join(", ")))
}
