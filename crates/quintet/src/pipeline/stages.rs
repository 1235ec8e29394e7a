//! The directories of a run, and the first stage.

use std::path::{Path, PathBuf};

use quintet_data::{Dataset, write_atomic};
use quintet_ingest::{IngestReport, ingest};

use super::{PipelineError, RunConfig};

/// Where a run keeps its stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// A run under `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The run's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The canonical dataset.
    pub fn dataset(&self) -> PathBuf {
        self.root.join("dataset")
    }

    /// The feature store.
    pub fn features(&self) -> PathBuf {
        self.root.join("features")
    }

    /// One model's directory.
    pub fn model(&self, label: &str) -> PathBuf {
        self.root.join("models").join(label)
    }

    /// Any file in the run's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Reads the dataset of an earlier stage.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn read_dataset(&self) -> Result<Dataset, PipelineError> {
        let dir = self.dataset();
        if !dir.join("dataset.toml").is_file() {
            return Err(PipelineError::NotRun { path: dir.display().to_string(), verb: "ingest" });
        }
        Ok(Dataset::read(&dir)?)
    }

    /// Writes the resolved run file and the seed beside the run.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_config(&self, config: &RunConfig) -> Result<(), PipelineError> {
        fs_err::create_dir_all(&self.root)?;
        write_atomic(&self.file("config.toml"), toml::to_string_pretty(config)?.as_bytes())?;
        write_atomic(&self.file("seed"), format!("{}\n", config.seed).as_bytes())?;
        Ok(())
    }
}

/// Sources to the canonical dataset with its validation report.
///
/// # Errors
/// A source cannot be read, or has a fault that the settings do not allow.
pub fn ingest_stage(
    config: &RunConfig,
    data_root: &Path,
    workspace: &Workspace,
) -> Result<(Dataset, IngestReport), PipelineError> {
    let ingested = ingest(&config.ingest, data_root)?;
    workspace.write_config(config)?;
    ingested.dataset.write(&workspace.dataset())?;
    ingested.report.write(&workspace.dataset())?;
    Ok((ingested.dataset, ingested.report))
}
