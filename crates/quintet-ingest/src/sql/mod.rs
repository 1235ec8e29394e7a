//! SQL sources, by DataFusion: the `[ingest.sql]` table of a run file.
//!
//! The engine is compiled with the feature `sql` alone, because it takes longer to compile than
//! everything else together. What it derives is what `quintet-data` makes in memory: the tests
//! compare them row for row.

#[cfg(feature = "sql")]
mod engine;
#[cfg(feature = "sql")]
mod read;
#[cfg(feature = "sql")]
mod relation;
#[cfg(feature = "sql")]
mod shape;
#[cfg(feature = "sql")]
mod split;

#[cfg(feature = "sql")]
pub(crate) use read::read;

/// Says that this build has no engine.
#[cfg(not(feature = "sql"))]
pub(crate) fn read(
    _: &mut crate::layouts::Reading,
    _: &crate::SqlConfig,
) -> Result<(), crate::IngestError> {
    let expected = "a build with the feature `sql` (cargo run --features sql)";
    Err(crate::config::config("sql", expected, "a build without it"))
}
