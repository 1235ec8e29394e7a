//! The `[ingest]` table of a run file.
//!
//! Plain serde structs; an unknown key is refused, so that a typo cannot become a behaviour.
//! All paths are relative to the data root that is given beside the configuration.

use std::collections::BTreeMap;
use std::time::SystemTime;

use quintet_core::Modality;
use quintet_data::Part;
use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::clean_text::TextConfig;
use crate::config_sources::{
    AmazonConfig, CheckinsConfig, LightGcnConfig, MmRecConfig, RecBoleConfig,
};
use crate::config_sql::SqlConfig;
use crate::media::Pattern;
use crate::parse::{Clock, rfc3339};

/// What to read and what to do about faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// What a person calls the dataset.
    pub name: String,
    /// End at the first fault instead of reporting it and going on.
    pub strict: bool,
    /// What to do with an interaction whose item is not in the items table.
    pub unknown_items: UnknownPolicy,
    /// What to do with an interaction whose user is not in the users table.
    pub unknown_users: UnknownPolicy,
    /// What to do when one user has several events of one kind with one item.
    pub duplicates: DuplicatePolicy,
    /// Events before this time are reported and left out: `2020-01-31` or a full RFC 3339 time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Events after this time are reported and left out: `2020-01-31` (its end), a full RFC 3339
    /// time, or `now`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// A MovieLens folder. Exactly one source is given: this, `tables` or one of those below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub movielens: Option<MovieLensConfig>,
    /// Tables of any origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<TablesConfig>,
    /// A folder of RecBole's atomic files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recbole: Option<RecBoleConfig>,
    /// A folder of MMRec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mmrec: Option<MmRecConfig>,
    /// A folder of LightGCN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lightgcn: Option<LightGcnConfig>,
    /// Amazon reviews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amazon: Option<AmazonConfig>,
    /// Check-ins with coordinates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkins: Option<CheckinsConfig>,
    /// Queries over folders of Parquet and CSV; needs the feature `sql`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlConfig>,
    /// More tables whose text is added to the items.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<JoinConfig>,
    /// Folders of media files, one a modality.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<MediaConfig>,
    /// How the items' texts are cleaned, when all of them are there; not at all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextConfig>,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            name: "dataset".to_owned(),
            strict: false,
            unknown_items: UnknownPolicy::default(),
            unknown_users: UnknownPolicy::default(),
            duplicates: DuplicatePolicy::default(),
            not_before: None,
            not_after: None,
            movielens: None,
            tables: None,
            recbole: None,
            mmrec: None,
            lightgcn: None,
            amazon: None,
            checkins: None,
            sql: None,
            join: Vec::new(),
            media: Vec::new(),
            text: None,
        }
    }
}

/// What to do with an id that the catalogue does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPolicy {
    /// Report the row and leave it out.
    #[default]
    Report,
    /// Keep the row and add the id, without title or attributes.
    Add,
}

/// What to do when a (user, item) pair has several events of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicatePolicy {
    /// Keep the latest by time stamp; by position in the source when one of them has none.
    #[default]
    KeepLast,
    /// Keep the earliest by time stamp; by position in the source when one of them has none.
    KeepFirst,
    /// Keep the one with the largest value; of several with it, as with `keep_last`.
    KeepMax,
    /// Add their values up and keep the sum at the latest time. Rows that agree in everything, a
    /// time stamp among it, count once.
    Sum,
    /// Keep them all, for logs in which doing something again is a fact of its own. Only rows
    /// that agree in everything, a time stamp among it, are still merged.
    KeepAll,
    /// End the run.
    Error,
}

/// A MovieLens folder: 100k, 1M or latest, told apart by its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MovieLensConfig {
    /// The folder, relative to the data root.
    pub folder: String,
}

/// Tables of interactions, items and users.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablesConfig {
    /// One or more files of interactions, read in this order.
    pub interactions: Vec<TableFile<InteractionColumns>>,
    /// The catalogue. Without it, the items are those of the interactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<TableFile<ItemColumns>>,
    /// The users. Without it, the users are those of the interactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<TableFile<UserColumns>>,
}

/// One file and the meaning of its columns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableFile<C> {
    /// The file, relative to the data root.
    pub path: String,
    /// The format; by the extension when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<TableFormat>,
    /// What separates two fields, one or more characters; `,` for CSV and a tab for TSV when
    /// absent. Only for CSV and TSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// Whether the first line names the columns; yes when absent. Without such a line the
    /// columns are called `1`, `2`, `3`, … Only for CSV and TSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Whether `"` quotes a field; yes for CSV and no for TSV when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<bool>,
    /// The character encoding; UTF-8 when absent. Only for CSV and TSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Which column is what.
    pub columns: C,
}

/// The format of a table.
///
/// A text format may be packed with gzip or Zstandard, which its first bytes tell; the extension
/// before `.gz`, `.zst` or `.zstd` then names the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// Comma-separated values (RFC 4180), extension `csv`.
    Csv,
    /// Tab-separated values, extensions `tsv` and `tab`, and `inter`, `item` and `user` of the
    /// atomic files of RecBole, whose columns are found with and without their `:type`.
    Tsv,
    /// One JSON object a line, extensions `jsonl` and `ndjson`. A line that is a Python literal
    /// instead is read too.
    Jsonl,
    /// A JSON document, extension `json`: an array of objects, an object whose first array of
    /// objects holds the rows, objects one after the other, or JSON Lines after all.
    Json,
    /// Apache Parquet, extensions `parquet` and `pq`.
    Parquet,
    /// An Arrow IPC file or stream, extensions `arrow`, `arrows`, `ipc` and `feather`.
    Arrow,
}

/// The character encoding of a CSV or TSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1, in which every byte is a character.
    #[serde(rename = "latin-1")]
    Latin1,
}

/// The unit of a time stamp column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Whole seconds since 1970-01-01 00:00 UTC.
    #[default]
    S,
    /// Milliseconds since 1970-01-01 00:00 UTC; cut to seconds.
    Ms,
    /// `2024-02-29T12:00:00Z` and the like (RFC 3339); without an offset, UTC.
    Rfc3339,
}

/// The columns of an interactions file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InteractionColumns {
    /// The user's id.
    pub user: String,
    /// The item's id.
    pub item: String,
    /// How strongly; every event has the value 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// When; events have no time when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The unit of `timestamp`; never guessed.
    pub time_unit: TimeUnit,
    /// Whether an empty `timestamp` is an event without a time; a fault when `false`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional_timestamp: bool,
    /// What kind of event; every event is an `event_name` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The kind of every event of this file when there is no `event` column.
    pub event_name: String,
    /// What each kind of event weighs (`view = 1, purchase = 5`): an event's value is the weight
    /// of its kind, times `value` where there is such a column. A kind without a weight is
    /// reported and left out. Values are as they are when no weight is given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f32>,
    /// Which part of a split the event is in, for `strategy = "predefined"`: `train`, `valid` or
    /// `test`, or 0, 1 or 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The part of every event of this file when there is no `part` column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_name: Option<Part>,
}

impl Default for InteractionColumns {
    fn default() -> Self {
        Self {
            user: "user".to_owned(),
            item: "item".to_owned(),
            value: None,
            timestamp: None,
            time_unit: TimeUnit::default(),
            optional_timestamp: false,
            event: None,
            event_name: "interaction".to_owned(),
            weights: BTreeMap::new(),
            part: None,
            part_name: None,
        }
    }
}

/// The columns of an items file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ItemColumns {
    /// The item's id.
    pub id: String,
    /// What a person calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Columns that together, one below the other, are the item's text.
    pub text: Vec<String>,
    /// Columns that are kept as attributes, under their names.
    pub attributes: Vec<String>,
}

impl Default for ItemColumns {
    fn default() -> Self {
        Self { id: "id".to_owned(), title: None, text: Vec::new(), attributes: Vec::new() }
    }
}

/// The columns of a users file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserColumns {
    /// The user's id.
    pub id: String,
    /// Columns that are kept as attributes, under their names.
    pub attributes: Vec<String>,
}

impl Default for UserColumns {
    fn default() -> Self {
        Self { id: "id".to_owned(), attributes: Vec::new() }
    }
}

/// A table whose text is added to the items, row by row, by the item's id. Several rows of one
/// item are all added, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinConfig {
    /// The file, relative to the data root.
    pub path: String,
    /// The format; by the extension when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<TableFormat>,
    /// The column with the item's id.
    pub id: String,
    /// The columns to add to the item's text.
    #[serde(default)]
    pub text: Vec<String>,
    /// Columns to add as attributes, under their names; a later row replaces an earlier one.
    #[serde(default)]
    pub attributes: Vec<String>,
}

/// A folder of media files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaConfig {
    /// `text`, `image`, `audio` or `video`.
    pub modality: Modality,
    /// The folder, relative to the data root.
    pub folder: String,
    /// How a file is named, with `{id}` for the item's id and `{id:2}` for its first two
    /// characters: `{id}.jpg`, `{id}/cover.png`, `{id:2}/{id}.jpg`. Without a pattern and without
    /// a column, the file's name without its extension is the id, and for video also the name of
    /// a folder of frames; for text only `.txt` files count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// An attribute of the items that holds the file's path below the folder. Of several, in a
    /// JSON list or separated by `;`, the first one is used and the others are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// How closely each file is looked at.
    #[serde(default)]
    pub check: MediaCheck,
}

/// How closely a media file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaCheck {
    /// Decode every pixel and sample. The default: damage is then found here, once, and not in
    /// the middle of an encoder's hours; and only decoded pictures can be compared.
    #[default]
    Full,
    /// Read the header and walk the file's structure to its end: finds files that were cut off,
    /// not damage inside the coded data.
    Header,
    /// Read the header alone: kind, size and length as it declares them. Finds empty, foreign
    /// and too large files; a file that was cut off behind its header passes.
    Probe,
}

impl IngestConfig {
    /// Checks what the types cannot: one source, sensible patterns, a modality named once.
    ///
    /// # Errors
    /// [`IngestError::Config`], naming the key.
    pub fn validate(&self) -> Result<(), IngestError> {
        self.validate_source()?;
        if let Some(tables) = &self.tables {
            tables.validate()?;
        }
        self.clock(TimeUnit::S)?;
        for join in &self.join {
            if join.text.is_empty() && join.attributes.is_empty() {
                let key = format!("join {:?}", join.path);
                return Err(config(&key, "columns in `text` or `attributes`", "neither"));
            }
        }
        let items = self.tables.as_ref().and_then(|t| t.items.as_ref());
        let of_items = items.into_iter().flat_map(|items| &items.columns.attributes);
        let of_joins = self.join.iter().flat_map(|join| &join.attributes);
        let attributes: Vec<&str> = of_items.chain(of_joins).map(String::as_str).collect();
        let mut seen = Vec::new();
        for media in &self.media {
            media.validate(&attributes)?;
            if seen.contains(&media.modality) {
                let found = format!("{} twice", media.modality);
                return Err(config("media.modality", "each modality once", &found));
            }
            seen.push(media.modality);
        }
        self.text.as_ref().map_or(Ok(()), TextConfig::validate)
    }
}

impl IngestConfig {
    /// How times of a unit are read under `not_before` and `not_after`.
    pub(crate) fn clock(&self, unit: TimeUnit) -> Result<Clock, IngestError> {
        let mut clock = Clock::of(unit);
        let expected = "a date such as 2020-01-31 or a time such as 2020-01-31T12:00:00Z";
        let bad = |key: &str, text: &str| config(key, expected, &format!("{text:?}"));
        if let Some(text) = &self.not_before {
            clock.earliest = rfc3339(text).ok_or_else(|| bad("not_before", text))?;
        }
        clock.latest = match self.not_after.as_deref() {
            None => clock.latest,
            Some("now") => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                now.map_or(clock.latest, |d| d.as_secs() as i64)
            }
            Some(text) => {
                let start = rfc3339(text).ok_or_else(|| bad("not_after", text))?;
                let whole_day = text.len() == 10;
                if whole_day { start + 86_399 } else { start }
            }
        };
        if clock.earliest > clock.latest {
            let found = format!("{:?}", self.not_after);
            return Err(config("not_after", "a time after `not_before`", &found));
        }
        Ok(clock)
    }
}

impl TablesConfig {
    fn validate(&self) -> Result<(), IngestError> {
        if self.interactions.is_empty() {
            return Err(config("tables.interactions", "one file or more", "none"));
        }
        for table in &self.interactions {
            table.columns.validate("tables.interactions.columns")?;
        }
        Ok(())
    }
}

impl InteractionColumns {
    /// `key` is where the columns stand.
    pub(crate) fn validate(&self, key: &str) -> Result<(), IngestError> {
        if let Some((name, weight)) = self.weights.iter().find(|(_, w)| !w.is_finite()) {
            let key = format!("{key}.weights.{name}");
            return Err(config(&key, "a finite number", &weight.to_string()));
        }
        if self.event.is_none() && self.event_name.is_empty() {
            return Err(config(&format!("{key}.event_name"), "a name", "\"\""));
        }
        if self.part.is_some() && self.part_name.is_some() {
            return Err(config(&format!("{key}.part"), "either `part` or `part_name`", "both"));
        }
        if self.event.is_none()
            && !self.weights.is_empty()
            && !self.weights.contains_key(&self.event_name)
        {
            let expected = format!("the weight of {:?}, as there is no `event`", self.event_name);
            return Err(config(&format!("{key}.weights"), &expected, "none"));
        }
        Ok(())
    }
}

impl MediaConfig {
    fn validate(&self, attributes: &[&str]) -> Result<(), IngestError> {
        if self.modality == Modality::Place {
            let expected = "text, image, audio or video";
            return Err(config("media.modality", expected, "place, which has no files"));
        }
        if let (Some(pattern), Some(column)) = (&self.pattern, &self.column) {
            let found = format!("{pattern:?} and {column:?}");
            return Err(config("media", "either `pattern` or `column`, or neither", &found));
        }
        if let Some(pattern) = &self.pattern
            && Pattern::parse(pattern).is_none()
        {
            let expected = "a relative name with {id} in it, and {id:2} for a part of it";
            return Err(config("media.pattern", expected, &format!("{pattern:?}")));
        }
        if let Some(column) = &self.column
            && !attributes.contains(&column.as_str())
        {
            let expected = "a name in the `attributes` of the items table or of a join";
            return Err(config("media.column", expected, &format!("{column:?}")));
        }
        Ok(())
    }
}

/// A configuration error.
pub(crate) fn config(key: &str, expected: &str, found: &str) -> IngestError {
    IngestError::Config {
        key: key.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}
