//! The report as one HTML page that needs nothing else: no script, no link, no font.

mod chart;
mod content;
mod events;
mod later;
mod markup;

use std::fmt::Write;

use quintet_data::{ShapeReport, SplitReport};

use crate::report::IngestReport;
use crate::report_stats::day;
use markup::{escape, percent, row, table};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;\
padding:0 1rem;color:#1b1f24;background:#fff}table{border-collapse:collapse;margin:0 0 1rem}\
th,td{border-bottom:1px solid #d0d7de;padding:.3rem .7rem;text-align:left;vertical-align:top;\
overflow-wrap:anywhere}th{overflow-wrap:normal}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
.wide{overflow-x:auto}h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}\
figure{margin:0 0 2rem}figcaption{font-weight:600;margin:1rem 0 .3rem}\
svg{max-width:100%;height:auto;display:block}summary{cursor:pointer;opacity:.75}\
.key{margin:.2rem 0}.key span{margin-right:1.2rem}\
.key i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:2px}\
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:1rem}\
dl div{border:1px solid #d0d7de;border-radius:6px;padding:.5rem .8rem}dt{opacity:.75}\
dd{margin:0;font-size:1.3rem;font-variant-numeric:tabular-nums}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}\
th,td,h2,dl div{border-color:#30363d}}";

/// What a page tells of.
#[derive(Clone, Copy)]
pub(crate) struct Chapters<'a> {
    pub(crate) ingest: &'a IngestReport,
    pub(crate) shape: Option<&'a ShapeReport>,
    pub(crate) split: Option<&'a SplitReport>,
}

/// The whole page.
pub(crate) fn page(chapters: &Chapters<'_>) -> String {
    let report = chapters.ingest;
    let mut out = String::new();
    let name = escape(&report.name);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Data report: {name}</title><style>{STYLE}</style></head>\n\
         <body><h1>Data report: {name}</h1>\n"
    );
    tiles(&mut out, report);
    balances(&mut out, report);
    events::write(&mut out, &report.stats);
    content::write(&mut out, report);
    if let Some(shape) = chapters.shape {
        later::shape(&mut out, shape);
    }
    if let Some(split) = chapters.split {
        later::split(&mut out, split);
    }
    faults(&mut out, report);
    out.push_str("</body></html>\n");
    out
}

/// The numbers that everybody asks for first.
fn tiles(out: &mut String, report: &IngestReport) {
    let stats = &report.stats;
    let mut tiles = vec![
        ("Users", grouped(report.users)),
        ("Items", grouped(report.items)),
        ("Events", grouped(report.events)),
        ("Items with text", grouped(report.items_with_text)),
    ];
    if let Some(density) = stats.density {
        tiles.push(("Sparsity", percent(1.0 - density)));
    }
    if let (Some(first), Some(last)) = (stats.times.first, stats.times.last) {
        tiles.push(("First event", day(first)));
        tiles.push(("Last event", day(last)));
    }
    out.push_str("<dl>");
    for (name, number) in tiles {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&number));
    }
    out.push_str("</dl>\n");
}

/// A number with its digits in groups of three.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn balances(out: &mut String, report: &IngestReport) {
    let files = report.files.iter().map(|f| {
        let numbers = [f.rows_in, f.rows_kept, f.rows_reported, f.blank_lines];
        row(&[&f.file, &f.role], &numbers)
    });
    let head = ["File", "Role", "Rows in", "Kept", "Reported", "Blank lines"];
    table(out, "Tables", &head, files);
    let media = report.media.iter().map(|m| {
        let numbers = [m.found, m.ok, m.missing, m.error, m.unmatched, m.duplicate];
        row(&[&m.folder, m.modality.as_str()], &numbers)
    });
    let head =
        ["Folder", "Modality", "Found", "Ok", "Missing", "Unusable", "Without item", "Duplicate"];
    table(out, "Media folders", &head, media);
    if let Some(text) = &report.text {
        markup::paragraph(out, &text.summary());
    }
}

fn faults(out: &mut String, report: &IngestReport) {
    let groups = report.duplicates.groups.iter().map(|g| {
        let more = g.total.saturating_sub(g.items.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let items = g.items.join(", ") + &more;
        row(&[g.modality.as_str(), g.likeness.as_str(), &items], &[g.total])
    });
    let head = ["Modality", "Likeness", "Items", "Count"];
    table(out, "Items that show the same", &head, groups);
    let counts = report.counts.iter().map(|(code, n)| row(&[code.as_str()], &[*n as u64]));
    table(out, "Faults by kind", &["Kind", "Count"], counts);
    let faults = report.faults.iter().map(|f| {
        let line = f.line.map(|l| l.to_string()).unwrap_or_default();
        let item = f.item.as_deref().unwrap_or_default();
        row::<u64>(&[f.code.as_str(), &f.file, &line, item, &f.expected, &f.found], &[])
    });
    let head = ["Kind", "File", "Line", "Item", "Expected", "Found"];
    table(out, "Faults", &head, faults);
    if report.is_clean() {
        markup::paragraph(out, "No faults.");
    }
}

#[cfg(test)]
mod tests;
