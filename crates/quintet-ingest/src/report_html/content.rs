//! Sections on text, media and attributes.

use quintet_core::Modality;

use super::chart::{self, Bar, Frame, Piece, short};
use super::events::{MOST_BARS, SPREAD, counted, spread, spread_cells};
use super::markup::{Figure, grid, paragraph, percent, row};
use crate::report::IngestReport;
use crate::report_stats::{AttributeStats, ContentStats};

pub(super) fn write(out: &mut String, report: &IngestReport) {
    let content = &report.stats.content;
    modalities(out, content, report.items as u64);
    text(out, content);
    attributes(out, "items", &content.item_attributes, report.items as u64);
    attributes(out, "users", &content.user_attributes, report.users as u64);
}

fn modalities(out: &mut String, content: &ContentStats, items: u64) {
    if content.modalities.is_empty() {
        return;
    }
    out.push_str("<h2>Modalities</h2>");
    let bar = |m: &crate::report_stats::ModalityStats| {
        let ends = [0, m.ok, m.ok + m.error, m.ok + m.error + m.missing];
        let piece =
            |i: usize, colour| Piece { from: ends[i] as f64, to: ends[i + 1] as f64, colour };
        let pieces = vec![piece(0, 0), piece(1, 1), piece(2, 3)];
        let note = percent(m.ok as f64 / items.max(1) as f64);
        Bar { name: m.modality.to_string(), pieces, note }
    };
    let bars: Vec<Bar> = content.modalities.iter().map(bar).collect();
    let title = "Items that have a modality";
    let svg = chart::bars(&Frame { title, x: "items", y: "modality" }, &bars, short);
    let rows = content.modalities.iter().map(|m| {
        let codes: Vec<String> = m.errors.iter().map(|(code, n)| format!("{code} {n}")).collect();
        let numbers =
            [m.ok.to_string(), m.error.to_string(), m.missing.to_string(), codes.join(", ")];
        row(&[m.modality.as_str()], &numbers)
    });
    let head = ["Modality", "Ok", "Unusable", "Missing", "Unusable by reason"];
    let key = [("ok", 0), ("unusable", 1), ("missing", 3)];
    Figure { title, svg, key: &key, head: &head, rows: rows.collect() }.write(out);
    for m in content.modalities.iter().filter(|m| !m.errors.is_empty()) {
        let title = format!("Why {} files cannot be used", m.modality);
        let codes: Vec<_> = m.errors.iter().map(|(code, n)| (code.as_str(), *n)).collect();
        counted(out, [&title, "Reason", "items"], &codes);
    }
    numbers(out, content);
    overlaps(out, content);
}

fn numbers(out: &mut String, content: &ContentStats) {
    let title = "Items by how many modalities they have";
    let all = content.items_by_modalities.iter().enumerate();
    let columns: Vec<_> = all.map(|(n, items)| (n.to_string(), *items)).collect();
    let rows = columns.iter().map(|(n, items)| row(&[n], &[*items])).collect();
    let svg = chart::histogram(&Frame { title, x: "modalities", y: "items" }, &columns);
    Figure { title, svg, key: &[], head: &["Modalities", "Items"], rows }.write(out);
}

/// Items with both of two modalities, as a square table.
fn overlaps(out: &mut String, content: &ContentStats) {
    if content.modalities.len() < 2 {
        return;
    }
    let both = |a: Modality, b: Modality| {
        let own = content.modalities.iter().find(|m| a == b && m.modality == a).map(|m| m.ok);
        let pair = |o: &&crate::report_stats::Overlap| (o.a, o.b) == (a, b) || (o.a, o.b) == (b, a);
        own.or_else(|| content.overlaps.iter().find(pair).map(|o| o.items)).unwrap_or(0)
    };
    let names: Vec<Modality> = content.modalities.iter().map(|m| m.modality).collect();
    let mut head = vec!["Items with both"];
    head.extend(names.iter().map(|m| m.as_str()));
    let line = |a: &Modality| {
        let numbers: Vec<u64> = names.iter().map(|b| both(*a, *b)).collect();
        row(&[a.as_str()], &numbers)
    };
    grid(out, &head, names.iter().map(line));
}

fn text(out: &mut String, content: &ContentStats) {
    if content.text_lengths.n == 0 {
        return;
    }
    out.push_str("<h2>Text</h2>");
    if content.items_without_text > 0 {
        paragraph(out, &format!("{} items have no text.", content.items_without_text));
    }
    let mut head = vec!["Characters"];
    head.extend(SPREAD);
    let cells = row(&["of the text of an item"], &spread_cells(&content.text_lengths));
    grid(out, &head, std::iter::once(cells));
    let axes = ["characters (steps double)", "items"];
    spread(out, "Length of the texts of items", &content.text_lengths, axes);
}

fn attributes(out: &mut String, of: &str, all: &[AttributeStats], n: u64) {
    if all.is_empty() {
        return;
    }
    let title = format!("Attributes of {of}");
    out.push_str(&format!("<h2>{title}</h2>"));
    let share = |a: &AttributeStats| 100.0 * a.filled as f64 / n.max(1) as f64;
    let bar = |a: &AttributeStats| {
        let pieces = vec![
            Piece { from: 0.0, to: share(a), colour: 0 },
            Piece { from: share(a), to: 100.0, colour: 3 },
        ];
        Bar { name: a.name.clone(), pieces, note: format!("{} values", short(a.distinct as f64)) }
    };
    let bars: Vec<Bar> = all.iter().take(MOST_BARS).map(bar).collect();
    let x = format!("% of {of} that have it");
    let svg = chart::bars(&Frame { title: &title, x: &x, y: "attribute" }, &bars, short);
    let rows = all.iter().map(|a| {
        let share = percent(share(a) / 100.0);
        row(&[&a.name], &[a.filled.to_string(), share, a.distinct.to_string()])
    });
    if all.len() > MOST_BARS {
        paragraph(out, &format!("The first {MOST_BARS} of {}.", all.len()));
    }
    let head = ["Attribute", "Have it", "Share", "Different values"];
    Figure { title: &title, svg, key: &[], head: &head, rows: rows.collect() }.write(out);
}
