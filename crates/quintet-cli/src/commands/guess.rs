//! `quintet ingest PATH --guess`: what a table or folder could be, for a person to confirm.

use anyhow::bail;
use quintet::ingest::{Confidence, Role, guess};
use serde_json::json;

use crate::args::RunArgs;
use crate::print;

/// Prints a proposal; nothing is written.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<()> {
    if args.out.is_some() || args.seed.is_some() {
        bail!("--guess writes nothing and needs no seed: leave out --out and --seed");
    }
    let found = guess(&args.file)?;
    let columns = || {
        found.columns.iter().map(|c| (&c.column, role(c.role), confidence(c.confidence), &c.reason))
    };
    if args.json {
        let columns: Vec<_> = columns()
            .map(|(column, role, confidence, reason)| {
                json!({"column": column, "role": role, "confidence": confidence, "reason": reason})
            })
            .collect();
        return print::json(&json!({
            "toml": found.toml,
            "columns": columns,
            "preview": found.preview,
            "warnings": found.warnings,
        }));
    }
    if !found.columns.is_empty() {
        let rows = columns()
            .map(|(column, role, confidence, reason)| {
                vec![column.clone(), role.to_owned(), confidence.to_owned(), reason.clone()]
            })
            .collect();
        print::table(&["column", "is", "sure", "because"], rows, usize::MAX);
    }
    if !found.preview.is_empty() {
        print::heading("first rows");
        let names: Vec<&str> = found.columns.iter().map(|c| c.column.as_str()).collect();
        let width = found.preview.iter().map(Vec::len).max().unwrap_or(0);
        let names = if names.len() == width { names } else { vec![""; width] };
        print::table(&names, found.preview.clone(), usize::MAX);
    }
    found.warnings.iter().for_each(|w| print::note(w));
    print::heading("proposed; put it into a run file after a look at it");
    found.toml.lines().for_each(print::line);
    Ok(())
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Item => "item",
        Role::Value => "value",
        Role::Timestamp => "timestamp",
        Role::Event => "event",
        Role::Part => "part",
        Role::Title => "title",
        Role::Text => "text",
        Role::Lat => "latitude",
        Role::Lon => "longitude",
        Role::Attribute => "attribute",
        Role::Unused => "not used",
    }
}

fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::High => "yes",
        Confidence::Medium => "likely",
        Confidence::Low => "hardly",
    }
}
