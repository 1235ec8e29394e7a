//! The log of a search: a line of JSON a fit, the first line says of which search.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{LineLog, TrainError};

/// One fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Number of the point, from 0.
    pub trial: usize,
    /// Which of the seeds, from 0.
    pub seed: usize,
    /// To how many epochs it was allowed to train.
    pub epochs: usize,
    /// The values that were tried, by path.
    pub params: Value,
    /// The metric in validation; none for a fit that failed.
    pub value: Option<f64>,
    /// The epoch that was kept, 0 for a model without epochs.
    pub best_epoch: usize,
    /// Seconds of the fit.
    pub seconds: f64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    search: String,
}

/// What was done so far, and where more is written.
#[derive(Debug)]
pub struct TrialLog {
    log: LineLog,
    records: Vec<Record>,
}

impl TrialLog {
    /// Opens the log of the search with this identity, or begins it.
    ///
    /// # Errors
    /// The log is of another search, in use or damaged before its last line; a file cannot be
    /// written.
    pub fn open(path: &Path, identity: &str) -> Result<Self, TrainError> {
        let (mut log, lines) = LineLog::open(path)?;
        let mut lines = lines.iter().enumerate();
        match lines.next() {
            None => log.append(&Header { search: identity.to_owned() })?,
            Some((number, line)) => {
                let header: Header = log.read(number, line)?;
                if header.search != identity {
                    return Err(TrainError::OtherSearch { path: path.display().to_string() });
                }
            }
        }
        let records = lines.map(|(number, line)| log.read(number, line)).collect::<Result<_, _>>();
        Ok(Self { records: records?, log })
    }

    /// The fit of a trial, where it was done.
    pub fn find(&self, trial: usize, seed: usize, epochs: usize) -> Option<&Record> {
        self.records.iter().find(|r| (r.trial, r.seed, r.epochs) == (trial, seed, epochs))
    }

    /// All fits so far.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.log.path()
    }

    /// Adds a fit.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn push(&mut self, record: Record) -> Result<(), TrainError> {
        self.log.append(&record)?;
        self.records.push(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(trial: usize) -> Record {
        Record {
            trial,
            seed: 0,
            epochs: 5,
            params: json!({"lr": 0.1 + 0.2}),
            value: Some(1.0 / 3.0),
            best_epoch: 2,
            seconds: 0.5,
            error: None,
        }
    }

    #[test]
    fn a_log_comes_back_without_what_broke_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tune/trials.jsonl");
        let mut log = TrialLog::open(&path, "a").unwrap();
        log.push(record(0)).unwrap();
        log.push(record(1)).unwrap();
        drop(log);
        let whole = fs_err::read(&path).unwrap();
        fs_err::write(&path, &whole[..whole.len() - 7]).unwrap();
        let mut log = TrialLog::open(&path, "a").unwrap();
        assert_eq!(log.records(), [record(0)]);
        assert!(log.find(0, 0, 5).is_some() && log.find(0, 0, 6).is_none());
        log.push(record(1)).unwrap();
        drop(log);
        assert_eq!(fs_err::read(&path).unwrap(), whole);
        // Cut off within the first line, nothing is left.
        fs_err::write(&path, &whole[..5]).unwrap();
        assert!(TrialLog::open(&path, "b").unwrap().records().is_empty());
    }

    #[test]
    fn another_search_and_a_damaged_line_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trials.jsonl");
        TrialLog::open(&path, "a").unwrap().push(record(0)).unwrap();
        let error = TrialLog::open(&path, "b").unwrap_err().to_string();
        assert!(error.contains("trials.jsonl") && error.contains("another search"), "{error}");
        let text = fs_err::read_to_string(&path).unwrap().replace("\"trial\"", "\"tiral\"");
        fs_err::write(&path, text).unwrap();
        let error = TrialLog::open(&path, "a").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
