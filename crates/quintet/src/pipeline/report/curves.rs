//! Learning curves.

use super::Told;
use super::chart::{COLOURS, Curve, curves};
use super::markup::{details, figure, heading};
use quintet_train::EpochRecord;

/// Curves in one chart.
const TOGETHER: usize = COLOURS.len();

pub(super) fn write(out: &mut String, told: &Told) {
    let models: Vec<(&String, &Vec<EpochRecord>)> =
        told.logs.iter().filter(|(_, log)| !log.is_empty()).collect();
    if models.is_empty() {
        return;
    }
    heading(out, "Learning curves");
    let metric = models.iter().flat_map(|(_, log)| log.iter()).find_map(|r| r.valid.keys().next());
    for (part, some) in models.chunks(TOGETHER).enumerate() {
        let of = if part == 0 { String::new() } else { format!(" ({})", part + 1) };
        if let Some(metric) = metric {
            let title = format!("{metric} in validation{of}");
            let value = |r: &EpochRecord| r.valid.get(metric).copied();
            let mark = |label: &str| best_epoch(told, label);
            let (svg, key) = chart(&title, metric, some, &value, &mark);
            figure(out, &title, &svg, &key);
        }
    }
    for (label, log) in models {
        let title = format!("Training loss of {label}");
        let some = [(label, log)];
        let (svg, key) = chart(&title, "loss", &some, &|r| Some(r.loss), &|_| None);
        let mut inner = String::new();
        figure(&mut inner, &title, &svg, &key);
        details(out, &title, &inner);
    }
}

type Key<'a> = Vec<(&'a str, &'static str)>;

fn chart<'a>(
    title: &str,
    y: &str,
    models: &[(&'a String, &Vec<EpochRecord>)],
    value: &dyn Fn(&EpochRecord) -> Option<f64>,
    mark: &dyn Fn(&str) -> Option<usize>,
) -> (String, Key<'a>) {
    let curve = |(colour, (label, log)): (usize, &(&'a String, &Vec<EpochRecord>))| {
        let points: Vec<(f64, f64)> =
            log.iter().filter_map(|r| Some((r.epoch as f64, value(r)?))).collect();
        let marked = mark(label).and_then(|epoch| {
            points.iter().copied().find(|point| point.0 == epoch as f64 && point.1.is_finite())
        });
        Curve { colour, points, mark: marked }
    };
    let lines: Vec<Curve> = models.iter().enumerate().map(curve).collect();
    let key = models
        .iter()
        .enumerate()
        .map(|(colour, (label, _))| (label.as_str(), COLOURS[colour % COLOURS.len()]))
        .collect();
    (curves(title, y, &lines), key)
}

/// The epoch whose weights were kept.
fn best_epoch(told: &Told, label: &str) -> Option<usize> {
    told.result.models.iter().find(|m| m.label == label).map(|m| m.best_epoch)
}
