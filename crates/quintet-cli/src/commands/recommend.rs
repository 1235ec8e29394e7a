//! `quintet recommend`: one user's list from fitted models.

use quintet::pipeline::{self, Request, WeightStore};

use super::stages::Job;
use crate::args::RecommendArgs;
use crate::print;

/// Loads the model and prints the list.
pub(crate) fn run(args: &RecommendArgs, weights: &WeightStore) -> anyhow::Result<()> {
    let mut job = Job::open(&args.run, weights)?;
    let label = args
        .model
        .clone()
        .or_else(|| job.config.recommend.label.clone())
        .or_else(|| job.config.reference().map(str::to_owned));
    let Some(label) = label else {
        anyhow::bail!("{} has no [[models]]", args.run.file.display());
    };
    let spec = job.config.find(&label, "--model")?.clone();
    job.config.models = vec![spec];
    let prepared = job.prepared()?;
    let models = pipeline::load_models(&job.config, &prepared, &job.registries, &job.workspace)?;
    let request = Request { user: &args.user, k: args.k, reasons: args.reasons };
    for model in &models {
        let list = pipeline::recommend(&prepared, model, request)?;
        if args.run.json {
            print::json(&list)?;
        } else {
            print::recommendations(&args.user, &model.label, &list);
        }
    }
    Ok(())
}
