//! Sections on what was measured.

use quintet_core::Modality;

use super::Told;
use super::chart::intervals;
use super::markup::{Cell, details, figure, four, head, heading, paragraph, table};
use super::paired::{Against, against};
use crate::pipeline::{Interval, ModelResult, SliceResult};

/// Kinds of items and users, in the order in which they are shown.
const KINDS: [&str; 6] =
    ["head items", "tail items", "new items", "heavy users", "light users", "new users"];
/// A mean over fewer people is about them and is not shown.
const FEWEST: usize = 10;
/// Measures of lists that the table shows first; the rest can be opened.
const BEYOND: [(&str, &str); 9] = [
    ("coverage", "coverage"),
    ("gini", "Gini"),
    ("personalisation", "personalisation"),
    ("arp", "popularity (ARP)"),
    ("aplt", "long tail (APLT)"),
    ("epc", "novelty (EPC)"),
    ("serendipity", "serendipity"),
    ("ild_text", "diversity by text"),
    ("ild_image", "diversity by image"),
];

pub(super) fn write(out: &mut String, told: &Told) {
    main_table(out, told);
    for baseline in against(told) {
        paired(out, told, &baseline);
    }
    slices(out, told);
    new_items(out, told);
    modalities(out, told);
    beyond(out, told);
    ratings(out, told);
}

fn main_table(out: &mut String, told: &Told) {
    let result = &told.result;
    let cutoff = result.primary.rsplit('@').next().unwrap_or_default();
    let keys: Vec<&String> =
        result.models.first().map(|m| m.test.keys()).into_iter().flatten().collect();
    let shown = |key: &&&String| **key != &result.primary && key.rsplit('@').next() == Some(cutoff);
    let others: Vec<&String> = keys.iter().filter(shown).copied().collect();
    let mut names = head(&["Model", &format!("{} [95 %]", result.primary)]);
    names.extend(others.iter().map(|key| (*key).clone()));
    names.extend(head(&["Validation", "Best epoch", "Parameters", "Fit, s"]));
    let best = best(result.models.iter().map(|m| m.primary.mean));
    let row = |m: &ModelResult| {
        let primary = interval(&m.primary);
        let strong = m.primary.mean == best;
        let mut cells = vec![
            Cell::text(&m.label),
            if strong { Cell::Strong(primary) } else { Cell::Number(primary) },
        ];
        cells.extend(others.iter().map(|key| Cell::number(m.test.get(*key).copied())));
        let seconds = told.facts.as_ref().and_then(|f| f.fit_seconds.get(&m.label));
        cells.extend([
            Cell::number(m.valid),
            Cell::count(m.best_epoch),
            Cell::count(m.n_parameters),
            Cell::Number(seconds.map_or("–".into(), |s| format!("{s:.1}"))),
        ]);
        cells
    };
    let rows: Vec<Vec<Cell>> = result.models.iter().map(row).collect();
    table(out, &names, &rows);
    let text = format!(
        "Test part, {} users, every item ranked that the user has not had. Brackets: 95 % bootstrap \
         intervals over users. Choices (epochs, parameters) saw the validation part only.",
        result.users
    );
    paragraph(out, &text);
    let points: Vec<(&str, Interval)> =
        result.models.iter().map(|m| (m.label.as_str(), m.primary)).collect();
    let title = format!("{} of every model", result.primary);
    figure(out, &title, &intervals(&title, &result.primary, &points), &[]);
    every_metric(out, told, &keys);
}

/// All metrics at all cut-offs: a row a metric.
fn every_metric(out: &mut String, told: &Told, keys: &[&String]) {
    let mut names = head(&["Metric"]);
    names.extend(told.result.models.iter().map(|m| m.label.clone()));
    let row = |key: &&String| {
        let value = |m: &ModelResult| Cell::number(m.test.get(*key).copied());
        let values = told.result.models.iter().map(value);
        std::iter::once(Cell::text(*key)).chain(values).collect()
    };
    let rows: Vec<Vec<Cell>> = keys.iter().map(row).collect();
    let mut inner = String::new();
    table(&mut inner, &names, &rows);
    details(out, "Every metric at every cut-off", &inner);
}

fn paired(out: &mut String, told: &Told, baseline: &Against) {
    let title = match baseline.role == baseline.label {
        true => format!("Minus {}", baseline.label),
        false => format!("Minus {} ({})", baseline.label, baseline.role),
    };
    let rows: Vec<Vec<Cell>> = baseline
        .rows
        .iter()
        .map(|(label, i, p)| {
            let text = format!("{:+.4} [{:+.4}, {:+.4}]", i.mean, i.lower, i.upper);
            let apart = i.lower > 0.0 || i.upper < 0.0;
            let difference = if apart { Cell::Strong(text) } else { Cell::Number(text) };
            let p = if *p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") };
            vec![Cell::text(label), difference, Cell::Number(p)]
        })
        .collect();
    let name = format!("{} minus it [95 %]", told.result.primary);
    let mut inner = String::new();
    table(&mut inner, &head(&["Model", &name, "p"]), &rows);
    let bars: Vec<(&str, Interval)> =
        baseline.rows.iter().map(|(label, i, _)| (label.as_str(), *i)).collect();
    figure(out, &title, &intervals(&title, &name, &bars), &[]);
    let text = "Differences user by user; bold where the paired bootstrap interval excludes zero; \
                p of the paired t-test by Holm's correction over the rows.";
    paragraph(&mut inner, text);
    details(out, "Numbers and paired tests", &inner);
}

fn slices(out: &mut String, told: &Told) {
    let models = &told.result.models;
    let known = |kind: &&&str| models.iter().any(|m| m.slices.contains_key(**kind));
    let kinds: Vec<&str> = KINDS.iter().filter(known).copied().collect();
    if kinds.is_empty() {
        return;
    }
    heading(out, "Kinds of items and people");
    let mut names = head(&["Model"]);
    names.extend(kinds.iter().map(|kind| (*kind).to_owned()));
    let shown = |s: &SliceResult| (s.users >= FEWEST).then_some(s.value.mean);
    let rows = models.iter().map(|m| {
        let cells = kinds.iter().map(|kind| Cell::number(m.slices.get(*kind).and_then(shown)));
        std::iter::once(Cell::text(&m.label)).chain(cells).collect()
    });
    let mut rows: Vec<Vec<Cell>> = rows.collect();
    if let Some(first) = models.first() {
        let users = |kind: &&str| first.slices.get(*kind).map_or(0, |s| s.users);
        let cells = kinds.iter().map(|kind| Cell::count(users(kind)));
        rows.push(std::iter::once(Cell::text("users")).chain(cells).collect());
    }
    table(out, &names, &rows);
    let text = format!(
        "{} where only held-out items of the kind count, everything competing, and of kinds of \
         people. Head: the fifth of the catalogue with the most training interactions; new: without \
         any; light: people with fewer training interactions than the median. Kinds of fewer than \
         {FEWEST} people have a dash.",
        told.result.primary
    );
    paragraph(out, &text);
    for kind in kinds {
        let row =
            |m: &'_ ModelResult| m.slices.get(kind).filter(|s| s.users >= FEWEST).map(|s| s.value);
        let points: Vec<(&str, Interval)> =
            models.iter().filter_map(|m| Some((m.label.as_str(), row(m)?))).collect();
        if !points.is_empty() {
            let title = format!("{}: {kind}", told.result.primary);
            let mut inner = String::new();
            figure(&mut inner, &title, &intervals(&title, &told.result.primary, &points), &[]);
            details(out, &title, &inner);
        }
    }
}

fn new_items(out: &mut String, told: &Told) {
    let models = &told.result.models;
    let rows: Vec<Vec<Cell>> = models
        .iter()
        .filter_map(|m| {
            let new = m.new_items.as_ref().filter(|n| n.users >= FEWEST)?;
            Some(vec![Cell::text(&m.label), Cell::Number(interval(&new.interval))])
        })
        .collect();
    let Some(new) = models.iter().find_map(|m| m.new_items.as_ref()).filter(|_| !rows.is_empty())
    else {
        return;
    };
    heading(out, "New items among themselves");
    table(out, &head(&["Model", &format!("{} [95 %]", told.result.primary)]), &rows);
    let chance = new.chance.map_or(String::new(), |c| format!("; a random order gets {c:.4}"));
    let text = format!(
        "{} items without training interactions, ranked among themselves for {} users{chance}.",
        new.candidates, new.users
    );
    paragraph(out, &text);
}

fn modalities(out: &mut String, told: &Told) {
    let several: Vec<&ModelResult> =
        told.result.models.iter().filter(|m| !m.modalities.is_empty()).collect();
    if several.is_empty() {
        return;
    }
    heading(out, "Modalities");
    let rows: Vec<Vec<Cell>> = several
        .iter()
        .flat_map(|m| {
            m.modalities.iter().map(|(modality, weight)| {
                let share = weight.share.map_or("–".into(), |s| format!("{:.0} %", 100.0 * s));
                let lost = weight.knocked_out.map(|k| k - m.primary.mean);
                let lost = lost.map_or("–".into(), |l| format!("{l:+.4}"));
                vec![
                    Cell::text(&m.label),
                    Cell::text(modality.as_str()),
                    Cell::Number(share),
                    Cell::number(weight.knocked_out),
                    Cell::Number(lost),
                ]
            })
        })
        .collect();
    table(out, &head(&["Model", "Modality", "Share", "Without it", "Change"]), &rows);
    let text = format!(
        "Share: the mean part of the modality in the content of items that have any. Without it: \
         {} of the same fitted model when no item has the modality any more. A share is not \
         importance; the change is nearer to it.",
        told.result.primary
    );
    paragraph(out, &text);
    for m in several {
        let point = |mean: f64| Interval { mean, lower: mean, upper: mean };
        let without = |(modality, w): (&Modality, &crate::pipeline::ModalityWeight)| {
            Some((format!("without {modality}"), point(w.knocked_out?)))
        };
        let mut points = vec![("all of them".to_owned(), m.primary)];
        points.extend(m.modalities.iter().filter_map(without));
        let points: Vec<(&str, Interval)> =
            points.iter().map(|(name, i)| (name.as_str(), *i)).collect();
        let title = format!("{} when a modality is taken away", m.label);
        figure(out, &title, &intervals(&title, &told.result.primary, &points), &[]);
    }
}

fn beyond(out: &mut String, told: &Told) {
    let models = &told.result.models;
    if models.iter().all(|m| m.beyond.is_empty()) {
        return;
    }
    let cutoff = told.result.primary.rsplit('@').next().unwrap_or_default();
    heading(out, "Beside being right");
    let of = |m: &ModelResult, name: &str| {
        let key = format!("{name}@{cutoff}");
        m.beyond.get(&key).or_else(|| m.test.get(&key)).copied()
    };
    let known = |pair: &&(&str, &str)| models.iter().any(|m| of(m, pair.0).is_some());
    let shown: Vec<&(&str, &str)> = BEYOND.iter().filter(known).collect();
    let mut names = head(&["Model"]);
    names.extend(shown.iter().map(|(_, name)| (*name).to_owned()));
    let row = |m: &ModelResult| {
        let cells = shown.iter().map(|(name, _)| Cell::number(of(m, name)));
        std::iter::once(Cell::text(&m.label)).chain(cells).collect()
    };
    let rows: Vec<Vec<Cell>> = models.iter().map(row).collect();
    table(out, &names, &rows);
    let mut keys: Vec<&String> = models.iter().flat_map(|m| m.beyond.keys()).collect();
    keys.sort();
    keys.dedup();
    let mut names = head(&["Measure"]);
    names.extend(models.iter().map(|m| m.label.clone()));
    let row = |key: &&String| {
        let cells = models.iter().map(|m| Cell::number(m.beyond.get(*key).copied()));
        std::iter::once(Cell::text(*key)).chain(cells).collect()
    };
    let rows: Vec<Vec<Cell>> = keys.iter().map(row).collect();
    let mut inner = String::new();
    table(&mut inner, &names, &rows);
    details(out, "Every measure of the lists", &inner);
}

fn ratings(out: &mut String, told: &Told) {
    if told.ratings.is_empty() {
        return;
    }
    heading(out, "Ratings");
    let row = |r: &crate::pipeline::RatingResult| {
        vec![
            Cell::text(&r.label),
            Cell::Number(interval(&r.rmse)),
            Cell::number(Some(r.mae)),
            Cell::number(r.r2),
            Cell::number(Some(r.valid_rmse)),
        ]
    };
    let rows: Vec<Vec<Cell>> = told.ratings.iter().map(row).collect();
    table(out, &head(&["Rating model", "RMSE [95 %]", "MAE", "R²", "RMSE in validation"]), &rows);
}

fn interval(i: &Interval) -> String {
    format!("{} [{}, {}]", four(i.mean), four(i.lower), four(i.upper))
}

fn best(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, f64::max)
}
