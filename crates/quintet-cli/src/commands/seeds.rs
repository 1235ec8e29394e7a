//! `quintet seeds`: what chance in training does, and what is left of differences.

use std::time::Duration;

use quintet::pipeline::{MeanSpread, SeedsRow, SeedsTable, WeightStore, seeds_stage};

use super::device;
use super::stages::Job;
use crate::args::SeedsArgs;
use crate::dashboard::Watch;
use crate::print;

/// Runs the verb.
pub(crate) fn run(args: &SeedsArgs, weights: &WeightStore) -> anyhow::Result<()> {
    anyhow::ensure!(args.seeds > 0, "--seeds: expected at least 1, found 0");
    let job = Job::open(&args.run, weights)?;
    let dataset = job.ingest(true)?;
    job.encode(&dataset, &args.run)?;
    let prepared = job.prepare(dataset)?;
    let open = device(args.run.device)?;
    let mut watch = Watch::new(args.watch.dashboard, &job.config.name)?;
    let table = seeds_stage(
        &job.config,
        &prepared,
        &job.registries,
        &open.device,
        &job.workspace,
        (args.seeds, args.budget.map(Duration::from_secs)),
        &mut watch,
    );
    watch.finish().iter().for_each(|n| print::note(n));
    let table = table?;
    if args.run.json {
        return print::json(&table);
    }
    show(&table, args.markdown);
    print::line(&format!("All of it: {}", job.workspace.file("seeds").display()));
    Ok(())
}

fn show(table: &SeedsTable, markdown: bool) {
    let seeds = table.models.iter().map(|m| m.seeds).max().unwrap_or(0);
    print::heading(&format!("{seeds} seeds, {} test users", table.users));
    let over = |v: Option<&MeanSpread>| {
        v.map_or_else(|| "–".to_owned(), |v| format!("{:.4} ±{:.4}", v.mean, v.spread))
    };
    let with_new = table.models.iter().any(|m| m.new_items.is_some());
    let mut header = ["model", "numbers", "seeds", "fit, s"].map(str::to_owned).to_vec();
    header.push(format!("{} in validation", table.valid_metric));
    header.push(format!("{} [95 %]", table.primary));
    header.extend(table.reference.iter().map(|reference| format!("{reference} minus it")));
    if with_new {
        header.push(format!("new items: {}", table.primary));
        header.extend(table.reference.iter().map(|reference| format!("{reference} minus it")));
    }
    let row = |m: &SeedsRow| {
        let spread = m.test.get(&table.primary).map_or(0.0, |v| v.spread);
        let mut row = vec![m.label.clone(), m.parameters.to_string(), m.seeds.to_string()];
        row.push(format!("{:.1}", m.seconds));
        row.push(over(m.valid.as_ref()));
        row.push(format!("{} ±{spread:.4}", print::interval(&m.primary)));
        if table.reference.is_some() {
            row.push(print::paired(m.against.as_ref()));
        }
        if with_new {
            row.push(over(m.new_items.as_ref()));
            if table.reference.is_some() {
                row.push(print::paired(m.new_against.as_ref()));
            }
        }
        row
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    print::table_as(markdown, &header, table.models.iter().map(row).collect(), 1);
    let keys: Vec<&String> =
        table.models.first().map(|m| m.test.keys()).into_iter().flatten().collect();
    let mut header = vec!["model"];
    header.extend(keys.iter().map(|key| key.as_str()));
    let row = |m: &SeedsRow| {
        let cells = keys.iter().map(|key| over(m.test.get(*key)));
        std::iter::once(m.label.clone()).chain(cells).collect()
    };
    print::table_as(markdown, &header, table.models.iter().map(row).collect(), 1);
    print::fits(table.known, table.fitted);
    if !table.not_run.is_empty() {
        print::line(&format!("not reached within the budget: {}", table.not_run.join(", ")));
    }
    print::line(
        "intervals: bootstrap over users of the mean over seeds; ±: standard deviation over seeds; \
         p: paired t-test over users (Holm).",
    );
}
