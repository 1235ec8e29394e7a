//! Sources: known layouts of folders, and tables of any origin.

mod amazon;
mod checkins;
mod lightgcn;
mod mmrec;
mod recbole;

pub(crate) use checkins::find_files as find_checkin_files;
pub use mmrec::mmrec_features;

use crate::IngestError;
use crate::catalog::{Catalog, read_item_table, read_user_table};
use crate::config::{IngestConfig, InteractionColumns, TablesConfig};
use crate::events::{Sourced, read_events};
use crate::log::{Flaw, Log};
use crate::movielens::read_movielens;
use crate::paths::Root;
use crate::report::FaultCode;
use crate::sql;
use crate::table::{TableSource, TableSpec};

/// What every source reads from and into.
pub(crate) struct Reading<'a, 'p> {
    pub(crate) root: &'a Root,
    pub(crate) config: &'a IngestConfig,
    pub(crate) catalog: &'a mut Catalog,
    pub(crate) events: &'a mut Sourced,
    pub(crate) log: &'a mut Log<'p>,
}

impl Reading<'_, '_> {
    /// Reads the source of the configuration.
    pub(crate) fn source(&mut self) -> Result<(), IngestError> {
        let config = self.config;
        if let Some(movielens) = &config.movielens {
            let (spec, columns) = read_movielens(self.root, movielens, self.catalog, self.log)?;
            self.interactions(&spec, &columns)?;
        }
        if let Some(tables) = &config.tables {
            self.tables(tables)?;
        }
        if let Some(recbole) = &config.recbole {
            recbole::read(self, recbole)?;
        }
        if let Some(mmrec) = &config.mmrec {
            mmrec::read(self, mmrec)?;
        }
        if let Some(lightgcn) = &config.lightgcn {
            lightgcn::read(self, lightgcn)?;
        }
        if let Some(amazon) = &config.amazon {
            amazon::read(self, amazon)?;
        }
        if let Some(checkins) = &config.checkins {
            checkins::read(self, checkins)?;
        }
        if let Some(sql) = &config.sql {
            sql::read(self, sql)?;
        }
        Ok(())
    }

    pub(crate) fn interactions(
        &mut self,
        source: &dyn TableSource,
        columns: &InteractionColumns,
    ) -> Result<(), IngestError> {
        read_events(self.root, source, columns, self.config, self.catalog, self.events, self.log)
    }

    fn tables(&mut self, tables: &TablesConfig) -> Result<(), IngestError> {
        if let Some(items) = &tables.items {
            read_item_table(self.root, items, self.catalog, self.log)?;
        }
        if let Some(users) = &tables.users {
            read_user_table(self.root, users, self.catalog, self.log)?;
        }
        for table in &tables.interactions {
            let spec = TableSpec::new("interactions", table, table.columns.time_unit)?;
            self.interactions(&spec, &table.columns)?;
        }
        Ok(())
    }

    /// Says that a file of the folder is not read.
    fn not_read(&mut self, file: String, found: &str) -> Result<(), IngestError> {
        let flaw = Flaw::new(FaultCode::FileNotRead, "users, items and interactions", found);
        self.log.note_file(file, None, flaw)
    }
}

/// The names of what lies in a folder, sorted.
pub(crate) fn entries(root: &Root, folder: &str) -> Result<Vec<String>, IngestError> {
    let path = root.resolve(folder)?;
    let entries = std::fs::read_dir(path).map_err(IngestError::io(folder))?;
    let names = entries.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> =
        names.collect::<Result<_, _>>().map_err(IngestError::io(folder))?;
    names.sort_unstable();
    Ok(names)
}

/// The name of the only `*.inter` of a folder, or the one that is asked for.
fn inter_name(
    folder: &str,
    names: &[String],
    asked: Option<&String>,
) -> Result<String, IngestError> {
    let all: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".inter")).collect();
    let error = |expected: String| IngestError::Layout {
        path: folder.to_owned(),
        expected,
        found: names.to_vec(),
    };
    match (asked, all.as_slice()) {
        (Some(name), all) if all.contains(&name.as_str()) => Ok(name.clone()),
        (Some(name), _) => Err(error(format!("the file {name}.inter"))),
        (None, [one]) => Ok((*one).to_owned()),
        (None, []) => Err(error("one file *.inter".to_owned())),
        (None, _) => Err(error("one file *.inter, or its `name`".to_owned())),
    }
}
