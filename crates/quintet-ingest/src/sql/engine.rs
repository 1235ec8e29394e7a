//! DataFusion as far as it is needed: tables in, queries run, results kept.
//!
//! Intermediate results are Parquet files in a folder of the system's place for temporary files
//! (`TMPDIR`), which goes when the engine goes. Every plan can spill: sort-merge joins stand for
//! hash joins, which cannot.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use datafusion::config::ConfigOptions;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{
    CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext, ident,
};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::IngestError;
use crate::config::config;
use crate::config_sql::{SqlFormat, SqlTable};
use crate::log::file_hash;
use crate::paths::Root;
use crate::table::Batches;

/// Bytes of a row of events as a writer holds it, roughly.
const ROW: usize = 64;

/// A session with its threads and its folder.
pub(super) struct Engine {
    runtime: Arc<Runtime>,
    context: SessionContext,
    scratch: TempDir,
    /// Rows of a row group of an intermediate result.
    row_group: usize,
    stored: usize,
    folders: BTreeMap<String, PathBuf>,
}

impl Engine {
    /// A session that holds at most so much in memory.
    pub(super) fn new(memory_mib: usize) -> Result<Self, IngestError> {
        let threads = rayon::current_num_threads();
        let io = IngestError::io("the SQL engine");
        let scratch = tempfile::Builder::new().prefix("quintet-sql-").tempdir().map_err(io)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            // Plans are walked by recursion.
            .thread_stack_size(16 << 20)
            .build()
            .map_err(IngestError::io("the SQL engine"))?;
        let bytes = memory_mib << 20;
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(bytes)))
            .with_temp_file_path(scratch.path())
            .build_arc()
            .map_err(|e| failed("the SQL engine", e))?;
        let mut options = ConfigOptions::new();
        options.execution.target_partitions = threads;
        // The smallest amount that can be given out is a batch.
        let batch = (bytes / (threads * (32 << 10))).clamp(1 << 7, 1 << 13);
        // What a sort keeps back to merge what it has spilled, for each thread and a few sorts.
        options.execution.sort_spill_reservation_bytes = (bytes / (4 * threads)).min(32 << 20);
        // Every thread holds a row group that it writes.
        let row_group = (bytes / (8 * threads * ROW)).clamp(1 << 13, 1 << 17);
        options.optimizer.prefer_hash_join = false;
        options.sql_parser.enable_ident_normalization = false;
        let session = SessionConfig::from(options).with_batch_size(batch);
        let context = SessionContext::new_with_config_rt(session, environment);
        let (runtime, folders) = (Arc::new(runtime), BTreeMap::new());
        Ok(Self { runtime, context, scratch, row_group, stored: 0, folders })
    }

    /// Makes files a table; gives the name and hash of each.
    pub(super) fn add(
        &self,
        root: &Root,
        name: &str,
        table: &SqlTable,
    ) -> Result<Vec<(String, String)>, IngestError> {
        let format = table.format(name)?;
        let files = files(root, name, table, format)?;
        let mut hashes = Vec::with_capacity(files.len());
        for (file, path) in &files {
            let hash = file_hash(file, path)?;
            hashes.push((format!("sql.tables.{name}:{file}"), format!("blake3:{hash}")));
        }
        let paths: Vec<String> =
            files.iter().map(|(_, path)| path.to_string_lossy().into_owned()).collect();
        let read = async {
            match format {
                SqlFormat::Parquet => {
                    let options = ParquetReadOptions { file_extension: "", ..Default::default() };
                    self.context.read_parquet(paths, options).await
                }
                SqlFormat::Csv | SqlFormat::Tsv => {
                    let usual = if format == SqlFormat::Csv { b',' } else { b'\t' };
                    let given = table.delimiter.as_ref().and_then(|d| d.bytes().next());
                    let options = CsvReadOptions {
                        delimiter: given.unwrap_or(usual),
                        has_header: table.header.unwrap_or(true),
                        // Every column is text.
                        schema_infer_max_records: 0,
                        newlines_in_values: true,
                        file_extension: "",
                        ..CsvReadOptions::new()
                    };
                    self.context.read_csv(paths, options).await
                }
            }
        };
        let what = format!("sql.tables.{name} ({})", table.path);
        let frame = self.runtime.block_on(read).map_err(|e| failed(&what, e))?;
        self.context.register_table(name, frame.into_view()).map_err(|e| failed(&what, e))?;
        Ok(hashes)
    }

    /// Plans one `SELECT`. `what` is what an error calls it.
    pub(super) fn plan(&self, what: &str, query: &str) -> Result<DataFrame, IngestError> {
        let only_select = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let plan = self.context.sql_with_options(query, only_select);
        self.runtime.block_on(plan).map_err(|e| failed(what, e))
    }

    /// Runs a query of a user in an order that does not depend on the number of threads.
    pub(super) fn rows(
        &self,
        what: &str,
        query: &str,
    ) -> Result<(SchemaRef, Batches), IngestError> {
        let mut frame = self.plan(what, query)?;
        if !is_sorted(what, frame.logical_plan())? {
            let columns = frame.schema().fields().iter();
            let order = columns.map(|f| ident(f.name()).sort(true, true)).collect();
            frame = frame.sort(order).map_err(|e| failed(what, e))?;
        }
        let stream = self.runtime.block_on(frame.execute_stream()).map_err(|e| failed(what, e))?;
        let schema = stream.schema();
        Ok((schema, Box::new(Rows { runtime: Arc::clone(&self.runtime), stream })))
    }

    /// The numbers of the only row of a query; 0 for null.
    pub(super) fn numbers(&self, query: &str) -> Result<Vec<i64>, IngestError> {
        let batches = self.collect(query)?;
        let Some(batch) = batches.iter().find(|b| b.num_rows() > 0) else { return Ok(Vec::new()) };
        let number = |column: &Arc<dyn Array>| {
            let numbers = column.as_primitive_opt::<Int64Type>()?;
            Some(if numbers.is_null(0) { 0 } else { numbers.value(0) })
        };
        let numbers: Option<Vec<i64>> = batch.columns().iter().map(number).collect();
        numbers.ok_or_else(|| bug(query, "whole numbers"))
    }

    /// The only number of a query; 0 for null and for no row.
    pub(super) fn number(&self, query: &str) -> Result<i64, IngestError> {
        Ok(self.numbers(query)?.first().copied().unwrap_or(0))
    }

    /// How often each value of a column occurs, as text and in the order of text.
    pub(super) fn counts(
        &self,
        table: &str,
        column: &str,
    ) -> Result<Vec<(String, i64)>, IngestError> {
        let query = &format!(
            "SELECT arrow_cast({column}, 'Utf8') AS label, count(*) AS n FROM {table} \
             GROUP BY label ORDER BY label"
        );
        let mut counts = Vec::new();
        for batch in self.collect(query)? {
            let texts = batch.column(0).as_string_opt::<i32>();
            let numbers = batch.column(1).as_primitive_opt::<Int64Type>();
            let (Some(texts), Some(numbers)) = (texts, numbers) else {
                return Err(bug(query, "texts and whole numbers"));
            };
            let rows = texts.iter().zip(numbers.values());
            counts.extend(rows.map(|(text, n)| (text.unwrap_or_default().to_owned(), *n)));
        }
        Ok(counts)
    }

    fn collect(&self, query: &str) -> Result<Vec<RecordBatch>, IngestError> {
        let frame = self.plan(DERIVING, query)?;
        self.runtime.block_on(frame.collect()).map_err(|e| failed(DERIVING, e))
    }

    /// Runs a query into files and makes them a table of a new name.
    pub(super) fn store(&mut self, query: &str) -> Result<String, IngestError> {
        self.stored += 1;
        let name = format!("_stored_{}", self.stored);
        self.store_as(&name, query)?;
        Ok(name)
    }

    /// As [`Engine::store`], with a name that is given.
    pub(super) fn store_as(&mut self, name: &str, query: &str) -> Result<(), IngestError> {
        let what = format!("the derived table {name}");
        let folder = self.scratch.path().join(name);
        fs_err::create_dir(&folder).map_err(IngestError::io(name))?;
        let frame = self.plan(&what, query)?;
        let schema = Arc::clone(frame.schema().inner());
        let place = format!("{}/", folder.display());
        let done = async {
            // A file a thread; outside the engine's memory, which sorts would not give back.
            let mut writers = JoinSet::new();
            for (at, rows) in frame.execute_stream_partitioned().await?.into_iter().enumerate() {
                writers.spawn(write(folder.join(format!("{at}.parquet")), self.row_group, rows));
            }
            while let Some(written) = writers.join_next().await {
                written.map_err(|e| DataFusionError::External(Box::new(e)))??;
            }
            // An empty result has no file to find the columns in.
            let read = ParquetReadOptions { schema: Some(&schema), ..Default::default() };
            self.context.register_parquet(name, &place, read).await
        };
        self.runtime.block_on(done).map_err(|e| failed(&what, e))?;
        self.folders.insert(name.to_owned(), folder);
        Ok(())
    }

    /// Forgets a stored table and takes its files away.
    pub(super) fn forget(&mut self, name: &str) -> Result<(), IngestError> {
        let Some(folder) = self.folders.remove(name) else { return Ok(()) };
        self.context.deregister_table(name).map_err(|e| failed(DERIVING, e))?;
        fs_err::remove_dir_all(folder).map_err(IngestError::io(name))
    }
}

/// Writes rows as they come into a file of their own.
async fn write(
    path: PathBuf,
    row_group: usize,
    mut rows: SendableRecordBatchStream,
) -> Result<(), DataFusionError> {
    let options = WriterProperties::builder().set_max_row_group_row_count(Some(row_group)).build();
    let mut writer: Option<ArrowWriter<File>> = None;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let writer = match &mut writer {
            Some(writer) => writer,
            empty => {
                let file = File::create(&path)?;
                let made = ArrowWriter::try_new(file, batch.schema(), Some(options.clone()))?;
                empty.insert(made)
            }
        };
        writer.write(&batch)?;
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}

/// What an error calls the queries that are not a user's.
const DERIVING: &str = "deriving a table";

/// The rows of a query, as they come.
struct Rows {
    runtime: Arc<Runtime>,
    stream: SendableRecordBatchStream,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.runtime.block_on(self.stream.next())?;
        Some(next.map_err(|e| ArrowError::ExternalError(Box::new(e))))
    }
}

/// Whether the rows of a plan have an order.
fn is_sorted(what: &str, plan: &LogicalPlan) -> Result<bool, IngestError> {
    match plan {
        LogicalPlan::Sort(_) => Ok(true),
        LogicalPlan::Projection(p) => is_sorted(what, &p.input),
        LogicalPlan::SubqueryAlias(a) => is_sorted(what, &a.input),
        LogicalPlan::Limit(limit) => match is_sorted(what, &limit.input)? {
            true => Ok(true),
            false => Err(config(what, "`ORDER BY` beside `LIMIT`", "`LIMIT` of rows in any order")),
        },
        _ => Ok(false),
    }
}

/// The files of a table: as a user would write them, and where they are.
fn files(
    root: &Root,
    name: &str,
    table: &SqlTable,
    format: SqlFormat,
) -> Result<Vec<(String, PathBuf)>, IngestError> {
    let path = root.resolve(&table.path)?;
    let mut files = Vec::new();
    if path.is_file() {
        files.push((table.path.clone(), path));
    } else {
        for entry in walkdir::WalkDir::new(&path).follow_links(true).sort_by_file_name() {
            let entry = entry.map_err(|e| IngestError::io(&table.path)(e.into()))?;
            let below = entry.path().strip_prefix(&path).unwrap_or(Path::new(""));
            let file = crate::paths::join(&table.path, &below.to_string_lossy());
            if entry.file_type().is_file() && file.ends_with(format.extension()) {
                // Once more by way of the root, which links may leave.
                let path = root.resolve(&file)?;
                files.push((file, path));
            }
        }
    }
    if files.is_empty() {
        let expected = format!("files *{}", format.extension());
        return Err(IngestError::Layout { path: table.path.clone(), expected, found: Vec::new() });
    }
    // DataFusion takes them for patterns.
    let odd = |(_, path): &&(String, PathBuf)| path.to_string_lossy().contains(['*', '?', '[']);
    if let Some((file, _)) = files.iter().find(odd) {
        let key = format!("sql.tables.{name}");
        return Err(config(&key, "a path without `*`, `?` and `[`", &format!("{file:?}")));
    }
    Ok(files)
}

/// The error of something that was asked of the engine.
pub(super) fn failed(what: &str, error: DataFusionError) -> IngestError {
    let message = error.strip_backtrace().replace('\n', " ");
    IngestError::Sql { what: what.to_owned(), message }
}

fn bug(query: &str, expected: &str) -> IngestError {
    let message = format!("expected {expected} of {query}; this is a bug in quintet-ingest");
    IngestError::Sql { what: DERIVING.to_owned(), message }
}
