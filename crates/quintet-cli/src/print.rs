//! Everything that goes to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)] // This file is the terminal.

use std::io::{IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use quintet::pipeline::{
    EncodeReport, Interval, ModalityReport, ModalityWeight, ModelResult, Paired, Prepared,
    RatingResult, Recommendation, RunResult, TrainedEncoder, TrainedModel,
};
use serde::Serialize;

/// Prints a line on standard output.
macro_rules! out {
    ($($arg:tt)*) => { write_out(format_args!($($arg)*)) };
}

/// A reader that has left, as in `quintet list | head -1`, ends the program without a word.
fn write_out(text: std::fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    if let Err(e) = writeln!(stdout, "{text}") {
        if e.kind() != std::io::ErrorKind::BrokenPipe {
            error(&format!("standard output: {e}"));
        }
        std::process::exit(1);
    }
}

/// One line on standard output.
pub(crate) fn line(text: &str) {
    out!("{text}");
}

/// One line on standard error.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// The last line of a failed run.
pub(crate) fn error(text: &str) {
    eprintln!("error: {text}");
}

/// One JSON object.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    out!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// One rule above, below and under the header; none between rows.
const RULE: LineStyle = LineStyle::none().fill('─').junction('─');
const STYLE: TableStyle =
    TableStyle::new().top_border(RULE).header_separator(RULE).bottom_border(RULE);

/// Width of tables that do not go to a terminal.
const WIDTH: u16 = 128;

/// A heading between stages.
pub(crate) fn heading(text: &str) {
    out!("\n{text}");
}

/// A table whose columns from `numbers_from` on are right-aligned.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, numbers_from: usize) {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.set_width(WIDTH);
    }
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in numbers_from..header.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    out!("{table}");
}

/// The same as Markdown where that is asked for.
pub(crate) fn table_as(
    markdown: bool,
    header: &[&str],
    rows: Vec<Vec<String>>,
    numbers_from: usize,
) {
    if !markdown {
        return table(header, rows, numbers_from);
    }
    let dashes = (0..header.len()).map(|at| if at < numbers_from { "---" } else { "---:" });
    out!("\n| {} |", header.join(" | "));
    out!("|{}|", dashes.collect::<Vec<_>>().join("|"));
    for row in rows {
        out!(
            "| {} |",
            row.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | ")
        );
    }
    out!("");
}

/// `+0.0123 [+0.0100, +0.0150] p 0.012`, a difference with the p of its paired test.
pub(crate) fn paired(paired: Option<&Paired>) -> String {
    paired.map_or_else(
        || "–".to_owned(),
        |p| {
            let d = &p.difference;
            format!("{:+.4} [{:+.4}, {:+.4}] p {:.3}", d.mean, d.lower, d.upper, p.p)
        },
    )
}

/// How many fits of a comparison were there before; nothing where none was.
pub(crate) fn fits(known: usize, fitted: usize) {
    if known > 0 {
        line(&format!("{known} fits were known from before, {fitted} were made now"));
    }
}

/// `0.1234 [0.1200, 0.1270]`.
pub(crate) fn interval(i: &Interval) -> String {
    format!("{:.4} [{:.4}, {:.4}]", i.mean, i.lower, i.upper)
}

/// `+0.0123 [+0.0100, +0.0150]`, with a star where zero is excluded.
pub(crate) fn difference(i: &Interval, excludes_zero: bool) -> String {
    let star = if excludes_zero { " *" } else { "" };
    format!("{:+.4} [{:+.4}, {:+.4}]{star}", i.mean, i.lower, i.upper)
}

/// What an encoder learned before it encoded.
pub(crate) fn trained_encoder(trained: &TrainedEncoder, metric: &str) {
    let TrainedEncoder { modality, encoder, items, failed, fit, seconds } = trained;
    let took = seconds.map_or("from before".to_owned(), |s| format!("{s:.0} s"));
    note(&format!(
        "{encoder} for {modality} learned from {items} items: {metric} {:.4} in validation at epoch \
         {} of {}, {} numbers ({took})",
        fit.best_valid, fit.best_epoch, fit.epochs, fit.n_parameters,
    ));
    if let Some(first) = failed.first() {
        note(&format!("{} items could not be read for it, the first: {first}", failed.len()));
    }
}

/// What encoding did, a line a modality.
pub(crate) fn encoded(report: &EncodeReport) {
    let rows = report
        .modalities
        .iter()
        .map(|m| {
            vec![
                m.modality.to_string(),
                m.encoder.clone(),
                m.dim.to_string(),
                m.encoded.to_string(),
                m.missing.to_string(),
                m.failed.to_string(),
                encoded_note(m),
            ]
        })
        .collect();
    table(&["modality", "encoder", "dim", "items", "missing", "failed", ""], rows, 2);
    for m in &report.modalities {
        for e in m.errors.iter().take(5) {
            out!("  {}: {e}", m.modality);
        }
        if m.errors.len() > 5 {
            out!("  {}: … and {} more (see encoder.json)", m.modality, m.errors.len() - 5);
        }
    }
}

/// What of a modality did not have to be computed.
fn encoded_note(m: &ModalityReport) -> String {
    let known = (m.encoded + m.failed).saturating_sub(m.computed);
    match m.reused {
        true => "from an earlier run".to_owned(),
        false if known > 0 && m.computed > 0 => format!("{} computed", m.computed),
        false if known > 0 => "from the cache".to_owned(),
        false => String::new(),
    }
}

/// What shaping and splitting did.
pub(crate) fn split(prepared: &Prepared) {
    prepared.split.report.summary().iter().for_each(|l| line(l));
    for (modality, report) in &prepared.imputed {
        out!(
            "{modality}: {} of {} items without it got a vector ({} along the graph, {} from another \
             modality, {} from the mean)",
            report.missing - report.left,
            report.missing,
            report.from_graph,
            report.from_modality,
            report.from_mean + report.constant,
        );
    }
    for (modality, count) in prepared.completed.iter().filter(|(_, count)| **count > 0) {
        out!("{modality}: {count} vectors were made up from the other modalities of their items");
    }
}

/// The metrics table of a run.
pub(crate) fn results(result: &RunResult, models: &[TrainedModel]) {
    let seconds = |label: &str| {
        let found = models.iter().find(|m| m.label == label);
        // A loaded model was not fitted just now.
        let fitted = found.filter(|m| m.seconds > 0.0);
        fitted.map_or("–".into(), |m| format!("{:.1}", m.seconds))
    };
    let metrics = other_metrics(result);
    let reference = result.models.iter().find_map(|m| m.against.as_ref());
    let minus = reference.map(|c| format!("{} minus it", c.reference));
    let has_new = result.models.iter().any(|m| m.new_items.is_some());
    let mut header = vec!["model".to_owned(), format!("{} [95 %]", result.primary)];
    header.extend(metrics.iter().cloned());
    header.extend(has_new.then(|| format!("new items: {}", result.primary)));
    header.extend(minus);
    header.push("fit s".into());
    let rows = result
        .models
        .iter()
        .map(|m| {
            let mut row = vec![m.label.clone(), interval(&m.primary)];
            row.extend(metrics.iter().map(|k| value(m, k)));
            if has_new {
                row.push(m.new_items.as_ref().map_or("–".into(), |n| format!("{:.4}", n.value)));
            }
            if reference.is_some() {
                let text =
                    |c: &quintet::pipeline::Comparison| difference(&c.difference, c.excludes_zero);
                row.push(m.against.as_ref().map_or("–".into(), text));
            }
            row.push(seconds(&m.label));
            row
        })
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    table(&header, rows, 1);
    let new = result.models.iter().find_map(|m| m.new_items.as_ref());
    if let Some(n) = new {
        let chance = n.chance.map_or(String::new(), |c| format!("; a random order gets {c:.4}"));
        out!(
            "New items: {} items without training interactions, ranked among themselves for {} users{chance}.",
            n.candidates,
            n.users
        );
    }
    out!(
        "Test part, {} users, every unseen item ranked; intervals: bootstrap over users; * excludes zero.",
        result.users
    );
    modalities(result);
    beyond(result);
    ruled(result);
    notes(result);
}

/// What each modality does in the models that read several.
fn modalities(result: &RunResult) {
    let several = || result.models.iter().filter(|m| !m.modalities.is_empty());
    if several().next().is_none() {
        return;
    }
    out!(
        "What each modality does: its mean share in the content, and {} without it:",
        result.primary
    );
    let cell = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.4}"));
    let rows = several().flat_map(|m| {
        let row = move |(modality, w): (&quintet::core::Modality, &ModalityWeight)| {
            let share = w.share.map_or("–".into(), |s| format!("{:.0} %", 100.0 * s));
            let lost = w.knocked_out.map(|k| k - m.primary.mean);
            let lost = lost.map_or("–".into(), |l| format!("{l:+.4}"));
            vec![m.label.clone(), modality.to_string(), share, cell(w.knocked_out), lost]
        };
        m.modalities.iter().map(row)
    });
    table(&["model", "modality", "share", "without it", "change"], rows.collect(), 2);
}

/// What lists are like beside being right: the table shows these, `metrics.json` has more.
const BEYOND: [&str; 8] =
    ["gini", "personalisation", "arp", "aplt", "epc", "serendipity", "ild_text", "ild_image"];

/// The table of what lists are like.
fn beyond(result: &RunResult) {
    let cutoff = result.primary.rsplit('@').next().unwrap_or_default();
    let of = |m: &ModelResult, name: &str| m.beyond.get(&format!("{name}@{cutoff}")).copied();
    let known = |name: &&str| result.models.iter().any(|m| of(m, name).is_some());
    let names: Vec<&str> = BEYOND.iter().copied().filter(known).collect();
    if names.is_empty() {
        return;
    }
    out!("Beside being right, lists of {cutoff}:");
    let mut header = vec!["model"];
    header.extend(&names);
    let cell = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.4}"));
    let row = |m: &ModelResult| {
        let mut row = vec![m.label.clone()];
        row.extend(names.iter().map(|name| cell(of(m, name))));
        row
    };
    table(&header, result.models.iter().map(row).collect(), 1);
}

/// What the rules of a run make of the lists; nothing without any.
fn ruled(result: &RunResult) {
    let cutoff = result.primary.rsplit('@').next().unwrap_or_default();
    let changed = || result.models.iter().filter(|m| !m.ruled.is_empty());
    let names: Vec<&str> = ["recall", "ndcg", "ild_text", "ild_image", "ild_categories", "gini"]
        .into_iter()
        .filter(|name| changed().any(|m| m.ruled.contains_key(&format!("{name}@{cutoff}"))))
        .collect();
    if names.is_empty() {
        return;
    }
    out!("After the rules (before them):");
    let mut header = vec!["model"];
    header.extend(&names);
    let row = |m: &ModelResult| {
        let cell = |name: &&str| {
            let key = format!("{name}@{cutoff}");
            let number = |v: Option<&f64>| v.map_or("–".into(), |v| format!("{v:.4}"));
            let before = m.beyond.get(&key).or_else(|| m.test.get(&key));
            format!("{} ({})", number(m.ruled.get(&key)), number(before))
        };
        let mut row = vec![m.label.clone()];
        row.extend(names.iter().map(cell));
        row
    };
    table(&header, changed().map(row).collect(), 1);
}

/// What a reader should know of single fits.
fn notes(result: &RunResult) {
    for model in &result.models {
        model.notes.iter().for_each(|note| out!("{}: {note}.", model.label));
    }
}

/// The table of rating models; nothing without any.
pub(crate) fn ratings(results: &[RatingResult]) {
    let Some(first) = results.first() else { return };
    let row = |r: &RatingResult| {
        let p = &r.predictions;
        let fallback = p.unknown_user + p.unknown_item + p.unknown_both + p.few_neighbours;
        vec![
            r.label.clone(),
            interval(&r.rmse),
            format!("{:.4}", r.mae),
            r.r2.map_or("–".into(), |r2| format!("{r2:.4}")),
            format!("{:.1} %", 100.0 * fallback as f64 / p.predictions.max(1) as f64),
        ]
    };
    out!("Which rating somebody would give:");
    let header = ["rating model", "RMSE [95 %]", "MAE", "R²", "from means"];
    table(&header, results.iter().map(row).collect(), 1);
    out!(
        "{} ratings of the test part; intervals: bootstrap over ratings.",
        first.predictions.predictions
    );
}

fn value(m: &ModelResult, key: &str) -> String {
    m.test.get(key).map_or("–".into(), |v| format!("{v:.4}"))
}

/// The metrics at the primary cut-off, without the primary itself.
fn other_metrics(result: &RunResult) -> Vec<String> {
    let cutoff = result.primary.rsplit('@').next().unwrap_or_default();
    let keys = result.models.first().map(|m| m.test.keys()).into_iter().flatten();
    keys.filter(|k| **k != result.primary && k.rsplit('@').next() == Some(cutoff))
        .filter(|k| !k.starts_with("map_"))
        .cloned()
        .collect()
}

/// One user's list.
pub(crate) fn recommendations(user: &str, model: &str, list: &[Recommendation]) {
    out!("For user {user}, by {model}:");
    let rows = list
        .iter()
        .map(|r| {
            vec![
                r.rank.to_string(),
                r.item.clone(),
                if r.new { format!("{} (new)", r.title) } else { r.title.clone() },
                format!("{:.3}", r.score),
                r.reasons.join(", "),
            ]
        })
        .collect();
    table(&["", "item", "title", "score", "why"], rows, 99);
}
