//! Sections on what went in: the data, the settings, the machine.

use std::fmt::Write;

use quintet_data::{ShapeReport, SplitReport};
use serde_json::Value;

use super::Told;
use super::markup::{Cell, details, escape, head, heading, paragraph, table};
use crate::pipeline::moment;

/// The numbers that everybody asks for first.
pub(super) fn tiles(out: &mut String, told: &Told) {
    let result = &told.result;
    let mut tiles: Vec<(&str, String)> = Vec::new();
    // The true order of a synthetic world is no model that anybody could use.
    let models = result.models.iter().filter(|m| m.valid.is_some());
    let best = models.max_by(|a, b| a.primary.mean.total_cmp(&b.primary.mean));
    if let Some(best) = best {
        tiles.push(("Best model", best.label.clone()));
        tiles.push((result.primary.as_str(), format!("{:.4}", best.primary.mean)));
    }
    if let Some(data) = &told.data {
        tiles.push(("Dataset", text(&data["name"])));
        tiles.push(("Users", text(&data["n_users"])));
        tiles.push(("Items", text(&data["n_items"])));
    }
    tiles.push(("Users in the test", result.users.to_string()));
    tiles.push(("Seed", result.seed.to_string()));
    if let Some(facts) = told.facts.as_ref().filter(|f| f.finished > 0) {
        tiles.push(("Finished (UTC)", moment(facts.finished)));
    }
    out.push_str("<dl>");
    for (name, value) in tiles {
        let _ = write!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(&value));
    }
    out.push_str("</dl>\n");
}

pub(super) fn write(out: &mut String, told: &Told) {
    if let Some(summary) = &told.data {
        data(out, summary);
    }
    configuration(out, told);
    versions(out, told);
}

fn data(out: &mut String, data: &Value) {
    heading(out, "Data");
    if let Ok(shape) = serde_json::from_value::<ShapeReport>(data["shape"].clone()) {
        let text = format!(
            "{} events came; {} are left after shaping, of {} users and {} items.",
            shape.rows_in, shape.rows_out, shape.users_out, shape.items_out
        );
        paragraph(out, &text);
    }
    if let Ok(split) = serde_json::from_value::<SplitReport>(data["split"].clone()) {
        let parts = [("train", &split.train), ("validation", &split.valid), ("test", &split.test)];
        let row = |(name, part): (&str, &quintet_data::PartReport)| {
            vec![
                Cell::text(name),
                Cell::count(part.rows),
                Cell::Number(format!("{:.1} %", 100.0 * part.share)),
                Cell::count(part.users),
                Cell::count(part.items),
            ]
        };
        let rows: Vec<Vec<Cell>> = parts.into_iter().map(row).collect();
        table(out, &head(&["Part", "Interactions", "Share", "Users", "Items"]), &rows);
        for line in split.summary().iter().skip(1) {
            paragraph(out, line);
        }
    }
    let features = data["features"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |f: &Value| {
        vec![Cell::text(text(&f[0])), Cell::Number(text(&f[1])), Cell::Number(text(&f[2]))]
    };
    let rows: Vec<Vec<Cell>> = features.iter().map(row).collect();
    table(out, &head(&["Modality", "Width of its vectors", "Items that have it"]), &rows);
    paragraph(out, "What is wrong with the data stands in dataset/report.html beside this page.");
}

fn configuration(out: &mut String, told: &Told) {
    heading(out, "Configuration");
    if let Some(config) = &told.config {
        details(out, "config.toml", &format!("<pre>{}</pre>", escape(config)));
    }
    for model in told.result.models.iter().filter(|m| !m.config.is_null()) {
        let config = serde_json::to_string_pretty(&model.config).unwrap_or_default();
        let summary = format!("{}: {} with all its parameters", model.label, model.model);
        details(out, &summary, &format!("<pre>{}</pre>", escape(&config)));
    }
}

fn versions(out: &mut String, told: &Told) {
    heading(out, "Made by");
    let mut rows = vec![vec![Cell::text("data and split"), Cell::text(&told.result.data)]];
    if let Some(facts) = &told.facts {
        let took = facts.finished.saturating_sub(facts.started);
        let mut say = |name: &str, value: String| {
            if !value.is_empty() {
                rows.push(vec![Cell::text(name), Cell::text(value)]);
            }
        };
        say("version", format!("quintet {}", facts.version));
        say("command", facts.command.join(" "));
        say("device", facts.device.clone());
        say("threads", facts.threads.to_string());
        say("system", facts.system.clone());
        say("began (UTC)", moment(facts.started));
        say("took", format!("{took} s"));
    }
    table(out, &head(&["What", "Value"]), &rows);
    paragraph(out, &format!("This page was written by quintet {}.", env!("CARGO_PKG_VERSION")));
}

/// A number or text of JSON as people read it.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
