//! How good a fitted model stays when items lose modalities after the fit.

use quintet_core::{FeatureSet, Modality, ModalityFeatures, SeedStream};
use quintet_data::{ImputeConfig, impute};
use quintet_tensor::Device;
use quintet_train::Progress;
use rand::RngExt;
use serde::Serialize;

use super::compare::values;
use super::{Candidate, FusionRequest, Shop, mean_of, spread_of};
use crate::Registries;
use crate::pipeline::{CompleteSpec, PipelineError, Prepared, RunConfig};

/// What is put into the gaps.
const FILLINGS: [&str; 5] = ["masked", "zeros", "mean", "neighbour_mean", "ridge"];

/// One layer with one way to fill gaps.
#[derive(Debug, Clone, Serialize)]
pub struct RemovalRow {
    /// The fusion layer.
    pub layer: String,
    /// `masked`, or what is put into the gaps.
    pub filling: String,
    /// The metric at every share, mean over seeds and users.
    pub values: Vec<f64>,
    /// Standard deviation over seeds.
    pub spreads: Vec<f64>,
}

/// The curve of every layer and filling.
#[derive(Debug, Clone, Serialize)]
pub struct RemovalTable {
    /// The model that carries the layers.
    pub model: String,
    /// The metric.
    pub metric: String,
    /// Share of the (item, modality) pairs that are taken away.
    pub shares: Vec<f64>,
    /// The rows.
    pub rows: Vec<RemovalRow>,
}

/// Fits the model with every layer on the features as they are, then takes away a share of the
/// (item, modality) pairs, the same ones for every layer, and measures the test part again:
/// with the gaps masked, and with something put into them.
///
/// # Errors
/// As [`super::compare_fusions`]; a share outside `[0, 1]`.
pub fn remove_modalities(
    config: &RunConfig,
    prepared: &Prepared,
    registries: &Registries,
    device: &Device,
    request: &FusionRequest,
    shares: &[f64],
    progress: &mut dyn Progress,
) -> Result<RemovalTable, PipelineError> {
    if let Some(share) = shares.iter().find(|s| !(0.0..=1.0).contains(*s)) {
        return Err(PipelineError::Fusion {
            reason: format!("a share of modalities to take away is {share}, expected 0 to 1"),
        });
    }
    let shop = Shop::open(config, prepared, registries, device, &request.model)?;
    let split = &prepared.split;
    let mut rows = Vec::new();
    for layer in shop.layers(&request.layers)? {
        // [filling][share][seed]
        let mut all = vec![vec![Vec::new(); shares.len()]; FILLINGS.len()];
        for seed in 0..request.seeds.max(1) as u64 {
            let seed = config.seed + seed;
            let candidate = Candidate { label: layer.clone(), layer: layer.clone(), only: None };
            let fitted = shop.fit(&candidate, seed, progress)?;
            for (s, &share) in shares.iter().enumerate() {
                let gaps = with_gaps(&prepared.features, share, SeedStream::new(seed))?;
                for (f, filling) in FILLINGS.into_iter().enumerate() {
                    let features = filled(&gaps, filling, prepared)?;
                    let model = fitted.model.with_features(&features)?;
                    all[f][s].push(values(&shop, &*model, &split.test, &split.seen_for_test)?);
                }
            }
        }
        for (filling, of) in FILLINGS.into_iter().zip(all) {
            let mean = |users: &Vec<Vec<f64>>| {
                let users = mean_of(users);
                users.iter().sum::<f64>() / users.len().max(1) as f64
            };
            rows.push(RemovalRow {
                layer: layer.clone(),
                filling: filling.to_owned(),
                values: of.iter().map(mean).collect(),
                spreads: of.iter().map(|rows| spread_of(rows)).collect(),
            });
        }
    }
    Ok(RemovalTable {
        model: request.model.clone(),
        metric: config.evaluate.primary.clone(),
        shares: shares.to_vec(),
        rows,
    })
}

/// The features without a share of their vectors. A larger share takes away what a smaller one
/// does, and more.
fn with_gaps(
    features: &FeatureSet,
    share: f64,
    seed: SeedStream,
) -> Result<FeatureSet, PipelineError> {
    let mut out = FeatureSet::new(features.n_items());
    for f in features.iter() {
        let mut rng = seed.rng("removal", f.modality as u64);
        let mut present = f.present.clone();
        for p in &mut present {
            let drawn = rng.random::<f64>();
            *p = *p && drawn >= share;
        }
        out.push(ModalityFeatures::new(f.modality, f.matrix.clone(), present)?)?;
    }
    Ok(out)
}

/// Gaps filled by a linear map from the item's other modality; an item without any stays so.
fn completed(gaps: &FeatureSet, prepared: &Prepared) -> Result<FeatureSet, PipelineError> {
    let ridge = CompleteSpec { method: "ridge".into(), params: serde_json::json!({}) };
    match ridge.fill(gaps, &prepared.split.train, SeedStream::new(0)) {
        Ok((features, _)) => Ok(features),
        // Too few items with two modalities are left to learn from: the gaps stay.
        Err(PipelineError::Complete(_)) => Ok(gaps.clone()),
        Err(e) => Err(e),
    }
}

fn filled(
    gaps: &FeatureSet,
    filling: &str,
    prepared: &Prepared,
) -> Result<FeatureSet, PipelineError> {
    let strategy = match filling {
        "zeros" => ImputeConfig::Zeros {},
        "mean" => ImputeConfig::Mean {},
        "neighbour_mean" => ImputeConfig::NeighbourMean { neighbours: 20 },
        "ridge" => return completed(gaps, prepared),
        _ => return Ok(gaps.clone()),
    };
    let mut out = FeatureSet::new(gaps.n_items());
    for own in gaps.iter() {
        let others = gaps.iter().filter(|other| other.modality != own.modality);
        let fallback = others.max_by_key(|other| other.n_present());
        // Nothing to learn a filling from: the gaps stay.
        let known: Option<Modality> = (own.n_present() > 0).then_some(own.modality);
        match known {
            Some(_) => {
                out.push(impute(own, &prepared.split.train, &strategy, fallback)?.features)?;
            }
            None => out.push(own.clone())?,
        }
    }
    Ok(out)
}
