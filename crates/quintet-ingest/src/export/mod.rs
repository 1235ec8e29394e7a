//! Datasets as tables and folders that others read, and that [`crate::ingest`] reads back.

mod columnar;
mod folders;
mod sheet;
mod text;

use std::path::{Path, PathBuf};

use quintet_data::{Dataset, replace_dir_atomic};
use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::config::{
    DuplicatePolicy, IngestConfig, InteractionColumns, ItemColumns, TableFile, TablesConfig,
    UserColumns,
};
use crate::config_sources::{LightGcnConfig, MmRecConfig, RecBoleConfig};
use sheet::{Names, Sheet};

/// The file of an export that says how it is read back.
const CONFIG: &str = "ingest.toml";

/// What a dataset is exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// `interactions.csv`, `items.csv`, `users.csv` (RFC 4180).
    Csv,
    /// The same with tabs, quoted where a field holds a tab, a quote or a line end.
    Tsv,
    /// The same as JSON Lines.
    Jsonl,
    /// The same as JSON arrays of objects.
    Json,
    /// The same as Parquet (Snappy).
    Parquet,
    /// The same as Arrow IPC files.
    Arrow,
    /// `NAME.inter`, `NAME.item`, `NAME.user`: atomic files of RecBole.
    RecBole,
    /// `train.txt`, `valid.txt`, `test.txt`, with numbers for ids, listed in `item_list.txt` and
    /// `user_list.txt`.
    LightGcn,
    /// `NAME.inter` with numbers for ids, and `i_id_mapping.csv`, `u_id_mapping.csv`.
    MmRec,
}

impl ExportFormat {
    /// All formats.
    pub const ALL: [Self; 9] = [
        Self::Csv,
        Self::Tsv,
        Self::Jsonl,
        Self::Json,
        Self::Parquet,
        Self::Arrow,
        Self::RecBole,
        Self::LightGcn,
        Self::MmRec,
    ];

    /// The name in files and on a command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::RecBole => "recbole",
            Self::LightGcn => "lightgcn",
            Self::MmRec => "mmrec",
        }
    }
}

/// Writes users, items and events of a dataset into a folder; gives the paths of the files.
///
/// The folder appears whole or not at all; one that holds an `ingest.toml` of an earlier export
/// is replaced, any other that is not empty is refused. `ingest.toml` is the `[ingest]` table of
/// [`export_config`]. Media files and [`Dataset::source`] are not exported.
///
/// What is lost beside that:
///
/// - `csv`, `tsv`: `\r\n` inside a text becomes `\n`.
/// - `recbole`: tabs and line ends in text and attributes become blanks; text begins with the
///   title; an empty title stays empty.
/// - `mmrec`: titles, text, attributes and kinds of events; an event without a part is `train`.
/// - `lightgcn`: the same, values, times, the order of events, and items without events.
///
/// # Errors
/// A folder that must not be replaced, a file that cannot be written, or ids and names of
/// attributes that the format cannot hold.
pub fn export(
    dataset: &Dataset,
    format: ExportFormat,
    dir: &Path,
) -> Result<Vec<PathBuf>, IngestError> {
    dataset.validate()?;
    let mut names: Vec<String> = Vec::new();
    replace_dir_atomic(dir, CONFIG, |draft| -> Result<(), IngestError> {
        names = match format {
            ExportFormat::RecBole => folders::recbole(dataset, draft)?,
            ExportFormat::LightGcn => folders::lightgcn(dataset, draft)?,
            ExportFormat::MmRec => folders::mmrec(dataset, draft)?,
            table => tables(dataset, table, draft)?,
        };
        let config = Whole { ingest: export_config(dataset, format) };
        let text = toml::to_string(&config).map_err(|error| IngestError::Export {
            what: CONFIG.to_owned(),
            expected: "a configuration that TOML can hold",
            found: error.to_string(),
        })?;
        let write = fs_err::write(draft.join(CONFIG), text);
        write.map_err(IngestError::io(CONFIG))?;
        names.push(CONFIG.to_owned());
        Ok(())
    })?;
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

#[derive(Serialize)]
struct Whole {
    ingest: IngestConfig,
}

fn tables(dataset: &Dataset, format: ExportFormat, dir: &Path) -> Result<Vec<String>, IngestError> {
    let names = Names::new(dataset);
    let sheets = [
        ("interactions", Sheet::interactions(dataset)),
        ("items", Sheet::items(dataset, &names)),
        ("users", Sheet::users(dataset, &names)),
    ];
    let mut files = Vec::new();
    for (stem, sheet) in &sheets {
        let file = format!("{stem}.{}", format.as_str());
        sheet.check_names(&file)?;
        let path = dir.join(&file);
        match format {
            ExportFormat::Jsonl => text::json(sheet, &path, false)?,
            ExportFormat::Json => text::json(sheet, &path, true)?,
            ExportFormat::Parquet => columnar::parquet(sheet, &path)?,
            ExportFormat::Arrow => columnar::arrow(sheet, &path)?,
            ExportFormat::Csv => text::delimited(sheet, &path, b',')?,
            _ => text::delimited(sheet, &path, b'\t')?,
        }
        files.push(file);
    }
    Ok(files)
}

/// The configuration that reads an export back, with the exported folder as the data root.
///
/// Repeated events are kept (`duplicates = "keep_all"`), for they were in the dataset.
pub fn export_config(dataset: &Dataset, format: ExportFormat) -> IngestConfig {
    let config = IngestConfig {
        name: dataset.name.clone(),
        duplicates: DuplicatePolicy::KeepAll,
        ..IngestConfig::default()
    };
    let (folder, name) = (".".to_owned(), None);
    match format {
        ExportFormat::RecBole => {
            IngestConfig { recbole: Some(RecBoleConfig { folder, name }), ..config }
        }
        ExportFormat::LightGcn => {
            IngestConfig { lightgcn: Some(LightGcnConfig { folder }), ..config }
        }
        ExportFormat::MmRec => {
            IngestConfig { mmrec: Some(MmRecConfig { folder, name, original_ids: true }), ..config }
        }
        table => IngestConfig { tables: Some(tables_config(dataset, table)), ..config },
    }
}

fn tables_config(dataset: &Dataset, format: ExportFormat) -> TablesConfig {
    let names = Names::new(dataset);
    let has = |given: bool, name: &str| given.then(|| name.to_owned());
    let missing = dataset.events.n_without_time();
    let interactions = InteractionColumns {
        value: Some("value".to_owned()),
        timestamp: has(missing < dataset.events.len(), "timestamp"),
        optional_timestamp: missing > 0 && missing < dataset.events.len(),
        event: Some("event".to_owned()),
        part: has(dataset.events.has_parts(), "part"),
        ..InteractionColumns::default()
    };
    let items = ItemColumns {
        id: names.item_id.clone(),
        title: Some(names.title.clone()),
        text: vec![names.text.clone()],
        attributes: names.item_attributes.clone(),
    };
    let users =
        UserColumns { id: names.user_id.clone(), attributes: names.user_attributes.clone() };
    TablesConfig {
        interactions: vec![file("interactions", format, interactions)],
        items: Some(file("items", format, items)),
        users: Some(file("users", format, users)),
    }
}

fn file<C>(stem: &str, format: ExportFormat, columns: C) -> TableFile<C> {
    TableFile {
        path: format!("{stem}.{}", format.as_str()),
        format: None,
        delimiter: None,
        header: None,
        quote: (format == ExportFormat::Tsv).then_some(true),
        encoding: None,
        columns,
    }
}
