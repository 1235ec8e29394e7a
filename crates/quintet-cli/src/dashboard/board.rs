//! What the screen shows, without the screen.

use std::time::{Duration, Instant};

use quintet::train::EpochRecord;

/// Everything that was heard of.
pub(crate) struct Board {
    /// What runs, for the first line.
    pub(crate) title: String,
    /// In the order in which they began; the last may still train.
    pub(crate) models: Vec<ModelBoard>,
    pub(crate) notes: Vec<String>,
    pub(crate) begun: Instant,
}

/// One model.
pub(crate) struct ModelBoard {
    pub(crate) name: String,
    /// The most epochs that it will train.
    pub(crate) most: usize,
    /// Epochs and their losses.
    pub(crate) losses: Vec<(f64, f64)>,
    /// Epochs that were evaluated, and the metric that decides.
    pub(crate) metric: Vec<(f64, f64)>,
    pub(crate) metric_name: String,
    pub(crate) best: Option<f64>,
    /// Seconds of the last epoch: training, validation.
    pub(crate) seconds: [f64; 2],
    pub(crate) begun: Instant,
    /// How long it took, when it is done.
    pub(crate) took: Option<Duration>,
}

impl Board {
    pub(crate) fn new(title: String) -> Self {
        Self { title, models: Vec::new(), notes: Vec::new(), begun: Instant::now() }
    }

    pub(crate) fn begin(&mut self, model: &str, most: usize) {
        self.end();
        self.models.push(ModelBoard {
            name: model.to_owned(),
            most,
            losses: Vec::new(),
            metric: Vec::new(),
            metric_name: String::new(),
            best: None,
            seconds: [0.0; 2],
            begun: Instant::now(),
            took: None,
        });
    }

    pub(crate) fn epoch(&mut self, record: &EpochRecord, metric: &str, best: f64) {
        let Some(model) = self.models.last_mut() else { return };
        let epoch = record.epoch as f64;
        model.losses.push((epoch, record.loss));
        if let Some(value) = record.valid.get(metric) {
            model.metric.push((epoch, *value));
        }
        model.metric_name = metric.to_owned();
        model.best = best.is_finite().then_some(best);
        model.seconds = [record.train_seconds, record.valid_seconds];
    }

    pub(crate) fn end(&mut self) {
        if let Some(model) = self.models.last_mut() {
            model.took.get_or_insert_with(|| model.begun.elapsed());
        }
    }
}

impl ModelBoard {
    /// Epochs that are done.
    pub(crate) fn done(&self) -> usize {
        self.losses.last().map_or(0, |(epoch, _)| *epoch as usize)
    }

    /// How long it takes at most from here, by the epochs of this process: a run that was resumed
    /// does not start at epoch 1.
    pub(crate) fn left(&self) -> Option<Duration> {
        let trained = self.losses.len();
        if trained == 0 || self.took.is_some() {
            return None;
        }
        let each = self.begun.elapsed() / u32::try_from(trained).ok()?;
        Some(each * u32::try_from(self.most.saturating_sub(self.done())).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_resumed_model_is_timed_by_its_own_epochs() {
        let mut board = Board::new("shop".into());
        board.begin("bpr", 30);
        let valid = BTreeMap::from([("ndcg@10".to_owned(), 0.25), ("recall@10".to_owned(), 0.5)]);
        let mut record = EpochRecord {
            epoch: 21,
            loss: 0.5,
            batches: 1,
            samples: 1,
            train_seconds: 1.0,
            valid_seconds: 0.5,
            valid,
        };
        board.models[0].begun = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        board.epoch(&record, "ndcg@10", 0.25);
        let model = &board.models[0];
        assert_eq!((model.done(), &model.metric[..]), (21, &[(21.0, 0.25)][..]));
        let left = model.left().unwrap().as_secs_f64();
        assert!((17.9..19.0).contains(&left), "{left}");
        record.epoch = 22;
        record.valid.clear();
        board.epoch(&record, "ndcg@10", f64::NEG_INFINITY);
        assert_eq!((board.models[0].metric.len(), board.models[0].best), (1, None));
        board.begin("vbpr", 30);
        assert!(board.models[0].took.is_some() && board.models[0].left().is_none());
    }
}
