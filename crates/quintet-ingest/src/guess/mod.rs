//! Proposals for a configuration: what a file or folder probably is, and why. Nothing is read
//! into a dataset here; a person looks at the proposal first.

mod columns;
mod layouts;
mod sniff;

use std::path::Path;

use crate::IngestError;
use crate::config::{IngestConfig, TableFile, TableFormat, TablesConfig, TimeUnit};
use crate::paths::Root;
use crate::table::{TableSpec, column_names, first_rows, untyped};
use columns::Described;

/// How many rows of a table are looked at.
const SAMPLE: usize = 2_000;
/// How many rows are shown.
const PREVIEW: usize = 5;

/// What a column is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The user's id.
    User,
    /// The item's id.
    Item,
    /// A rating, a count or another strength.
    Value,
    /// When.
    Timestamp,
    /// The kind of event.
    Event,
    /// The part of a split.
    Part,
    /// The item's title.
    Title,
    /// Text of the item.
    Text,
    /// The place's latitude.
    Lat,
    /// The place's longitude.
    Lon,
    /// Something else that is kept with items or users.
    Attribute,
    /// Not used.
    Unused,
}

/// How sure a guess is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// It had to be something.
    Low,
    /// By the name alone or by the contents alone.
    Medium,
    /// By name and contents, or by a known layout.
    High,
}

/// What one column is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnGuess {
    /// The column's name, or its number in a file without a header line.
    pub column: String,
    /// What it is taken for.
    pub role: Role,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, in a line.
    pub reason: String,
}

/// A proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// The configuration; its data root is the folder, or the folder of the file.
    pub config: IngestConfig,
    /// The same as the text of a run file's `[ingest]` table.
    pub toml: String,
    /// The columns of the interactions.
    pub columns: Vec<ColumnGuess>,
    /// The first five rows of the interactions, one cell for each of `columns`.
    pub preview: Vec<Vec<String>>,
    /// What should be looked at before the proposal is taken.
    pub warnings: Vec<String>,
}

/// Proposes a configuration for a file or folder. It reads names and some first rows; whether the
/// whole can be read, [`crate::ingest`] says.
///
/// Known layouts (MovieLens, RecBole, MMRec, LightGCN, Amazon, check-ins) are known by their
/// files. Otherwise the columns of tables are taken by their names and contents.
///
/// # Errors
/// A path that cannot be read, and [`IngestError::Layout`] when no user and item can be found.
pub fn guess(path: &Path) -> Result<Guess, IngestError> {
    if path.is_dir() {
        let root = Root::new(path)?;
        let names = crate::layouts::entries(&root, ".")?;
        return match layouts::folder(&root, &names)? {
            Some(draft) => draft.finish(&root),
            None => loose_tables(&root, &names),
        };
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = Root::new(parent)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match layouts::file(&root, &name)? {
        Some(draft) => draft.finish(&root),
        None => {
            let table = Described::read(&root, &name)?;
            columns::interactions(&table)?.finish(&root)
        }
    }
}

/// Looks for a table of interactions among the tables of a folder, and for items and users.
fn loose_tables(root: &Root, names: &[String]) -> Result<Guess, IngestError> {
    let tables: Vec<Described> =
        names.iter().filter_map(|name| Described::read(root, name).ok()).collect();
    let mut drafts: Vec<Draft> =
        tables.iter().filter_map(|table| columns::interactions(table).ok()).collect();
    drafts.sort_by_key(|draft| std::cmp::Reverse(draft.score()));
    let Some(mut best) = (!drafts.is_empty()).then(|| drafts.remove(0)) else {
        return Err(IngestError::Layout {
            path: ".".to_owned(),
            expected: "a known layout, or a table with columns of users and items".to_owned(),
            found: names.to_vec(),
        });
    };
    for other in &drafts {
        best.warnings.push(format!("{} looks like interactions too", other.file));
    }
    if let Some(tables_config) = &mut best.config.tables {
        for table in tables.iter().filter(|table| table.file.path != best.file) {
            if drafts.iter().any(|draft| draft.file == table.file.path) {
                continue;
            }
            columns::catalogue(table, &best.columns, tables_config, &mut best.warnings);
        }
    }
    best.finish(root)
}

/// A proposal without its preview.
#[derive(Debug, Clone)]
struct Draft {
    config: IngestConfig,
    /// The table of interactions, where it has columns.
    file: String,
    table: Option<TableFile<()>>,
    columns: Vec<ColumnGuess>,
    warnings: Vec<String>,
}

impl Draft {
    /// Which of several tables is more likely the one of interactions.
    fn score(&self) -> usize {
        self.columns
            .iter()
            .map(|c| match c.role {
                Role::User | Role::Item => 4 * (1 + c.confidence as usize),
                Role::Timestamp | Role::Value => 1 + c.confidence as usize,
                _ => 0,
            })
            .sum()
    }

    fn finish(mut self, root: &Root) -> Result<Guess, IngestError> {
        let preview = match &self.table {
            Some(table) => {
                let spec = TableSpec::new("interactions", table, TimeUnit::S)?;
                let names: Vec<&str> = self.columns.iter().map(|c| c.column.as_str()).collect();
                first_rows(root, &spec, &names, PREVIEW)?
            }
            None => sniff::lines(root, &self.file, PREVIEW)?,
        };
        if self.columns.iter().any(|c| c.confidence == Confidence::Low) {
            self.warnings.push("some columns are hardly more than a guess".to_owned());
        }
        #[derive(serde::Serialize)]
        struct Whole<'a> {
            ingest: &'a IngestConfig,
        }
        let toml = toml::to_string(&Whole { ingest: &self.config }).map_err(|error| {
            IngestError::Export {
                what: "the proposal".to_owned(),
                expected: "a configuration that TOML can hold",
                found: error.to_string(),
            }
        })?;
        let Self { config, columns, warnings, .. } = self;
        Ok(Guess { config, toml, columns, preview, warnings })
    }
}

/// A draft for a layout whose columns are known by it.
fn known(
    root: &Root,
    config: IngestConfig,
    table: TableFile<()>,
    roles: &[(&str, Role)],
    layout: &str,
) -> Result<Draft, IngestError> {
    let spec = TableSpec::new("interactions", &table, TimeUnit::S)?;
    let columns = column_names(root, &spec)?
        .into_iter()
        .map(|column| {
            let bare = untyped(&column).unwrap_or(&column);
            let role = roles.iter().find(|(name, _)| *name == bare).map(|(_, role)| *role);
            let reason = format!("the layout of {layout}");
            let role = role.unwrap_or(Role::Unused);
            ColumnGuess { column, role, confidence: Confidence::High, reason }
        })
        .collect();
    let file = table.path.clone();
    Ok(Draft { config, file, table: Some(table), columns, warnings: Vec::new() })
}

/// A table of the proposal with one file of interactions.
fn one_table(name: &str, interactions: TableFile<crate::InteractionColumns>) -> IngestConfig {
    let tables = TablesConfig { interactions: vec![interactions], ..TablesConfig::default() };
    IngestConfig { name: name.to_owned(), tables: Some(tables), ..IngestConfig::default() }
}

/// A file of tabs.
fn tabs(path: &str, header: bool) -> TableFile<()> {
    TableFile {
        path: path.to_owned(),
        format: Some(TableFormat::Tsv),
        header: (!header).then_some(false),
        ..TableFile::default()
    }
}
