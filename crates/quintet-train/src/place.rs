//! The directory of one model's training.

use std::path::{Path, PathBuf};

use quintet_data::write_atomic;

use crate::{CheckpointStore, EpochRecord, EventLog, TrainError};

/// `<dir>/metrics.jsonl` and `<dir>/checkpoints/`, tied to one set of settings, data and seed.
#[derive(Debug, Clone)]
pub struct RunPlace {
    dir: PathBuf,
    identity: String,
    events: Option<PathBuf>,
}

impl RunPlace {
    /// Uses `dir`, which is created; `identity` is a hash of everything the result depends on.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn new(dir: &Path, identity: &str) -> Result<Self, TrainError> {
        fs_err::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned(), identity: identity.to_owned(), events: None })
    }

    /// Also writes a TensorBoard event file into the folder `events`.
    pub fn with_events(mut self, events: &Path) -> Self {
        self.events = Some(events.to_owned());
        self
    }

    /// The event file, without anything after step `until`; none where none is wanted.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn events(&self, until: u64) -> Result<Option<EventLog>, TrainError> {
        Ok(self.events.as_deref().map(|dir| EventLog::open(dir, until)).transpose()?)
    }

    /// The hash that ties checkpoints to a run: over `parts` in order.
    pub fn identity(parts: &[&str]) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The checkpoints of this run.
    pub fn checkpoints(&self) -> CheckpointStore {
        CheckpointStore::new(self.dir.join("checkpoints"), &self.identity)
    }

    /// Writes the log of all epochs so far, replacing the old one at once.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_log(&self, records: &[EpochRecord]) -> Result<(), TrainError> {
        let mut text = String::new();
        for record in records {
            text.push_str(&serde_json::to_string(record)?);
            text.push('\n');
        }
        write_atomic(&self.dir.join("metrics.jsonl"), text.as_bytes())?;
        Ok(())
    }
}
