//! When, where and by what a run was made. Times are kept here and nowhere else, so that equal
//! runs give equal bytes in every other file.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use quintet_data::write_atomic;
use serde::{Deserialize, Serialize};

use super::stages::read_json;
use super::{PipelineError, TrainedModel, Workspace};

const FILE: &str = "run.json";

/// What `run.json` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFacts {
    /// When the last stage began, seconds since 1970 UTC.
    pub started: u64,
    /// When it ended.
    pub finished: u64,
    /// Version of the program.
    pub version: String,
    /// What was typed.
    pub command: Vec<String>,
    /// The device.
    pub device: String,
    /// Threads.
    pub threads: usize,
    /// Operating system and processor.
    pub system: String,
    /// Seconds of fitting by label, of those models that were fitted and not loaded.
    pub fit_seconds: BTreeMap<String, f64>,
}

impl RunFacts {
    /// Facts of a run that begins now, on this machine, by this program.
    pub fn begin(command: Vec<String>, device: &str) -> Self {
        Self {
            started: now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command,
            device: device.to_owned(),
            threads: rayon::current_num_threads(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            ..Self::default()
        }
    }
}

impl Workspace {
    /// Writes the facts of a run that ends now. Times of models that were not fitted this time
    /// are kept from before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_facts(
        &self,
        mut facts: RunFacts,
        models: &[TrainedModel],
    ) -> Result<(), PipelineError> {
        facts.finished = now();
        // Facts are a convenience: damaged ones of an earlier run are replaced.
        facts.fit_seconds = self.read_facts().ok().flatten().unwrap_or_default().fit_seconds;
        facts.fit_seconds.retain(|label, _| models.iter().any(|m| m.label == *label));
        for model in models.iter().filter(|m| m.seconds > 0.0) {
            facts.fit_seconds.insert(model.label.clone(), model.seconds);
        }
        write_atomic(&self.file(FILE), &serde_json::to_vec_pretty(&facts)?)?;
        Ok(())
    }

    /// The facts of the last run here; none of a run by an earlier version.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read_facts(&self) -> Result<Option<RunFacts>, PipelineError> {
        let path = self.file(FILE);
        path.is_file().then(|| read_json(&path, "facts of a run")).transpose()
    }
}

/// Seconds since 1970 as a date and time, `2026-08-01 13:05`, by the civil calendar of Howard
/// Hinnant ("chrono-Compatible Low-Level Date Algorithms", 2013).
pub fn moment(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + 400 * era + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_seconds() {
        let got = [0, 951_782_399, 951_782_400, 1_709_164_800, 4_102_444_799].map(moment);
        assert_eq!(
            got,
            [
                "1970-01-01 00:00",
                "2000-02-28 23:59",
                "2000-02-29 00:00",
                "2024-02-29 00:00",
                "2099-12-31 23:59"
            ]
        );
    }
}
