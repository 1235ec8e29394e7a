//! What the queries of a run file give, read as any other table.

use arrow_schema::ArrowError;

use super::engine::Engine;
use super::{relation, shape, split};
use crate::IngestError;
use crate::catalog::{read_item_columns, read_user_columns};
use crate::config::{IngestConfig, TimeUnit};
use crate::config_sql::{SqlConfig, SqlDerive};
use crate::layouts::Reading;
use crate::log::Log;
use crate::paths::Root;
use crate::report::DerivedReport;
use crate::table::{Asked, BatchRows, Table, TableSource};

/// Reads users, items and interactions by queries.
pub(crate) fn read(reading: &mut Reading, sql: &SqlConfig) -> Result<(), IngestError> {
    let mut engine = Engine::new(sql.memory_mib)?;
    for (name, table) in &sql.tables {
        reading.log.progress.start(&table.path, "files", None);
        let hashes = engine.add(reading.root, name, table)?;
        reading.log.progress.finish();
        reading.log.read.extend(hashes);
    }
    for table in &sql.derive {
        reading.log.progress.start(&table.name, "derived", None);
        let report = derive(&mut engine, table, reading.config, reading.log)?;
        reading.log.progress.finish();
        reading.log.derived.push(report);
    }
    let source = |role, what: &str, query: &str, unit| Query {
        engine: &engine,
        role,
        what: what.to_owned(),
        query: query.to_owned(),
        unit,
    };
    if let Some(items) = &sql.items {
        let source = source("items", "sql.items", &items.query, TimeUnit::S);
        let (catalog, log) = (&mut *reading.catalog, &mut *reading.log);
        read_item_columns(reading.root, &source, &items.columns, catalog, log)?;
    }
    if let Some(users) = &sql.users {
        let source = source("users", "sql.users", &users.query, TimeUnit::S);
        let (catalog, log) = (&mut *reading.catalog, &mut *reading.log);
        read_user_columns(reading.root, &source, &users.columns, catalog, log)?;
    }
    for (at, query) in sql.interactions.iter().enumerate() {
        let what = format!("sql.interactions {}", at + 1);
        let source = source("interactions", &what, &query.query, query.columns.time_unit);
        reading.interactions(&source, &query.columns)?;
    }
    Ok(())
}

/// Makes a derived table.
fn derive(
    engine: &mut Engine,
    table: &SqlDerive,
    config: &IngestConfig,
    log: &mut Log,
) -> Result<DerivedReport, IngestError> {
    let (events, mut report) = relation::events(engine, table, config, log)?;
    let shaped = shape::shape(engine, &events, &table.shape, &mut report.shape)?;
    let done = match &table.split {
        None => shaped,
        Some(config) => {
            let (done, counts) = split::split(engine, &shaped, config)?;
            report.split = Some(counts);
            done
        }
    };
    engine.store_as(&table.name, &format!("SELECT * FROM {done}"))?;
    engine.forget(&done)?;
    Ok(report)
}

/// A query that is opened as a table.
struct Query<'a> {
    engine: &'a Engine,
    role: &'static str,
    what: String,
    query: String,
    unit: TimeUnit,
}

impl TableSource for Query<'_> {
    fn open(&self, _: &Root, columns: &[&str], log: &mut Log) -> Result<Table, IngestError> {
        let hash = blake3::hash(self.query.as_bytes()).to_hex().to_string();
        let id = log.open_hashed(self.role, &self.what, hash);
        let (schema, batches) = self.engine.rows(&self.what, &self.query)?;
        let asked = Asked::find(&self.what, &schema, columns)?;
        let batches = batches.map({
            let read = asked.read.clone();
            move |batch| batch.and_then(|batch| batch.project(&read))
        });
        let failed = |what, row, source: ArrowError| IngestError::Sql {
            what,
            message: format!("after row {row}: {source}"),
        };
        let rows = BatchRows::new(&self.what, Box::new(batches), asked, self.unit, failed);
        Ok(Table::of_batches(id, self.role, rows, log))
    }
}
