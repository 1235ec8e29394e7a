//! How training goes, in plain lines, for a log that somebody reads later.

use std::time::{Duration, Instant};

use indicatif::HumanDuration;
use quintet::train::{EpochRecord, Progress};

use crate::print;

/// Models that train shorter than this are not worth a line.
const QUIET: Duration = Duration::from_secs(2);
/// How often a model says where it is.
const EVERY: Duration = Duration::from_secs(30);

/// A line twice a minute, and one at the end of each model.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    now: Option<Now>,
    notes: Vec<String>,
}

/// The model that trains.
#[derive(Debug)]
struct Now {
    label: String,
    epochs: usize,
    began: Instant,
    said: Instant,
    /// Its last epoch, and the best value of early stopping so far.
    last: Option<(usize, String)>,
}

impl Lines {
    /// What a person should know and was not told.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// The line of an epoch, where one is due at `moment`.
    fn heard(&mut self, epoch: usize, state: String, moment: Instant) -> Option<String> {
        let now = self.now.as_mut()?;
        now.last = Some((epoch, state.clone()));
        if moment.saturating_duration_since(now.said) < EVERY {
            return None;
        }
        now.said = moment;
        Some(format!("{}: epoch {epoch} of {}, {state}", now.label, now.epochs))
    }

    /// The line of the model that ends at `moment`, where it took long enough.
    fn ended(&mut self, moment: Instant) -> Option<String> {
        let now = self.now.take()?;
        let took = moment.saturating_duration_since(now.began);
        let (epoch, state) = now.last.filter(|_| took >= QUIET)?;
        Some(format!("{}: {epoch} epochs in {}, {state}", now.label, HumanDuration(took)))
    }
}

impl Progress for Lines {
    fn begin(&mut self, model: &str, epochs: usize) {
        let (label, began) = (model.to_owned(), Instant::now());
        self.now = Some(Now { label, epochs, began, said: began, last: None });
    }

    fn epoch(&mut self, record: &EpochRecord, metric: &str, best: f64) {
        let state = format!("loss {:.4}, best {metric} {best:.4}", record.loss);
        if let Some(line) = self.heard(record.epoch, state, Instant::now()) {
            print::note(&line);
        }
    }

    fn note(&mut self, message: &str) {
        self.notes.push(message.to_owned());
    }

    fn end(&mut self) {
        if let Some(line) = self.ended(Instant::now()) {
            print::note(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_models_are_heard_of_now_and_then_and_short_ones_not_at_all() {
        let mut lines = Lines::default();
        lines.begin("bpr, seed 7", 40);
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(lines.heard(1, "loss 1".into(), at(10)), None);
        let line = lines.heard(4, "loss 0.5".into(), at(35)).unwrap();
        assert_eq!(line, "bpr, seed 7: epoch 4 of 40, loss 0.5");
        assert_eq!(lines.heard(5, "loss 0.4".into(), at(50)), None);
        let line = lines.ended(at(60)).unwrap();
        assert!(line.starts_with("bpr, seed 7: 5 epochs in ") && line.ends_with("loss 0.4"));
        lines.begin("popularity", 0);
        assert_eq!(lines.ended(Instant::now()), None);
    }
}
