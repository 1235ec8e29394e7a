//! What the rules for lists cost in being right, and what they buy in diversity.

use super::Told;
use super::chart::{COLOURS, Move, moves};
use super::markup::{Cell, details, figure, four, head, heading, paragraph, table};
use crate::pipeline::ModelResult;

/// Measures that rules move, and their names; those in [`SPREAD`] are drawn.
const SHOWN: [(&str, &str); 9] = [
    ("ndcg", "NDCG"),
    ("recall", "recall"),
    ("ild_text", "diversity by text"),
    ("ild_image", "diversity by image"),
    ("ild_audio", "diversity by audio"),
    ("ild_video", "diversity by video"),
    ("ild_categories", "diversity by categories"),
    ("coverage", "coverage"),
    ("gini", "Gini"),
];
/// What NDCG is drawn against.
const SPREAD: std::ops::Range<usize> = 2..8;

pub(super) fn write(out: &mut String, told: &Told) {
    let models: Vec<&ModelResult> =
        told.result.models.iter().filter(|m| !m.ruled.is_empty()).collect();
    if models.is_empty() {
        return;
    }
    let cutoff = told.result.primary.rsplit('@').next().unwrap_or_default();
    heading(out, "Lists before and after the rules");
    let text = "Every line is a model: the ring is its lists as they are, the dot the same lists \
                after [evaluate] rules. To the right is more right, up is more varied.";
    paragraph(out, text);
    for (name, what) in &SHOWN[SPREAD] {
        let of = |m: &ModelResult| {
            let (x, y) = (pair(m, "ndcg", cutoff)?, pair(m, name, cutoff)?);
            Some([(x.0, y.0), (x.1, y.1)])
        };
        let known: Vec<(&str, [(f64, f64); 2])> =
            models.iter().filter_map(|m| Some((m.label.as_str(), of(m)?))).collect();
        if known.is_empty() {
            continue;
        }
        let lines: Vec<Move> = known
            .iter()
            .enumerate()
            .map(|(colour, (_, [before, after]))| Move { colour, before: *before, after: *after })
            .collect();
        let colours = COLOURS.iter().cycle();
        let key: Vec<(&str, &str)> =
            known.iter().zip(colours).map(|((label, _), colour)| (*label, *colour)).collect();
        let title = format!("NDCG@{cutoff} and {what}, before and after");
        figure(out, &title, &moves(&title, &format!("NDCG@{cutoff}"), what, &lines), &key);
    }
    numbers(out, &models, cutoff);
}

/// A measure before and after; none where a run does not have both.
fn pair(model: &ModelResult, name: &str, cutoff: &str) -> Option<(f64, f64)> {
    let key = format!("{name}@{cutoff}");
    let before = model.beyond.get(&key).or_else(|| model.test.get(&key))?;
    Some((*before, *model.ruled.get(&key)?))
}

fn numbers(out: &mut String, models: &[&ModelResult], cutoff: &str) {
    let known = |(name, _): &&(&str, &str)| models.iter().any(|m| pair(m, name, cutoff).is_some());
    let shown: Vec<&(&str, &str)> = SHOWN.iter().filter(known).collect();
    let mut names = head(&["Model"]);
    names.extend(shown.iter().map(|(_, what)| (*what).to_owned()));
    let row = |m: &&ModelResult| {
        let cell = |(name, _): &&(&str, &str)| match pair(m, name, cutoff) {
            Some((before, after)) => Cell::Number(format!("{} → {}", four(before), four(after))),
            None => Cell::number(None),
        };
        std::iter::once(Cell::text(&m.label)).chain(shown.iter().map(cell)).collect()
    };
    let rows: Vec<Vec<Cell>> = models.iter().map(row).collect();
    let mut inner = String::new();
    table(&mut inner, &names, &rows);
    details(out, "Numbers before and after", &inner);
}
