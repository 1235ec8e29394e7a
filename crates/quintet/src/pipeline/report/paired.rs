//! Every model against the baselines that a reader asks for, user by user.

use quintet_core::SeedStream;
use quintet_metrics::{BootstrapConfig, holm, paired_bootstrap, paired_t_test};

use super::Told;
use crate::pipeline::{Interval, ModelResult, PerUser};

/// The models of a run against one of them.
pub(super) struct Against {
    /// What the baseline is to the run.
    pub(super) role: &'static str,
    pub(super) label: String,
    /// By label: the model minus the baseline, and the p of a paired t-test by Holm's correction
    /// over these rows.
    pub(super) rows: Vec<(String, Interval, f64)>,
}

/// Against popularity, the best model of a single modality (by validation) and the reference, as
/// far as they are in the run and values by user are stored. One that has two roles comes once.
pub(super) fn against(told: &Told) -> Vec<Against> {
    let Some(per_user) = &told.per_user else { return Vec::new() };
    let models = &told.result.models;
    let popularity = models.iter().find(|m| m.model == "popularity");
    let single = models.iter().filter(|m| m.reads.len() == 1);
    let single = single.max_by(|a, b| valid(a).total_cmp(&valid(b)));
    let reference = models.iter().find_map(|m| m.against.as_ref()).map(|c| c.reference.as_str());
    let named = models.iter().find(|m| Some(m.label.as_str()) == reference);
    let mut all: Vec<Against> = Vec::new();
    for (role, baseline) in
        [("popularity", popularity), ("best single modality", single), ("reference", named)]
    {
        let Some(label) = baseline.map(|m| &m.label) else { continue };
        if all.iter().any(|a| a.label == *label) {
            continue;
        }
        if let Some(rows) = rows(told, per_user, label) {
            all.push(Against { role, label: label.clone(), rows });
        }
    }
    all
}

fn valid(model: &ModelResult) -> f64 {
    model.valid.unwrap_or(f64::NEG_INFINITY)
}

fn rows(told: &Told, per_user: &PerUser, label: &str) -> Option<Vec<(String, Interval, f64)>> {
    let baseline = per_user.values.get(label)?;
    let config = BootstrapConfig::default();
    let seed = SeedStream::new(told.result.seed);
    let mut rows = Vec::new();
    for model in told.result.models.iter().filter(|m| m.label != label) {
        // Values that cannot be compared, such as those of too few users, leave their row out.
        let Some(values) = per_user.values.get(&model.label) else { continue };
        let Ok(difference) = paired_bootstrap(values, baseline, &config, &seed) else { continue };
        let Ok(test) = paired_t_test(values, baseline) else { continue };
        rows.push((model.label.clone(), difference.into(), test.p));
    }
    let p: Vec<f64> = rows.iter().map(|r| r.2).collect();
    for (row, p) in rows.iter_mut().zip(holm(&p).ok()?) {
        row.2 = p;
    }
    (!rows.is_empty()).then_some(rows)
}
