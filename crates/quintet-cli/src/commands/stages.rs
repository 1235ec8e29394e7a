//! The verbs on a run file: one a stage, and `run` for all of them.

use std::path::PathBuf;

use quintet::Registries;
use quintet::data::Dataset;
use quintet::pipeline::{
    self, EncodePlaces, EncodeReport, Prepared, RatingResult, Request, RunConfig, RunFacts,
    RunResult, TrainedModel, WeightStore, Workspace,
};
use quintet::tensor::OpenDevice;
use serde_json::json;

use super::device;
use crate::args::{IngestArgs, RunArgs, TrainArgs};
use crate::bar::{EncodeBar, IngestBar};
use crate::dashboard::Watch;
use crate::print;

/// A run file with its places.
pub(crate) struct Job {
    pub(crate) config: RunConfig,
    pub(crate) workspace: Workspace,
    pub(crate) registries: Registries,
    data_root: PathBuf,
    facts: RunFacts,
}

impl Job {
    pub(crate) fn open(args: &RunArgs, weights: &WeightStore) -> anyhow::Result<Self> {
        let mut config = RunConfig::read(&args.file)?;
        if let Some(seed) = args.seed {
            config.seed = seed;
        }
        let registries = Registries::new()?;
        config.find_weights(&registries, &args.data_root, weights)?;
        config.check_names(&registries)?;
        let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&config.name));
        Ok(Self {
            config,
            workspace: Workspace::new(out),
            registries,
            data_root: args.data_root.clone(),
            facts: RunFacts::begin(typed(), &args.device.to_string()),
        })
    }

    pub(crate) fn ingest(&self, quiet: bool) -> anyhow::Result<Dataset> {
        let (dataset, report) = pipeline::ingest_stage(
            &self.config,
            &self.data_root,
            &self.workspace,
            &IngestBar::new(),
        )?;
        if !quiet {
            report.summary().iter().for_each(|l| print::line(l));
        }
        Ok(dataset)
    }

    pub(crate) fn encode(&self, dataset: &Dataset, args: &RunArgs) -> anyhow::Result<EncodeReport> {
        let open = device(args.device)?;
        self.train_encoders(dataset, &open)?;
        let bar = EncodeBar::new();
        let progress = |m, done, total| bar.update(m, done, total);
        let cache = args.cache.clone().unwrap_or_else(|| self.workspace.cache());
        let places =
            EncodePlaces { data_root: &self.data_root, workspace: &self.workspace, cache: &cache };
        let (config, registries) = (&self.config, &self.registries);
        let report =
            pipeline::encode_stage(config, dataset, registries, &open.device, places, &progress)?;
        Ok(report)
    }

    /// Has the encoders learn that the run file says should.
    fn train_encoders(&self, dataset: &Dataset, open: &OpenDevice) -> anyhow::Result<()> {
        let mut watch = Watch::new(false, &self.config.name)?;
        let (config, registries) = (&self.config, &self.registries);
        let (device, workspace) = (&open.device, &self.workspace);
        let trained = pipeline::train_encoders_stage(
            config, dataset, registries, device, workspace, &mut watch,
        );
        watch.finish().iter().for_each(|n| print::note(n));
        for encoder in trained? {
            print::trained_encoder(&encoder, &config.train.metric);
        }
        Ok(())
    }

    /// Dataset and features of the earlier stages.
    pub(crate) fn prepared(&self) -> anyhow::Result<Prepared> {
        self.prepare(self.workspace.read_dataset()?)
    }

    /// Reads the features of a dataset, fills the gaps in them and splits it.
    pub(crate) fn prepare(&self, dataset: Dataset) -> anyhow::Result<Prepared> {
        let (config, registries) = (&self.config, &self.registries);
        let features =
            pipeline::read_features_stage(config, &dataset, registries, &self.workspace)?;
        let groups = self.workspace.read_duplicates(&dataset)?;
        let prepared = pipeline::prepare(&self.config, dataset, features, groups.as_ref())?;
        pipeline::report_stage(&prepared, &self.workspace)?;
        Ok(prepared)
    }

    pub(crate) fn train(
        &self,
        prepared: &Prepared,
        args: &RunArgs,
        dashboard: bool,
    ) -> anyhow::Result<Vec<TrainedModel>> {
        let open = device(args.device)?;
        let mut watch = Watch::new(dashboard, &self.config.name)?;
        let models = pipeline::train_stage(
            &self.config,
            prepared,
            &self.registries,
            &open.device,
            &self.workspace,
            &mut watch,
        );
        watch.finish().iter().for_each(|n| print::note(n));
        Ok(models?)
    }

    /// Measures the models on the test part, shows some lists of them and writes the page.
    pub(crate) fn evaluate(
        &self,
        prepared: &Prepared,
        models: &[TrainedModel],
    ) -> anyhow::Result<(RunResult, Vec<RatingResult>)> {
        let (config, workspace) = (&self.config, &self.workspace);
        let result =
            pipeline::evaluate_stage(config, prepared, models, &self.registries, workspace)?;
        let ratings = self.rate(prepared)?;
        pipeline::examples_stage(config, prepared, models, workspace)?;
        workspace.write_facts(self.facts.clone(), models)?;
        pipeline::write_report(workspace)?;
        Ok((result, ratings))
    }

    /// Fits and measures the rating models, which takes less time than keeping them would save.
    fn rate(&self, prepared: &Prepared) -> anyhow::Result<Vec<RatingResult>> {
        Ok(pipeline::rate_stage(&self.config, prepared, &self.registries, &self.workspace)?)
    }
}

/// `quintet ingest`.
pub(crate) fn ingest(args: &IngestArgs, weights: &WeightStore) -> anyhow::Result<()> {
    if args.guess {
        return super::guess::run(&args.run);
    }
    let args = &args.run;
    let job = Job::open(args, weights)?;
    let dataset = job.ingest(args.json)?;
    let place = job.workspace.dataset();
    if args.json {
        let text = fs_err::read_to_string(place.join("report.json"))?;
        return print::json(&serde_json::from_str::<serde_json::Value>(&text)?);
    }
    print::line(&format!(
        "{}: {} users, {} items, {} interactions, {} media files",
        place.display(),
        dataset.users.len(),
        dataset.items.len(),
        dataset.events.len(),
        dataset.media.len(),
    ));
    print::line(&format!("Next: quintet encode {}", next(args)));
    Ok(())
}

/// `quintet encode`.
pub(crate) fn encode(args: &RunArgs, weights: &WeightStore) -> anyhow::Result<()> {
    let job = Job::open(args, weights)?;
    let dataset = job.workspace.read_dataset()?;
    let report = job.encode(&dataset, args)?;
    if args.json {
        return print::json(&report);
    }
    print::encoded(&report);
    print::line(&format!("Next: quintet train {}", next(args)));
    Ok(())
}

/// `quintet train`.
pub(crate) fn train(args: &TrainArgs, weights: &WeightStore) -> anyhow::Result<()> {
    let (args, dashboard) = (&args.run, args.watch.dashboard);
    let job = Job::open(args, weights)?;
    let prepared = job.prepared()?;
    let models = job.train(&prepared, args, dashboard)?;
    job.workspace.write_facts(job.facts.clone(), &models)?;
    if args.json {
        let reports: Vec<_> = models
            .iter()
            .map(|m| json!({"label": m.label, "seconds": m.seconds, "report": m.report}))
            .collect();
        return print::json(&reports);
    }
    print::split(&prepared);
    fitted(&models);
    print::line(&format!("Next: quintet evaluate {}", next(args)));
    Ok(())
}

/// The fitted models, by validation only.
fn fitted(models: &[TrainedModel]) {
    let rows = models
        .iter()
        .filter_map(|m| m.report.as_ref().map(|r| (m, r)))
        .map(|(m, r)| {
            vec![
                m.label.clone(),
                r.n_parameters.to_string(),
                r.epochs.to_string(),
                r.best_epoch.to_string(),
                format!("{:.4}", r.best_valid),
                format!("{:.1}", m.seconds),
            ]
        })
        .collect();
    print::table(&["model", "parameters", "epochs", "best", "validation", "fit s"], rows, 1);
}

/// `quintet evaluate`.
pub(crate) fn evaluate(args: &RunArgs, weights: &WeightStore) -> anyhow::Result<()> {
    let job = Job::open(args, weights)?;
    let prepared = job.prepared()?;
    let models = pipeline::load_models(&job.config, &prepared, &job.registries, &job.workspace)?;
    let (result, ratings) = job.evaluate(&prepared, &models)?;
    if args.json {
        return print::json(&result);
    }
    print::results(&result, &models);
    print::ratings(&ratings);
    Ok(())
}

/// `quintet run`.
pub(crate) fn run(args: &TrainArgs, weights: &WeightStore) -> anyhow::Result<()> {
    let (args, dashboard) = (&args.run, args.watch.dashboard);
    let job = Job::open(args, weights)?;
    let say = |text: &str| {
        if !args.json {
            print::heading(text);
        }
    };
    say("1 · ingest");
    let dataset = job.ingest(args.json)?;
    say("2 · encode");
    let report = job.encode(&dataset, args)?;
    if !args.json {
        print::encoded(&report);
    }
    let prepared = job.prepare(dataset)?;
    say("3 · train");
    if !args.json {
        print::split(&prepared);
    }
    let models = job.train(&prepared, args, dashboard)?;
    say("4 · evaluate (the test part is opened here, once)");
    let (result, ratings) = job.evaluate(&prepared, &models)?;
    if args.json {
        return print::json(&result);
    }
    print::results(&result, &models);
    print::ratings(&ratings);
    say("5 · recommend");
    show_lists(&job, &prepared, &models)?;
    print::line(&format!(
        "Everything is in {}; open report.html there.",
        job.workspace.root().display()
    ));
    Ok(())
}

/// The lists of `[recommend] users`, or of the first user who has a test item.
fn show_lists(job: &Job, prepared: &Prepared, models: &[TrainedModel]) -> anyhow::Result<()> {
    let spec = &job.config.recommend;
    let label = spec.label.as_deref().or(job.config.reference());
    let Some(model) = models.iter().find(|m| Some(m.label.as_str()) == label) else {
        return Ok(());
    };
    let first = || prepared.dataset.users.first().map(|u| u.id.clone());
    let users =
        if spec.users.is_empty() { first().into_iter().collect() } else { spec.users.clone() };
    for user in &users {
        let request = Request { user, k: spec.k, reasons: 3 };
        let list = pipeline::recommend(prepared, model, request)?;
        print::recommendations(user, &model.label, &list);
    }
    Ok(())
}

/// What was typed, with the program by its name alone.
fn typed() -> Vec<String> {
    let given = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned());
    std::iter::once("quintet".to_owned()).chain(given).collect()
}

/// The arguments that the next verb needs too.
fn next(args: &RunArgs) -> String {
    let mut text = args.file.display().to_string();
    if let Some(out) = &args.out {
        text = format!("{text} --out {}", out.display());
    }
    if let Some(seed) = args.seed {
        text = format!("{text} --seed {seed}");
    }
    text
}
