//! The whole way from a configuration to a dataset and its report.

use std::collections::BTreeMap;
use std::path::Path;

use quintet_data::Dataset;

use crate::IngestError;
use crate::catalog::{Catalog, read_join};
use crate::clean_text::clean_texts;
use crate::config::IngestConfig;
use crate::duplicates::merge_duplicates;
use crate::events::Sourced;
use crate::layouts::Reading;
use crate::log::Log;
use crate::media::{DuplicateGroup, DuplicateReport, find_duplicates, read_media, with_text};
use crate::paths::Root;
use crate::progress::{IngestProgress, Quiet};
use crate::report::IngestReport;
use crate::report_stats::DatasetStats;

/// A dataset and everything that is to be said about its sources.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingested {
    /// The dataset.
    pub dataset: Dataset,
    /// What came in, what was kept, and what was not.
    pub report: IngestReport,
    /// All groups of items that show the same; the report lists some of them.
    pub duplicates: Vec<DuplicateGroup>,
}

impl Ingested {
    /// Counts what the charts of the report show. It is left to the caller because it takes
    /// several passes over all events, and who only wants the dataset can do without.
    pub fn describe(&mut self) {
        self.report.stats = DatasetStats::of(&self.dataset);
    }
}

/// Reads the sources of a configuration into a dataset.
///
/// Paths of the configuration are relative to `data_root` and cannot leave it. The order of
/// users, items and events is that of the sources; the order of media is that of the
/// configuration, then of the items. The result does not depend on the number of threads.
///
/// The paths in [`Dataset::media`] are absolute, so that later stages find the files wherever
/// they run.
///
/// # Errors
/// A configuration that cannot be carried out, a source that cannot be read as a whole (missing
/// file, missing column, empty or damaged file), no interaction left, or with `strict = true`
/// the first fault of any kind.
pub fn ingest(config: &IngestConfig, data_root: &Path) -> Result<Ingested, IngestError> {
    ingest_with(config, data_root, &Quiet)
}

/// As [`ingest`], and says how far it is.
///
/// # Errors
/// As [`ingest`].
pub fn ingest_with(
    config: &IngestConfig,
    data_root: &Path,
    progress: &dyn IngestProgress,
) -> Result<Ingested, IngestError> {
    config.validate()?;
    let root = Root::new(data_root)?;
    let mut log = Log::new(config.strict, progress);
    let mut catalog = Catalog::default();
    let mut events = Sourced::default();
    Reading { root: &root, config, catalog: &mut catalog, events: &mut events, log: &mut log }
        .source()?;
    let events = merge_duplicates(events, config.duplicates, &catalog, &mut log)?;
    if events.is_empty() {
        return Err(nothing_left(&log));
    }
    for join in &config.join {
        read_join(&root, join, &mut catalog, &mut log)?;
    }
    let (mut media, mut looks, mut media_reports) = (Vec::new(), Vec::new(), Vec::new());
    for folder in &config.media {
        let folder = read_media(&root, folder, &mut catalog, &mut log)?;
        media.extend(folder.files);
        looks.extend(folder.looks);
        media_reports.push(folder.report);
    }
    let text = clean_texts(config.text.as_ref(), &mut catalog, &mut log)?;
    let duplicates = find_duplicates(&catalog.items, &media, &looks);
    catalog.count_kept(&mut log);
    log.balance()?;
    log.finish_hashes()?;
    let source = source(config, &log)?;
    let dataset = Dataset {
        name: config.name.clone(),
        users: catalog.users,
        items: catalog.items,
        events,
        media,
        source,
    };
    dataset.validate()?;
    let report = IngestReport {
        name: config.name.clone(),
        users: dataset.users.len(),
        items: dataset.items.len(),
        events: dataset.events.len(),
        items_with_text: with_text(&dataset.items),
        files: log.files,
        derived: log.derived,
        media: media_reports,
        text,
        duplicates: DuplicateReport::new(&duplicates, &dataset.items),
        stats: DatasetStats::default(),
        counts: log.counts,
        faults: log.faults,
    };
    Ok(Ingested { dataset, report, duplicates })
}

fn nothing_left(log: &Log) -> IngestError {
    let files = || log.files.iter().filter(|f| f.role == "interactions");
    let first = log.faults.iter().find(|fault| files().any(|f| f.file == fault.file));
    IngestError::NothingLeft {
        rows: files().map(|f| f.rows_in).sum(),
        first: first.cloned().map(Box::new),
    }
}

/// What made the dataset: the hash of every table, and the options.
fn source(config: &IngestConfig, log: &Log) -> Result<BTreeMap<String, String>, IngestError> {
    let mut source: BTreeMap<String, String> = log
        .files
        .iter()
        .map(|f| (format!("{}:{}", f.role, f.file), format!("blake3:{}", f.blake3)))
        .collect();
    source.extend(log.read.iter().cloned());
    let options = serde_json::to_string(config)
        .map_err(|source| IngestError::Json { path: "config".into(), source })?;
    source.insert("config".to_owned(), options);
    let kind = config.sources().join(", ");
    source.insert("kind".to_owned(), kind);
    Ok(source)
}
