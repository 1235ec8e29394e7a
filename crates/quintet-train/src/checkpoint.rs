//! Checkpoints that are whole or do not exist.
//!
//! A checkpoint is a folder `ckpt-000012` with a manifest of its files' lengths and blake3
//! hashes. It is written beside its final name, synced and renamed; older ones are removed only
//! then. A folder without a valid manifest does not count: the loader goes back to the one
//! before, says which file failed and sets the damaged folder aside as `damaged-ckpt-000012`, so
//! that it is not met again. A second fall-back before a new checkpoint was written finds none
//! that is whole and is an error: a run that loses its checkpoints as fast as it writes them must
//! not begin again for ever.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use quintet_core::ModelState;
use quintet_data::{read_state, write_state};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{EpochRecord, TrainError};

const FORMAT: u32 = 1;
/// How many whole checkpoints stay.
const KEEP: usize = 2;

/// The early-stopping state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopper {
    /// Best validation value so far; minus infinity before the first evaluation.
    #[serde(deserialize_with = "best_so_far")]
    pub best: f64,
    /// Its epoch; 0 before the first evaluation.
    pub best_epoch: usize,
    /// Evaluations since then.
    pub waited: usize,
}

/// JSON has no infinity: the value before the first evaluation is written as `null`.
fn best_so_far<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NEG_INFINITY))
}

/// Everything needed to go on after `epoch`.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The last finished epoch.
    pub epoch: usize,
    /// Weights and optimiser state.
    pub trainer: ModelState,
    /// The same at the best epoch.
    pub best: ModelState,
    /// Early stopping.
    pub stopper: Stopper,
    /// The log so far.
    pub log: Vec<EpochRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    identity: String,
    epoch: usize,
    files: BTreeMap<String, FileRecord>,
    /// blake3 of everything above, so that a damaged epoch or identity is not believed.
    seal: String,
}

impl Manifest {
    fn compute_seal(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{}\n{}\n{:?}", self.format, self.epoch, self.identity).as_bytes());
        for (name, file) in &self.files {
            hasher.update(format!("\n{name:?} {} {}", file.bytes, file.blake3).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct FileRecord {
    bytes: u64,
    blake3: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct LoopState {
    stopper: Stopper,
    log: Vec<EpochRecord>,
}

/// The checkpoints of one run.
#[derive(Debug, Clone)]
pub struct CheckpointStore {
    dir: PathBuf,
    identity: String,
}

impl CheckpointStore {
    /// Checkpoints under `dir` of the run with this identity.
    pub fn new(dir: PathBuf, identity: &str) -> Self {
        Self { dir, identity: identity.to_owned() }
    }

    /// Writes a checkpoint and removes all but the newest two.
    ///
    /// # Errors
    /// A file cannot be written; what was there before stays valid.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        fs_err::create_dir_all(&self.dir)?;
        let name = format!("ckpt-{:06}", checkpoint.epoch);
        let (temporary, target) = (self.dir.join(format!("{name}.tmp")), self.dir.join(&name));
        if temporary.exists() {
            fs_err::remove_dir_all(&temporary)?;
        }
        let filled = self.fill(&temporary, checkpoint);
        if filled.is_err() {
            // A disk that is full should not keep half a checkpoint too; the first error tells.
            let _ = fs_err::remove_dir_all(&temporary);
        }
        filled?;
        if target.exists() {
            fs_err::remove_dir_all(&target)?;
        }
        fs_err::rename(&temporary, &target)?;
        sync_dir(&self.dir)?;
        let names = self.names()?;
        for old in names.iter().rev().skip(KEEP) {
            fs_err::remove_dir_all(self.dir.join(old))?;
        }
        Ok(())
    }

    /// Writes and flushes the files of a checkpoint, the manifest last.
    fn fill(&self, temporary: &Path, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        fs_err::create_dir_all(temporary)?;
        write_state(&temporary.join("trainer.safetensors"), &checkpoint.trainer)?;
        write_state(&temporary.join("best.safetensors"), &checkpoint.best)?;
        let state = LoopState { stopper: checkpoint.stopper.clone(), log: checkpoint.log.clone() };
        write_synced(&temporary.join("loop.json"), &serde_json::to_vec_pretty(&state)?)?;
        let manifest = self.manifest(temporary, checkpoint.epoch)?;
        write_synced(&temporary.join("MANIFEST.json"), &serde_json::to_vec_pretty(&manifest)?)?;
        sync_dir(temporary)
    }

    /// The newest whole checkpoint, and a note for each damaged one that was passed over.
    ///
    /// # Errors
    /// There are checkpoints and none is whole, or one belongs to another run.
    pub fn newest(&self) -> Result<(Option<Checkpoint>, Vec<String>), TrainError> {
        let mut notes = Vec::new();
        let names = self.names()?;
        for (passed, name) in names.iter().rev().enumerate() {
            match self.read(&self.dir.join(name))? {
                Ok(checkpoint) => {
                    names.iter().rev().take(passed).try_for_each(|name| self.set_aside(name))?;
                    return Ok((Some(checkpoint), notes));
                }
                Err(reason) => notes.push(reason),
            }
        }
        if notes.is_empty() {
            return Ok((None, notes));
        }
        Err(TrainError::AllDamaged {
            path: self.dir.display().to_string(),
            reasons: notes.join("; "),
        })
    }

    /// Renames a damaged folder, so that it can be looked at and does not count.
    fn set_aside(&self, name: &str) -> Result<(), TrainError> {
        let aside = self.dir.join(format!("damaged-{name}"));
        if aside.exists() {
            fs_err::remove_dir_all(&aside)?;
        }
        fs_err::rename(self.dir.join(name), aside)?;
        sync_dir(&self.dir)
    }

    /// Names of the finished folders, oldest first.
    fn names(&self) -> Result<Vec<String>, TrainError> {
        if !self.dir.is_dir() {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in fs_err::read_dir(&self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("ckpt-") && !name.ends_with(".tmp") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn manifest(&self, dir: &Path, epoch: usize) -> Result<Manifest, TrainError> {
        let mut files = BTreeMap::new();
        for name in ["trainer.safetensors", "best.safetensors", "loop.json"] {
            let bytes = fs_err::read(dir.join(name))?;
            let blake3 = blake3::hash(&bytes).to_hex().to_string();
            files.insert(name.to_owned(), FileRecord { bytes: bytes.len() as u64, blake3 });
        }
        let identity = self.identity.clone();
        let mut manifest = Manifest { format: FORMAT, identity, epoch, files, seal: String::new() };
        manifest.seal = manifest.compute_seal();
        Ok(manifest)
    }

    /// One checkpoint; the inner error says why it does not count.
    fn read(&self, dir: &Path) -> Result<Result<Checkpoint, String>, TrainError> {
        let manifest = match read_manifest(dir) {
            Ok(manifest) => manifest,
            Err(reason) => return Ok(Err(reason)),
        };
        if manifest.identity != self.identity {
            return Err(TrainError::OtherRun { path: self.dir.display().to_string() });
        }
        for (name, record) in &manifest.files {
            if let Err(reason) = check_file(&dir.join(name), record) {
                return Ok(Err(reason));
            }
        }
        Ok(load(dir, manifest.epoch).map_err(|e| format!("{}: {e}", dir.display())))
    }
}

fn load(dir: &Path, epoch: usize) -> Result<Checkpoint, TrainError> {
    let state: LoopState = serde_json::from_slice(&fs_err::read(dir.join("loop.json"))?)?;
    Ok(Checkpoint {
        epoch,
        trainer: read_state(&dir.join("trainer.safetensors"))?,
        best: read_state(&dir.join("best.safetensors"))?,
        stopper: state.stopper,
        log: state.log,
    })
}

fn read_manifest(dir: &Path) -> Result<Manifest, String> {
    let path = dir.join("MANIFEST.json");
    let bytes = fs_err::read(&path).map_err(|e| e.to_string())?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    if manifest.format != FORMAT {
        return Err(format!("{}: format {}, expected {FORMAT}", path.display(), manifest.format));
    }
    if manifest.seal != manifest.compute_seal() {
        return Err(format!("{}: its content has changed (hash differs)", path.display()));
    }
    Ok(manifest)
}

fn check_file(path: &Path, record: &FileRecord) -> Result<(), String> {
    let bytes = fs_err::read(path).map_err(|e| e.to_string())?;
    if bytes.len() as u64 != record.bytes {
        return Err(format!(
            "{}: expected {} bytes, found {}",
            path.display(),
            record.bytes,
            bytes.len()
        ));
    }
    if blake3::hash(&bytes).to_hex().as_str() != record.blake3 {
        return Err(format!("{}: its content has changed (hash differs)", path.display()));
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut file = fs_err::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

/// Makes renames in `dir` durable.
fn sync_dir(dir: &Path) -> Result<(), TrainError> {
    // Not every platform can open a folder; where it cannot, the rename is as durable as it gets.
    if let Ok(handle) = fs_err::File::open(dir) {
        handle.sync_all().ok();
    }
    Ok(())
}
