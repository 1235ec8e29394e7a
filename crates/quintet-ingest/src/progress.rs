//! How a caller hears of the progress of an ingest.

/// Hears what an ingest is doing. Calls come one step at a time; within a step, `advance` may
/// come from many threads.
pub trait IngestProgress: Sync {
    /// A step begins: the name of a table or folder, what is counted in it (`rows`, `files`), and
    /// how many there are, where that is known before.
    fn start(&self, step: &str, unit: &'static str, total: Option<u64>);

    /// So many more are done.
    fn advance(&self, by: u64);

    /// The step is over.
    fn finish(&self);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl IngestProgress for Quiet {
    fn start(&self, _: &str, _: &'static str, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn finish(&self) {}
}
