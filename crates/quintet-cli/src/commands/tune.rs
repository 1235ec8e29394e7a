//! `quintet tune` and `quintet cv`: parameters by validation, and models on every fold.

use quintet::pipeline::{
    self, CrossValidated, CvTable, PipelineError, TuneResult, WeightStore, cross_validate,
    tune_stage,
};
use quintet::train::{Folding, Record};
use serde_json::Value;

use super::device;
use super::stages::Job;
use crate::args::{CvArgs, TuneArgs};
use crate::dashboard::Watch;
use crate::print;

/// Trials that the table shows; `tune/result.json` has all.
const SHOWN: usize = 15;

/// `quintet tune`.
pub(crate) fn tune(args: &TuneArgs, weights: &WeightStore) -> anyhow::Result<()> {
    let mut job = Job::open(&args.run, weights)?;
    if let Some(tune) = &mut job.config.tune {
        tune.trials = args.trials.unwrap_or(tune.trials);
        tune.seeds = args.seeds.unwrap_or(tune.seeds);
        tune.parallel = args.parallel.unwrap_or(tune.parallel);
        tune.validate()?;
    } else {
        let model = job.config.models.first().map_or("bpr", |m| m.label()).to_owned();
        return Err(PipelineError::NoSearch { model }.into());
    }
    let data = job.data(&args.run)?;
    let open = device(args.run.device)?;
    let quiet = args.run.json;
    let heard = |record: &Record| {
        if !quiet {
            print::note(&said(record));
        }
    };
    let result =
        tune_stage(&job.config, data, &job.registries, &open.device, &job.workspace, &heard)?;
    if args.run.json {
        return print::json(&result);
    }
    show(&result);
    let place = job.workspace.file("tune");
    print::line(&format!("All trials: {}; best parameters:\n", place.display()));
    print::line(result.toml.trim_end());
    Ok(())
}

/// A line a fit.
fn said(record: &Record) -> String {
    let what = match (&record.value, &record.error) {
        (Some(value), _) => format!("{value:.4} at epoch {}", record.best_epoch),
        (None, error) => format!("failed: {}", error.as_deref().unwrap_or("no value")),
    };
    format!("trial {} seed {}: {what} ({:.1} s)", record.trial, record.seed, record.seconds)
}

fn show(result: &TuneResult) {
    let paths: Vec<String> = result
        .search
        .trials
        .first()
        .map(|t| leaves(&t.params))
        .unwrap_or_default()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let mut header = vec!["trial".to_owned()];
    header.extend(paths.iter().cloned());
    header.push(format!("{} in validation", result.metric));
    header.extend(["epochs".to_owned(), "best".to_owned(), "s".to_owned()]);
    let row = |t: &quintet::train::TrialResult| {
        let mut row = vec![t.trial.to_string()];
        row.extend(leaves(&t.params).into_iter().map(|(_, value)| value));
        row.push(match (t.mean, t.values.len()) {
            (Some(mean), 0 | 1) => format!("{mean:.4}"),
            (Some(mean), _) => format!("{mean:.4} ±{:.4}", t.spread),
            (None, _) => "failed".into(),
        });
        let best: Vec<String> = t.best_epochs.iter().map(usize::to_string).collect();
        row.extend([t.epochs.to_string(), best.join(" "), format!("{:.1}", t.seconds)]);
        row
    };
    let trials = &result.search.trials;
    print::heading(&format!("{}: {} trials, the best first", result.model, trials.len()));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    print::table(&header, trials.iter().take(SHOWN).map(row).collect(), 1);
    if result.search.known > 0 {
        let (known, fitted) = (result.search.known, result.search.fitted);
        print::line(&format!("{known} fits were known from before, {fitted} were done now"));
    }
    if !result.search.importance.is_empty() {
        let parts: Vec<String> = result
            .search
            .importance
            .iter()
            .map(|(path, share)| format!("{path} {:.0} %", 100.0 * share))
            .collect();
        print::line(&format!("of the variance, each explains on its own: {}", parts.join(", ")));
    }
    print::line("The test part was not opened: `quintet run` says what the parameters are worth.");
}

/// Paths and values of nested parameters.
fn leaves(params: &Value) -> Vec<(String, String)> {
    let Some(table) = params.as_object() else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Object(_) => {
                let inner = leaves(value).into_iter();
                found.extend(inner.map(|(path, value)| (format!("{key}.{path}"), value)));
            }
            Value::Number(n) if n.is_f64() => {
                let number = n.as_f64().unwrap_or(f64::NAN);
                let small = number != 0.0 && number.abs() < 1e-3;
                let text = if small { format!("{number:.2e}") } else { format!("{number:.4}") };
                found.push((key.clone(), text));
            }
            Value::String(text) => found.push((key.clone(), text.clone())),
            other => found.push((key.clone(), other.to_string())),
        }
    }
    found
}

/// `quintet cv`.
pub(crate) fn cv(args: &CvArgs, weights: &WeightStore) -> anyhow::Result<()> {
    let job = Job::open(&args.run, weights)?;
    let (dataset, features) = job.data(&args.run)?;
    let folding = match args.leave_one_out {
        Some(rounds) => Folding::LeaveOneOut(rounds),
        None => Folding::KFold(args.folds),
    };
    let open = device(args.run.device)?;
    let mut watch = Watch::new(args.watch.dashboard, &job.config.name)?;
    let table = cross_validate(
        &job.config,
        (&dataset, &features),
        (folding, args.valid),
        &job.registries,
        &open.device,
        &mut watch,
    );
    watch.finish().iter().for_each(|n| print::note(n));
    let table = table?;
    if args.run.json {
        return print::json(&table);
    }
    show_folds(&table);
    Ok(())
}

fn show_folds(table: &CvTable) {
    let n = table.folding.count();
    print::heading(&format!("{n} × {}, {} users", table.folding.as_str(), table.users));
    let of = |m: &CrossValidated, key: &str| {
        m.metrics.get(key).map_or("–".into(), |v| format!("{:.4} ±{:.4}", v.mean, v.spread))
    };
    let mut header = vec!["model".to_owned(), format!("{} [95 %]", table.primary)];
    header.push("over folds".into());
    header.extend(table.reference.iter().map(|reference| format!("{reference} minus it [95 %]")));
    let row = |m: &CrossValidated| {
        let primary = of(m, &table.primary);
        let mut row = vec![m.label.clone(), print::interval(&m.primary), primary];
        if table.reference.is_some() {
            row.push(print::paired(m.against.as_ref()));
        }
        row
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    print::table(&header, table.models.iter().map(row).collect(), 1);
    let mut header = vec!["metric"];
    header.extend(table.models.iter().map(|m| m.label.as_str()));
    let keys = table.models.first().map(|m| m.metrics.keys()).into_iter().flatten();
    let rows = keys.map(|key| {
        let values = table.models.iter().map(|m| of(m, key));
        std::iter::once(key.clone()).chain(values).collect()
    });
    print::table(&header, rows.collect(), 1);
    print::line(
        "intervals: bootstrap over users, each with the mean of the folds that measured them; ±: \
         standard deviation over folds; p: paired t-test (Holm). Every fold tests data that other \
         folds learn from: choose parameters with `quintet tune` instead.",
    );
}

/// Dataset and features, of earlier stages where they have run.
impl Job {
    fn data(
        &self,
        args: &crate::args::RunArgs,
    ) -> anyhow::Result<(quintet::data::Dataset, quintet::core::FeatureSet)> {
        let dataset = self.ingest(true)?;
        self.encode(&dataset, args)?;
        let features = pipeline::read_features_stage(
            &self.config,
            &dataset,
            &self.registries,
            &self.workspace,
        )?;
        Ok((dataset, features))
    }
}
