//! The report of a dataset together with what later stages made of it.

use std::path::Path;

use quintet_data::{ShapeReport, SplitReport};
use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::report::{IngestReport, write};
use crate::report_html::{Chapters, page};

/// The ingest report with the accounts of shaping and splitting.
///
/// In JSON the ingest report keeps its place and `shape` and `split` stand beside its keys, so
/// that whoever reads an [`IngestReport`] can read this as well.
///
/// # Examples
/// ```
/// use quintet_data::SplitReport;
/// use quintet_ingest::{DataReport, IngestReport};
///
/// let dir = tempfile::tempdir()?;
/// let mut report = DataReport::new(IngestReport { name: "tiny".into(), ..Default::default() });
/// report.write(dir.path())?;
/// // A later stage adds what it knows.
/// let mut report = DataReport::read(dir.path())?;
/// report.split = Some(SplitReport::default());
/// report.write(dir.path())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DataReport {
    /// What came in.
    #[serde(flatten)]
    pub ingest: IngestReport,
    /// What thresholds and k-core left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<ShapeReport>,
    /// How it was divided. Groups of near-duplicates that the split parts stand in
    /// [`SplitReport::duplicate_leaks`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitReport>,
}

impl DataReport {
    /// A report of which the later stages are still to come.
    pub fn new(ingest: IngestReport) -> Self {
        Self { ingest, shape: None, split: None }
    }

    /// Reads the `report.json` of a directory, with or without later stages.
    ///
    /// # Errors
    /// A file that cannot be read or is no report.
    pub fn read(dir: &Path) -> Result<Self, IngestError> {
        let path = dir.join("report.json");
        let text = fs_err::read(&path).map_err(IngestError::io("report.json"))?;
        serde_json::from_slice(&text).map_err(|source| IngestError::Json { path, source })
    }

    /// Writes `report.json` and `report.html` into a directory that exists, over those of before.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), IngestError> {
        let (shape, split) = (self.shape.as_ref(), self.split.as_ref());
        write(dir, self, &page(&Chapters { ingest: &self.ingest, shape, split }))
    }

    /// Lines for a terminal: those of every stage.
    pub fn summary(&self) -> Vec<String> {
        let mut lines = self.ingest.summary();
        if let Some(s) = &self.shape {
            lines.push(format!(
                "shaped: {} of {} events left, of {} users and {} items",
                s.rows_out, s.rows_in, s.users_out, s.items_out
            ));
        }
        lines.extend(self.split.iter().flat_map(SplitReport::summary));
        lines
    }
}
