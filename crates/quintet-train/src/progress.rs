//! What a person sees while a model trains.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::EpochRecord;

/// Hears of every epoch.
pub trait Progress {
    /// A model begins; `epochs` is the most it will train.
    fn begin(&mut self, model: &str, epochs: usize);
    /// An epoch is done.
    fn epoch(&mut self, record: &EpochRecord, metric: &str, best: f64);
    /// Something a person should know, such as a damaged checkpoint.
    fn note(&mut self, message: &str);
    /// The model is done.
    fn end(&mut self);
}

/// Says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: usize) {}
    fn epoch(&mut self, _: &EpochRecord, _: &str, _: f64) {}
    fn note(&mut self, _: &str) {}
    fn end(&mut self) {}
}

/// Passes everything on, with a model's label in the place of its name: a run may fit the same
/// model several times.
pub struct Labelled<'a> {
    label: &'a str,
    inner: &'a mut dyn Progress,
}

impl<'a> Labelled<'a> {
    /// Calls the model `label`.
    pub fn new(label: &'a str, inner: &'a mut dyn Progress) -> Self {
        Self { label, inner }
    }
}

impl Progress for Labelled<'_> {
    fn begin(&mut self, _: &str, epochs: usize) {
        self.inner.begin(self.label, epochs);
    }

    fn epoch(&mut self, record: &EpochRecord, metric: &str, best: f64) {
        self.inner.epoch(record, metric, best);
    }

    fn note(&mut self, message: &str) {
        self.inner.note(message);
    }

    fn end(&mut self) {
        self.inner.end();
    }
}

/// A bar on standard error while that is a terminal, nothing otherwise; notes are always kept.
#[derive(Debug, Default)]
pub struct TerminalProgress {
    bar: Option<ProgressBar>,
    notes: Vec<String>,
}

impl TerminalProgress {
    /// The notes so far.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

impl Progress for TerminalProgress {
    fn begin(&mut self, model: &str, epochs: usize) {
        let bar = ProgressBar::new(epochs as u64);
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix:<24} {bar:24} {pos}/{len} epochs  {msg}  eta {eta}",
        ) {
            bar.set_style(style);
        }
        bar.set_prefix(model.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bar = Some(bar);
    }

    fn epoch(&mut self, record: &EpochRecord, metric: &str, best: f64) {
        if let Some(bar) = &self.bar {
            bar.set_position(record.epoch as u64);
            bar.set_message(format!("loss {:.4}  best {metric} {best:.4}", record.loss));
        }
    }

    fn note(&mut self, message: &str) {
        self.notes.push(message.to_owned());
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
