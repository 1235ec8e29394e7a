//! The directories of a run, and the first stage.

use std::path::{Path, PathBuf};

use quintet_core::ItemIdx;
use quintet_data::{Dataset, write_atomic};
use quintet_ingest::{IngestProgress, IngestReport, duplicate_groups, ingest_with};
use serde::de::DeserializeOwned;

use super::{PipelineError, RunConfig};

/// Groups of items that show the same, by item id, beside the dataset.
const DUPLICATES: &str = "duplicates.json";

/// Groups of items that show the same.
pub type Groups = Vec<Vec<ItemIdx>>;

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

    /// Vectors by content, where no other place for them is given.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// One model's directory.
    pub fn model(&self, label: &str) -> PathBuf {
        self.root.join("models").join(label)
    }

    /// The TensorBoard folder of one model; `tensorboard --logdir` takes the folder above it.
    pub fn tensorboard(&self, label: &str) -> PathBuf {
        self.root.join("tensorboard").join(label)
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

    /// Reads the groups of near-duplicate items that ingestion found; none when it was run by an
    /// earlier version.
    ///
    /// # Errors
    /// The file is damaged or names an item that the dataset does not have.
    pub fn read_duplicates(&self, dataset: &Dataset) -> Result<Option<Groups>, PipelineError> {
        let path = self.dataset().join(DUPLICATES);
        if !path.is_file() {
            return Ok(None);
        }
        let named: Vec<Vec<String>> = read_json(&path, "lists of item ids")?;
        let ids = dataset.item_ids()?;
        let find = |id: &String| {
            ids.position(id).map(ItemIdx::new).ok_or_else(|| PipelineError::Damaged {
                path: path.display().to_string(),
                expected: "ids of items of the dataset".to_owned(),
                found: format!("{id:?}"),
            })
        };
        let group = |group: &Vec<String>| group.iter().map(find).collect();
        named.iter().map(group).collect::<Result<_, _>>().map(Some)
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

/// Reads a small file that an earlier stage wrote.
pub(super) fn read_json<T: DeserializeOwned>(
    path: &Path,
    expected: &str,
) -> Result<T, PipelineError> {
    serde_json::from_str(&fs_err::read_to_string(path)?).map_err(|error| PipelineError::Damaged {
        path: path.display().to_string(),
        expected: expected.to_owned(),
        found: error.to_string(),
    })
}

/// Sources to the canonical dataset with its validation report.
///
/// # Errors
/// A source cannot be read, or has a fault that the settings do not allow.
pub fn ingest_stage(
    config: &RunConfig,
    data_root: &Path,
    workspace: &Workspace,
    progress: &dyn IngestProgress,
) -> Result<(Dataset, IngestReport), PipelineError> {
    let mut ingested = ingest_with(&config.ingest, data_root, progress)?;
    ingested.describe();
    workspace.write_config(config)?;
    ingested.dataset.write(&workspace.dataset())?;
    ingested.report.write(&workspace.dataset())?;
    let name = |i: &ItemIdx| ingested.dataset.items[i.index()].id.as_str();
    let groups: Vec<Vec<&str>> = duplicate_groups(&ingested.duplicates)
        .iter()
        .map(|group| group.iter().map(name).collect())
        .collect();
    let text = serde_json::to_string(&groups)? + "\n";
    write_atomic(&workspace.dataset().join(DUPLICATES), text.as_bytes())?;
    Ok((ingested.dataset, ingested.report))
}
