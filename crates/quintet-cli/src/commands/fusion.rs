//! `quintet fusion`: which fusion helps, and what is left when modalities go missing.

use std::time::Duration;

use quintet::pipeline::WeightStore;
use quintet::pipeline::{
    FusionRequest, FusionRow, FusionTable, Interval, Prepared, RemovalRow, RemovalTable,
    compare_fusions, remove_modalities,
};

use super::device;
use super::stages::Job;
use crate::args::{FusionCommand, FusionCompareArgs, FusionRemovalArgs, FusionRunArgs};
use crate::dashboard::Watch;
use crate::print;

/// Runs the verb.
pub(crate) fn run(command: &FusionCommand, weights: &WeightStore) -> anyhow::Result<()> {
    match command {
        FusionCommand::Compare(args) => compare(args, weights),
        FusionCommand::Removal(args) => removal(args, weights),
    }
}

/// The earlier stages, as far as they have not run yet.
fn prepared(on: &FusionRunArgs, weights: &WeightStore) -> anyhow::Result<(Job, Prepared)> {
    let job = Job::open(&on.run, weights)?;
    let dataset = job.ingest(true)?;
    job.encode(&dataset, &on.run)?;
    let prepared = job.prepare(dataset)?;
    Ok((job, prepared))
}

/// `file` is where fits are kept, in the run's folder.
fn request(on: &FusionRunArgs, job: &Job, file: &str) -> FusionRequest {
    FusionRequest {
        model: on.model.clone(),
        layers: on.layers.clone(),
        seeds: on.seeds,
        budget: on.budget.map(Duration::from_secs),
        open_test: false,
        kept: Some(job.workspace.file("fusion").join(file)),
    }
}

fn compare(args: &FusionCompareArgs, weights: &WeightStore) -> anyhow::Result<()> {
    let (job, prepared) = prepared(&args.on, weights)?;
    let request = FusionRequest { open_test: args.test, ..request(&args.on, &job, "fits.jsonl") };
    let open = device(args.on.run.device)?;
    let mut watch = Watch::new(args.on.watch.dashboard, &job.config.name)?;
    let (config, registries) = (&job.config, &job.registries);
    let table = compare_fusions(config, &prepared, registries, &open.device, &request, &mut watch);
    watch.finish().iter().for_each(|n| print::note(n));
    let table = table?;
    if args.on.run.json {
        return print::json(&table);
    }
    show(&table, args.on.markdown);
    Ok(())
}

fn show(table: &FusionTable, markdown: bool) {
    let tested = table.test_users > 0;
    print::heading(&format!(
        "{} with every fusion, {} ({} validation users{})",
        table.model,
        table.metric,
        table.valid_users,
        if tested { format!(", {} test users", table.test_users) } else { String::new() },
    ));
    let seeded = |i: &Interval, spread: f64, seeds: usize| match seeds {
        0 | 1 => print::interval(i),
        _ => format!("{} ±{spread:.4}", print::interval(i)),
    };
    let row = |row: &FusionRow| {
        let mut cells = vec![
            row.label.clone(),
            row.parameters.to_string(),
            row.seeds.to_string(),
            format!("{:.1}", row.seconds),
            seeded(&row.valid, row.valid_spread, row.seeds),
        ];
        if let Some(test) = &row.test {
            cells.push(seeded(test, row.test_spread.unwrap_or(0.0), row.seeds));
        }
        cells.push(print::paired(row.against_concat.as_ref()));
        cells.push(print::paired(row.against_single.as_ref()));
        cells
    };
    let mut header = vec!["fusion", "numbers", "seeds", "fit, s", "validation"];
    if tested {
        header.push("test");
    }
    header.extend(["minus concat", "minus best single"]);
    print::table_as(markdown, &header, table.rows.iter().map(row).collect(), 1);
    print::fits(table.known, table.fitted);
    if !table.not_run.is_empty() {
        print::line(&format!("not reached within the budget: {}", table.not_run.join(", ")));
    }
    let Some(choice) = &table.choice else { return };
    if choice.label == choice.best && choice.level == 1 {
        print::line(&format!("take {}: it is ahead of all others in validation", choice.label));
    } else {
        print::line(&format!(
            "take {}: {} of {} rows cannot be told apart in validation, and it has the fewest \
             numbers; the highest mean, {}, is ahead of it by {}",
            choice.label,
            choice.level,
            table.rows.len(),
            choice.best,
            print::interval(&choice.given_up),
        ));
    }
    if let Some(over) = &choice.over_concat {
        print::line(&format!(
            "{} minus concat in validation: {}",
            choice.label,
            print::interval(over)
        ));
    }
}

fn removal(args: &FusionRemovalArgs, weights: &WeightStore) -> anyhow::Result<()> {
    let (job, prepared) = prepared(&args.on, weights)?;
    let open = device(args.on.run.device)?;
    let mut watch = Watch::new(args.on.watch.dashboard, &job.config.name)?;
    let table = remove_modalities(
        &job.config,
        &prepared,
        &job.registries,
        &open.device,
        &request(&args.on, &job, "removal.jsonl"),
        &args.shares,
        &mut watch,
    );
    watch.finish().iter().for_each(|n| print::note(n));
    let table = table?;
    if args.on.run.json {
        return print::json(&table);
    }
    show_removal(&table, args.on.markdown);
    Ok(())
}

fn show_removal(table: &RemovalTable, markdown: bool) {
    let what = format!("{}, {}: share of vectors taken away", table.model, table.metric);
    print::heading(&what);
    let mut header = vec!["fusion".to_owned(), "gaps".to_owned(), "seeds".to_owned()];
    header.extend(table.shares.iter().map(|s| format!("{:.0} %", 100.0 * s)));
    let row = |row: &RemovalRow| {
        let cells = row.values.iter().zip(&row.spreads).map(|(v, s)| match row.seeds {
            0 | 1 => format!("{v:.4}"),
            _ => format!("{v:.4} ±{s:.4}"),
        });
        let first = [row.layer.clone(), row.filling.clone(), row.seeds.to_string()];
        first.into_iter().chain(cells).collect()
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    print::table_as(markdown, &header, table.rows.iter().map(row).collect(), 2);
    print::fits(table.known, table.fitted);
    if !table.not_run.is_empty() {
        print::line(&format!("not reached within the budget: {}", table.not_run.join(", ")));
    }
}
