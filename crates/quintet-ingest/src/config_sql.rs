//! SQL sources: the `[ingest.sql]` table of a run file.
//!
//! The settings are there in every build, so that a run file reads the same everywhere; the
//! engine needs the feature `sql`.

use std::collections::BTreeMap;

use quintet_data::{ShapeConfig, SplitConfig};
use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::config::{InteractionColumns, ItemColumns, TimeUnit, UserColumns, config};

/// Queries over folders of Parquet and CSV, by DataFusion. Sorting, grouping and joining go to
/// disk where they need more than `memory_mib`, so that the tables may be larger than memory.
///
/// Names of tables and columns are as they are written, upper and lower case included. Only
/// `SELECT` is allowed. A query without an `ORDER BY` of its own is sorted by all its columns, so
/// that the dataset is the same on every run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// What queries may hold in memory, MiB.
    #[serde(default = "memory_mib")]
    pub memory_mib: usize,
    /// The tables that queries can name.
    pub tables: BTreeMap<String, SqlTable>,
    /// Further tables, each made from those before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derive: Vec<SqlDerive>,
    /// The events, read in this order.
    pub interactions: Vec<SqlQuery<InteractionColumns>>,
    /// The catalogue. Without it, the items are those of the interactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<SqlQuery<ItemColumns>>,
    /// The users. Without it, the users are those of the interactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<SqlQuery<UserColumns>>,
}

fn memory_mib() -> usize {
    1024
}

/// A file, or a folder whose files of one format are one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlTable {
    /// The file or folder, relative to the data root.
    pub path: String,
    /// The format; by the extension of the file when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<SqlFormat>,
    /// What separates two fields, one ASCII character; only for CSV and TSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// Whether the first line of every file names the columns; yes when absent. Without such a
    /// line they are called `column_1`, `column_2`, … Only for CSV and TSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
}

/// What a table is kept in. The columns of CSV and TSV are text, whatever they look like, so that
/// an id such as `007` stays what it is: `CAST` them where a number is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SqlFormat {
    /// Files `*.csv`.
    Csv,
    /// Files `*.tsv`.
    Tsv,
    /// Files `*.parquet`.
    Parquet,
}

impl SqlFormat {
    /// The extension of its files, with the dot.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Csv => ".csv",
            Self::Tsv => ".tsv",
            Self::Parquet => ".parquet",
        }
    }
}

/// A query and the meaning of its columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlQuery<C> {
    /// One `SELECT`.
    pub query: String,
    /// Which column is what.
    #[serde(default)]
    pub columns: C,
}

/// Events that are shaped, and perhaps split, before they are read: what `[shape]` and `[split]`
/// of a run file do in memory, done in tables of the engine.
///
/// The result is a table with the columns `user`, `item`, `value`, `timestamp` (seconds since
/// 1970), `event` and `part`, one row a user and item. Rows that are no event (an empty id, a
/// value that is no number) are left out and counted. At one time the item with the greater id
/// counts as later: by number where ids are numbers, by character where they are text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlDerive {
    /// What later queries call it.
    pub name: String,
    /// One `SELECT` that gives events.
    pub query: String,
    /// Which column is what.
    #[serde(default)]
    pub columns: InteractionColumns,
    /// Which events stay.
    #[serde(default)]
    pub shape: ShapeConfig,
    /// The part of each event: `temporal`, `per_user_temporal`, `leave_one_out` or `predefined`.
    /// Held-out events of users whom train never shows are left out and counted. A run file then
    /// has `[split] strategy = "predefined"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitConfig>,
}

impl SqlConfig {
    pub(crate) fn validate(&self) -> Result<(), IngestError> {
        const SMALLEST: usize = 32;
        if self.memory_mib < SMALLEST {
            let expected = format!("{SMALLEST} or more");
            return Err(config("sql.memory_mib", &expected, &self.memory_mib.to_string()));
        }
        if self.interactions.is_empty() {
            return Err(config("sql.interactions", "one query or more", "none"));
        }
        for (name, table) in &self.tables {
            name_is_plain("sql.tables", name)?;
            table.validate(name)?;
        }
        let mut names: Vec<&str> = self.tables.keys().map(String::as_str).collect();
        for derive in &self.derive {
            name_is_plain("sql.derive", &derive.name)?;
            if names.contains(&derive.name.as_str()) {
                let found = format!("{:?} again", derive.name);
                return Err(config("sql.derive.name", "each name once", &found));
            }
            names.push(&derive.name);
            derive.validate()?;
        }
        for query in &self.interactions {
            query.columns.validate("sql.interactions.columns")?;
        }
        Ok(())
    }
}

impl SqlTable {
    /// The format that is given, or the one of the extension.
    pub(crate) fn format(&self, name: &str) -> Result<SqlFormat, IngestError> {
        let known = [SqlFormat::Csv, SqlFormat::Tsv, SqlFormat::Parquet];
        let by_name = || known.into_iter().find(|f| self.path.ends_with(f.extension()));
        self.format.or_else(by_name).ok_or_else(|| {
            let expected = "csv, tsv or parquet, by the extension of a file or by `format`";
            config(&format!("sql.tables.{name}"), expected, &format!("the path {:?}", self.path))
        })
    }

    fn validate(&self, name: &str) -> Result<(), IngestError> {
        let parquet = self.format(name)? == SqlFormat::Parquet;
        if parquet && (self.delimiter.is_some() || self.header.is_some()) {
            let expected = "`delimiter` and `header` for csv and tsv only";
            return Err(config(&format!("sql.tables.{name}"), expected, "one of them for Parquet"));
        }
        if let Some(delimiter) = &self.delimiter
            && (delimiter.len() != 1 || delimiter.contains(['"', '\n', '\r']))
        {
            let key = format!("sql.tables.{name}.delimiter");
            return Err(config(&key, "one ASCII character", &format!("{delimiter:?}")));
        }
        Ok(())
    }
}

impl SqlDerive {
    fn validate(&self) -> Result<(), IngestError> {
        let key = |what: &str| format!("sql.derive {:?} {what}", self.name);
        self.columns.validate(&key("columns"))?;
        if self.columns.timestamp.is_some() && self.columns.time_unit == TimeUnit::Rfc3339 {
            let expected = "\"s\" or \"ms\"; a query makes a time of a text with to_timestamp()";
            return Err(config(&key("columns.time_unit"), expected, "\"rfc3339\""));
        }
        match &self.split {
            None
            | Some(
                SplitConfig::Temporal { .. }
                | SplitConfig::PerUserTemporal { .. }
                | SplitConfig::LeaveOneOut {}
                | SplitConfig::Predefined {},
            ) => self.split.as_ref().map_or(Ok(()), |s| Ok(s.validate()?)),
            Some(by_chance) => {
                let expected = "temporal, per_user_temporal, leave_one_out or predefined; what \
                                draws by chance is done in memory, by [split] of the run file";
                Err(config(&key("split.strategy"), expected, by_chance.strategy()))
            }
        }
    }
}

/// Whether SQL can name a table without quotes.
fn name_is_plain(key: &str, name: &str) -> Result<(), IngestError> {
    let start = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    if start && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    let expected = "a name of letters, digits and _ that starts with a letter";
    Err(config(key, expected, &format!("{name:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let config: SqlConfig = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    }

    const ONE: &str = "interactions = [{ query = \"SELECT 1\" }]\n";

    #[test]
    fn what_cannot_work_is_named_before_a_file_is_opened() {
        assert!(error("tables = {}\ninteractions = []").contains("sql.interactions"));
        let small = format!("memory_mib = 1\n{ONE}tables = {{}}");
        assert!(error(&small).contains("expected 32 or more, found 1"));
        let name = format!("{ONE}tables = {{ \"a b\" = {{ path = \"a.csv\" }} }}");
        assert!(error(&name).contains("\"a b\""));
        let folder = format!("{ONE}tables = {{ a = {{ path = \"folder\" }} }}");
        assert!(error(&folder).contains("the path \"folder\""));
        let header = format!("{ONE}tables = {{ a = {{ path = \"a.parquet\", header = true }} }}");
        assert!(error(&header).contains("csv and tsv only"));
        let wide = format!("{ONE}tables = {{ a = {{ path = \"a.csv\", delimiter = \"::\" }} }}");
        assert!(error(&wide).contains("one ASCII character"));
    }

    #[test]
    fn derived_tables_have_names_of_their_own_and_no_dice() {
        let derive = |more: &str| {
            let table = "{ name = \"a\", query = \"SELECT 1\"";
            error(&format!(
                "{ONE}tables = {{ b = {{ path = \"b.csv\" }} }}\nderive = [{table}{more}"
            ))
        };
        assert!(derive(" }, { name = \"b\", query = \"SELECT 1\" }]").contains("\"b\" again"));
        let chance = derive(", split = { strategy = \"random\" } }]");
        assert!(
            chance.contains("expected temporal") && chance.ends_with("found random"),
            "{chance}"
        );
        let text = derive(", columns = { timestamp = \"t\", time_unit = \"rfc3339\" } }]");
        assert!(text.contains("to_timestamp"), "{text}");
    }
}
