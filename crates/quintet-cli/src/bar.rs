//! Progress of long steps: a bar with rate and remaining time on a terminal, plain lines elsewhere.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use quintet::core::Modality;
use quintet::ingest::IngestProgress;

use crate::print;

/// Steps shorter than this say nothing off a terminal.
const QUIET: Duration = Duration::from_secs(2);
/// How often a long step says where it is, off a terminal.
const EVERY: Duration = Duration::from_secs(10);

/// One step with a known or unknown number of units.
struct Step {
    name: String,
    unit: &'static str,
    total: Option<u64>,
    done: AtomicU64,
    started: Instant,
    said: Mutex<Instant>,
    bar: Option<ProgressBar>,
}

impl Step {
    fn start(name: String, unit: &'static str, total: Option<u64>) -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| bar(&name, unit, total));
        let said = Mutex::new(now);
        Self { name, unit, total, done: AtomicU64::new(0), started: now, said, bar }
    }

    /// May be called from many threads.
    fn advance(&self, by: u64) {
        let done = self.done.fetch_add(by, Ordering::Relaxed) + by;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        if let Ok(mut said) = self.said.try_lock()
            && said.elapsed() >= EVERY
        {
            *said = Instant::now();
            let of = self.total.map(|t| format!(" of {}", HumanCount(t))).unwrap_or_default();
            print::note(&format!("{}: {}{of} {}", self.name, HumanCount(done), self.unit));
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        } else if self.started.elapsed() >= QUIET {
            let done = self.done.load(Ordering::Relaxed);
            let time = self.started.elapsed();
            let rate = HumanCount((done as f64 / time.as_secs_f64()) as u64);
            let (done, took) = (HumanCount(done), HumanDuration(time));
            print::note(&format!("{}: {done} {} in {took} ({rate}/s)", self.name, self.unit));
        }
    }
}

fn bar(name: &str, unit: &str, total: Option<u64>) -> ProgressBar {
    let (bar, style) = match total {
        Some(total) => (
            ProgressBar::new(total),
            format!(
                "{{prefix:<24}} {{bar:24}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  eta {{eta}}"
            ),
        ),
        None => (
            ProgressBar::new_spinner(),
            format!("{{prefix:<24}} {{spinner}} {{human_pos}} {unit}  {{per_sec}}"),
        ),
    };
    // The style is ours and well-formed; a bar without it still counts.
    if let Ok(style) = ProgressStyle::with_template(&style) {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar
}

/// Shows the steps of an ingest.
pub(crate) struct IngestBar(Mutex<Option<Step>>);

impl IngestBar {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }
}

impl IngestProgress for IngestBar {
    fn start(&self, step: &str, unit: &'static str, total: Option<u64>) {
        if let Ok(mut slot) = self.0.lock() {
            *slot = Some(Step::start(step.to_owned(), unit, total));
        }
    }

    fn advance(&self, by: u64) {
        if let Ok(slot) = self.0.lock()
            && let Some(step) = slot.as_ref()
        {
            step.advance(by);
        }
    }

    fn finish(&self) {
        if let Ok(mut slot) = self.0.lock()
            && let Some(step) = slot.take()
        {
            step.finish();
        }
    }
}

/// Shows how many items are encoded.
pub(crate) struct EncodeBar(RefCell<Option<(Modality, Step)>>);

impl EncodeBar {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(None))
    }

    pub(crate) fn update(&self, modality: Modality, done: usize, total: usize) {
        let mut slot = self.0.borrow_mut();
        if slot.as_ref().is_none_or(|(m, _)| *m != modality) {
            let step = Step::start(format!("encoding {modality}"), "items", Some(total as u64));
            *slot = Some((modality, step));
        }
        if let Some((_, step)) = slot.as_ref() {
            step.advance((done as u64).saturating_sub(step.done.load(Ordering::Relaxed)));
            if done >= total {
                step.finish();
            }
        }
    }
}
