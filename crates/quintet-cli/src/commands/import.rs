//! `quintet import`: a feature matrix of somebody else into the feature store of a run.

use std::path::{Path, PathBuf};

use anyhow::Context;
use quintet::core::Modality;
use quintet::data::{ImportIds, Precision};
use quintet::pipeline::{ForeignFeatures, Workspace};

use crate::args::ImportArgs;
use crate::print;

/// Imports the matrix and says where each row and each item went.
pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let workspace = Workspace::new(&args.run);
    let dataset = workspace.read_dataset()?;
    let features = ForeignFeatures {
        modality: args.modality,
        npy: args.npy.clone(),
        ids: args.ids.clone(),
        name: args.name.clone(),
        precision: if args.f16 { Precision::F16 } else { Precision::F32 },
        zero_is_missing: args.zero_is_missing,
    };
    // Paths of a command line are those of the shell.
    let report = features.import(Path::new(""), &dataset, &workspace)?;
    let place = features.dir(&workspace)?;
    if args.json {
        return print::json(&report);
    }
    print::line(&format!(
        "{}: {} rows of {} numbers ({}): {} belong to an item, {} do not",
        args.npy.display(),
        report.rows,
        report.dim,
        report.dtype,
        report.matched_rows,
        report.unmatched_rows
    ));
    print::line(&format!(
        "{} items: {} have a vector now, {} have a blank row, {} have none",
        report.items, report.present, report.blank_items, report.missing_items
    ));
    if report.unknown_ids > 0 {
        print::note(&format!("{} ids are of no item of the dataset", report.unknown_ids));
    }
    print::line(&format!("They are in {}.", place.display()));
    Ok(())
}

/// A modality by its name.
pub(crate) fn modality(name: &str) -> anyhow::Result<Modality> {
    let known = Modality::ALL.map(Modality::as_str);
    let found = Modality::ALL.into_iter().find(|m| m.as_str() == name);
    found.with_context(|| format!("expected one of {}", known.join(", ")))
}

/// Which row is which item: `dataset-order`, `item-is-row`, `list=FILE` or `map=FILE`.
pub(crate) fn ids(text: &str) -> anyhow::Result<ImportIds> {
    let (kind, path) = text.split_once('=').unwrap_or((text, ""));
    let path = PathBuf::from(path);
    Ok(match (kind, path.as_os_str().is_empty()) {
        ("dataset-order", true) => ImportIds::DatasetOrder {},
        ("item-is-row", true) => ImportIds::ItemIsRow {},
        ("list", false) => ImportIds::List { path, column: None, header: true },
        ("map", false) => ImportIds::Map { path, item: None, row: None, header: true },
        _ => anyhow::bail!("expected dataset-order, item-is-row, list=FILE or map=FILE"),
    })
}
