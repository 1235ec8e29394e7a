//! Sections on what later stages did: shaping and splitting.

use quintet_data::{PartReport, ShapeReport, SplitReport};

use super::chart::{self, Bar, Frame, Piece, short};
use super::events::{counted, gantt};
use super::markup::{Figure, escape, grid, paragraph, percent, row};

/// Where every event went before the split.
pub(super) fn shape(out: &mut String, report: &ShapeReport) {
    out.push_str("<h2>Shaping</h2>");
    let text = format!(
        "{} events came; {} are left, of {} users and {} items.",
        report.rows_in, report.rows_out, report.users_out, report.items_out
    );
    paragraph(out, &text);
    let ways = [
        ("left", report.rows_out),
        ("another kind", report.other_event),
        ("below the threshold", report.below_min_value),
        ("merged repeats", report.merged_repeats),
        ("user too rare", report.dropped_by_core_users),
        ("item too rare", report.dropped_by_core_items),
    ];
    let ways: Vec<_> = ways.map(|(name, n)| (name, n as u64)).to_vec();
    counted(out, ["Where the events went", "Way", "events"], &ways);
}

/// Proportions, times, cold users and items, and the leakage checks.
pub(super) fn split(out: &mut String, report: &SplitReport) {
    out.push_str("<h2>Split</h2>");
    paragraph(out, &format!("Strategy: {}.", report.strategy));
    proportions(out, report);
    let parts = parts(report);
    let spans = parts.map(|(name, p)| (name, p.first, p.last));
    gantt(out, "Time of the parts", &spans);
    let head = ["Cold in", "Users", "of", "Items", "of"];
    let cold = |(name, [users, items], p): (&str, [usize; 2], &PartReport)| {
        row(&[name], &[users, p.users, items, p.items])
    };
    let counts = [
        ("validation", [report.n_cold_users_in_valid, report.n_cold_items_in_valid], &report.valid),
        ("test", [report.n_cold_users_in_test, report.n_cold_items_in_test], &report.test),
    ];
    paragraph(out, "Users and items that train never shows:");
    grid(out, &head, counts.into_iter().map(cold));
    out.push_str("<h3>Leakage</h3><ul>");
    for sentence in leakage(report) {
        out.push_str(&format!("<li>{}</li>", escape(&sentence)));
    }
    out.push_str("</ul>\n");
}

fn parts(report: &SplitReport) -> [(&'static str, &PartReport); 3] {
    [("train", &report.train), ("validation", &report.valid), ("test", &report.test)]
}

/// One bar of all events.
fn proportions(out: &mut String, report: &SplitReport) {
    let rest = report.history + report.dropped_valid + report.dropped_test;
    let rows = [report.train.rows, report.valid.rows, report.test.rows, rest];
    let mut from = 0.0;
    let piece = |(colour, n): (usize, usize)| {
        let to = from + n as f64;
        Piece { from: std::mem::replace(&mut from, to), to, colour }
    };
    let pieces = rows.into_iter().enumerate().map(piece).collect();
    let bar = Bar { name: "events".into(), pieces, note: short(report.rows_in as f64) };
    let title = "Proportions of the split";
    let svg = chart::bars(&Frame { title, x: "events", y: "part" }, &[bar], short);
    let cells = |name: &str, p: &PartReport| {
        let numbers =
            [p.rows.to_string(), percent(p.share), p.users.to_string(), p.items.to_string()];
        row(&[name], &numbers)
    };
    let mut table = parts(report).map(|(name, p)| cells(name, p)).to_vec();
    let others = [
        ("known history of brand-new users", report.history),
        ("left out of validation", report.dropped_valid),
        ("left out of test", report.dropped_test),
    ];
    table.extend(others.map(|(name, n)| {
        let share = percent(n as f64 / report.rows_in.max(1) as f64);
        row(&[name], &[n.to_string(), share])
    }));
    let key = [("train", 0), ("validation", 1), ("test", 2), ("in no part", 3)];
    let head = ["Part", "Events", "Share", "Users", "Items"];
    Figure { title, svg, key: &key, head: &head, rows: table }.write(out);
}

/// Every check as a sentence that says what it means.
fn leakage(report: &SplitReport) -> Vec<String> {
    let mut all = vec![match report.shared_pairs {
        0 => "No pair of a user and an item is in two parts.".to_owned(),
        n => format!("Leak: {n} pairs of a user and an item are in two parts."),
    }];
    if report.test.first.is_some() {
        all.push(match report.train_after_test_began {
            0 => "All of train is earlier than the first test event.".to_owned(),
            n => format!(
                "{n} train events are not earlier than the first test event: a model learns \
                 from them what happened after a moment it is tested at. A split by time avoids it."
            ),
        });
    }
    all.push(match report.duplicate_leaks {
        None => "Near-duplicates across the parts were not looked for.".to_owned(),
        Some(0) => "No item that is new to train looks like one that train shows.".to_owned(),
        Some(n) => format!(
            "Leak: {n} groups of near-duplicate items lie across train and the brand-new items \
             of the other parts."
        ),
    });
    if report.dropped_valid + report.dropped_test > 0 {
        all.push(format!(
            "{} held-out events of {} users were left out because train never shows these users.",
            report.dropped_valid + report.dropped_test,
            report.dropped_users
        ));
    }
    if report.short_histories > 0 {
        let n = report.short_histories;
        all.push(format!("{n} users have too few events to be divided and stay in train."));
    }
    all
}
