//! `per_user.parquet`: what every model did for every test user.

use quintet_core::Test;
use quintet_data::{
    MeasuredUsers, ModelValues, UserResults, read_user_results, write_user_results,
};
use quintet_metrics::Evaluation;

use super::{PipelineError, Prepared, RunConfig, Workspace};

const FILE: &str = "per_user.parquet";

/// Writes the table of evaluations, one a label, that measured the same users.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write_users(
    config: &RunConfig,
    prepared: &Prepared,
    (labels, evaluations): (&[&str], &[Evaluation<Test>]),
    workspace: &Workspace,
) -> Result<(), PipelineError> {
    let Some(first) = evaluations.first() else { return Ok(()) };
    let split = &prepared.split;
    let cutoff = config.evaluate.eval_config().cutoffs.into_iter().max().unwrap_or(0);
    let (mut ids, mut warm, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for &user in first.users() {
        ids.push(prepared.dataset.users[user.index()].id.as_str());
        warm.push(!split.train.items(user).is_empty());
        let unseen = split.train.n_items() - split.seen_for_test.items(user).len();
        lengths.push(u32::try_from(cutoff.min(unseen)).unwrap_or(u32::MAX));
    }
    let keys = first.per_user_values().keys();
    let metrics: Vec<&str> = keys.map(String::as_str).collect();
    let mut models = Vec::with_capacity(evaluations.len());
    for (&model, evaluation) in labels.iter().zip(evaluations) {
        let values = metrics.iter().map(|key| evaluation.require_per_user(key));
        models.push(ModelValues { model, values: values.collect::<Result<_, _>>()? });
    }
    let users = MeasuredUsers { ids: &ids, warm: &warm, lengths: &lengths };
    Ok(write_user_results(&workspace.file(FILE), &metrics, users, &models)?)
}

impl Workspace {
    /// What every model of the run did for one test user, at least one row.
    ///
    /// # Errors
    /// The run was not evaluated, the file is damaged, or nobody of that id was measured.
    pub fn read_user(&self, id: &str) -> Result<UserResults, PipelineError> {
        let path = self.file(FILE);
        if !path.is_file() {
            let path = path.display().to_string();
            return Err(PipelineError::NotRun { path, verb: "evaluate" });
        }
        let found = read_user_results(&path, Some(id))?;
        if found.rows.is_empty() {
            return Err(PipelineError::NotMeasured {
                path: path.display().to_string(),
                id: id.to_owned(),
            });
        }
        Ok(found)
    }
}
