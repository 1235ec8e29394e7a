//! `quintet runs`: what is in run directories, and which run is better.

use std::path::Path;

use quintet::Registries;
use quintet::data::UserResult;
use quintet::pipeline::{
    self, ModelResult, Paired, RunDiff, RunSummary, Workspace, compare_runs, export_projector,
    find_runs, moment,
};
use serde_json::json;

use crate::args::{RunsArgs, RunsCommand, RunsCompareArgs, RunsProjectorArgs};
use crate::print;

/// Runs the verb.
pub(crate) fn run(args: &RunsArgs) -> anyhow::Result<()> {
    match &args.command {
        RunsCommand::List { dir, json } => list(dir, *json),
        RunsCommand::Show { run, user: Some(id), json } => show_user(run, id, *json),
        RunsCommand::Show { run, user: None, json } => show(run, *json),
        RunsCommand::Compare(args) => compare(args),
        RunsCommand::Projector(args) => projector(args),
    }
}

fn list(dir: &Path, as_json: bool) -> anyhow::Result<()> {
    let runs = find_runs(dir)?;
    if as_json {
        return print::json(&runs);
    }
    if runs.is_empty() {
        print::line(&format!(
            "no run below {}; `quintet run FILE.toml` makes one in runs/, --out says where",
            dir.display()
        ));
        return Ok(());
    }
    let dash = || "–".to_owned();
    let rows = runs
        .iter()
        .map(|r: &RunSummary| {
            let best = r.best.as_ref();
            vec![
                r.dir.display().to_string(),
                r.finished.map_or_else(dash, moment),
                r.dataset.clone().unwrap_or_else(dash),
                r.models.to_string(),
                best.map_or_else(|| r.state.clone(), |b| b.label.clone()),
                best.map_or_else(dash, |b| format!("{} {}", b.metric, print::interval(&b.value))),
            ]
        })
        .collect();
    print::table(
        &["run", "finished (UTC)", "dataset", "models", "best", "metric [95 %]"],
        rows,
        99,
    );
    Ok(())
}

fn show(dir: &Path, as_json: bool) -> anyhow::Result<()> {
    let workspace = Workspace::new(dir);
    let summary = pipeline::summary_of(&workspace)?;
    if as_json {
        let result = workspace.file("metrics.json").is_file().then(|| workspace.read_result());
        return print::json(&json!({
            "run": summary, "facts": workspace.read_facts()?, "result": result.transpose()?,
        }));
    }
    print::heading(&format!("{} in {}", summary.name, dir.display()));
    if let Some(facts) = workspace.read_facts()? {
        print::line(&format!(
            "finished {} UTC: {}",
            moment(facts.finished),
            facts.command.join(" ")
        ));
        print::line(&format!(
            "quintet {} on {}, {} threads, device {}",
            facts.version, facts.system, facts.threads, facts.device
        ));
    }
    let dataset = summary.dataset.as_deref().unwrap_or("unknown");
    print::line(&format!("dataset {dataset}, {} models, seed {}", summary.models, summary.seed));
    if !workspace.file("metrics.json").is_file() {
        print::line(&format!("{}; `quintet evaluate` measures it", summary.state));
        return Ok(());
    }
    let result = workspace.read_result()?;
    print::results(&result, &[]);
    if workspace.file("report.html").is_file() {
        print::line(&format!("More in {}.", workspace.file("report.html").display()));
    }
    Ok(())
}

/// What every model of a run did for one user.
fn show_user(dir: &Path, id: &str, as_json: bool) -> anyhow::Result<()> {
    let workspace = Workspace::new(dir);
    pipeline::summary_of(&workspace)?;
    let found = workspace.read_user(id)?;
    if as_json {
        let row = |row: &UserResult| {
            let values: serde_json::Map<_, _> =
                found.metrics.iter().cloned().zip(row.values.iter().map(|v| json!(v))).collect();
            json!({ "model": row.model, "values": values })
        };
        let first = &found.rows[0];
        return print::json(&json!({
            "user": id, "warm": first.warm, "length": first.length,
            "models": found.rows.iter().map(row).collect::<Vec<_>>(),
        }));
    }
    let first = &found.rows[0];
    let kind = if first.warm { "warm" } else { "new: nothing of theirs is in the training part" };
    print::heading(&format!("{id} ({kind}), lists of {}", first.length));
    // Many metrics, few models: a metric is a line.
    let header: Vec<&str> =
        std::iter::once("metric").chain(found.rows.iter().map(|r| r.model.as_str())).collect();
    let line = |(at, key): (usize, &String)| {
        let values = found.rows.iter().map(|row| format!("{:.4}", row.values[at]));
        std::iter::once(key.clone()).chain(values).collect()
    };
    print::table(&header, found.metrics.iter().enumerate().map(line).collect(), 1);
    Ok(())
}

fn compare(args: &RunsCompareArgs) -> anyhow::Result<()> {
    let diffs: Vec<RunDiff> = args
        .others
        .iter()
        .map(|other| {
            compare_runs(
                &Workspace::new(&args.baseline),
                &Workspace::new(other),
                args.model.as_deref(),
            )
        })
        .collect::<Result<_, _>>()?;
    if args.json {
        return print::json(&diffs);
    }
    for diff in &diffs {
        show_diff(diff, args.all);
    }
    Ok(())
}

fn show_diff(diff: &RunDiff, all: bool) {
    print::heading(&format!("{} minus {}", diff.other.display(), diff.baseline.display()));
    diff.notes.iter().for_each(|note| print::line(&format!("note: {note}")));
    for model in &diff.models {
        print::line(&format!("\n{}:", model.label));
        let rows = model
            .metrics
            .iter()
            .filter(|m| all || m.left != m.right || m.metric == diff.primary)
            .map(|m| {
                let number = |v: f64| format!("{v:.4}");
                let test = model.paired.as_ref().filter(|_| m.metric == diff.primary);
                vec![
                    m.metric.clone(),
                    number(m.left),
                    number(m.right),
                    format!("{:+.4}", m.right - m.left),
                    test.map_or(String::new(), paired),
                ]
            })
            .collect();
        print::table(&["metric", "first", "second", "second − first", "paired [95 %]"], rows, 1);
    }
    if diff.models.iter().any(|m| m.paired.is_some()) {
        print::line("paired: the same users in both; bootstrap interval, p of the t-test (Holm)");
    }
}

fn paired(p: &Paired) -> String {
    let d = &p.difference;
    format!("[{:+.4}, {:+.4}] p {:.3}", d.lower, d.upper, p.p)
}

fn projector(args: &RunsProjectorArgs) -> anyhow::Result<()> {
    let workspace = Workspace::new(&args.run);
    let registries = Registries::new()?;
    let label = match &args.model {
        Some(label) => label.clone(),
        None => best_label(&workspace)?,
    };
    // Beside the events of the model, where TensorBoard looks for it.
    let own = workspace.tensorboard(&label);
    let to = args.to.as_deref().unwrap_or(&own);
    let done = export_projector(&workspace, &registries, &label, to)?;
    if args.json {
        return print::json(&done);
    }
    print::line(&format!(
        "{}: {} items in {} dimensions by {label}",
        to.display(),
        done.items,
        done.dim
    ));
    let logdir = if args.to.is_some() { to } else { to.parent().unwrap_or(to) };
    print::line(&format!("Next: tensorboard --logdir {}", logdir.display()));
    Ok(())
}

/// The model with the best value in validation.
fn best_label(workspace: &Workspace) -> anyhow::Result<String> {
    let result = workspace.read_result()?;
    let valid = |m: &&ModelResult| m.valid.is_some();
    let best = result
        .models
        .iter()
        .filter(valid)
        .max_by(|a, b| a.valid.partial_cmp(&b.valid).unwrap_or(std::cmp::Ordering::Equal));
    best.map(|m| m.label.clone())
        .ok_or_else(|| anyhow::anyhow!("the run has no fitted model; name one with --model"))
}
