//! How good a fitted model stays when items lose modalities after the fit.

use quintet_core::{FeatureSet, Modality, ModalityFeatures, Recommender, SeedStream};
use quintet_data::{ImputeConfig, impute};
use quintet_tensor::Device;
use quintet_train::Progress;
use rand::RngExt;
use serde::Serialize;

use super::{ByName, Candidate, FusionRequest, Shop};
use crate::Registries;
use crate::pipeline::judge::{mean, mean_of, spread_of};
use crate::pipeline::kept::{KeptFit, KeptFits};
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
    /// Seeds that were fitted.
    pub seeds: usize,
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
    /// Fits that earlier calls had kept.
    pub known: usize,
    /// Fits that this call made.
    pub fitted: usize,
    /// The rows.
    pub rows: Vec<RemovalRow>,
    /// Layers that the budget did not reach.
    pub not_run: Vec<String>,
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
    let mut kept = KeptFits::open(request.kept.as_deref(), request.budget)?;
    let (mut rows, mut not_run) = (Vec::new(), Vec::new());
    for layer in shop.layers(&request.layers)? {
        let candidate = Candidate { label: layer.clone(), layer: layer.clone(), only: None };
        // [filling][share][seed]
        let mut all = vec![vec![Vec::new(); shares.len()]; FILLINGS.len()];
        for seed in 0..request.seeds.max(1) as u64 {
            let seed = config.seed + seed;
            let measure = |model: &dyn Recommender| thinned(&shop, model, shares, seed);
            let found =
                shop.fit(&candidate, seed, &mut kept, &names(shares), &measure, progress)?;
            let Some(KeptFit { mut users, .. }) = found else { break };
            for (f, filling) in FILLINGS.into_iter().enumerate() {
                for (s, &share) in shares.iter().enumerate() {
                    all[f][s].extend(users.remove(&name(share, filling)));
                }
            }
        }
        if all[0].iter().all(Vec::is_empty) {
            not_run.push(layer);
            continue;
        }
        for (filling, of) in FILLINGS.into_iter().zip(all) {
            let level = |users: &Vec<Vec<f64>>| mean(&mean_of(users));
            rows.push(RemovalRow {
                layer: layer.clone(),
                filling: filling.to_owned(),
                values: of.iter().map(level).collect(),
                spreads: of.iter().map(|rows| spread_of(rows)).collect(),
                seeds: of.first().map_or(0, Vec::len),
            });
        }
    }
    Ok(RemovalTable {
        model: request.model.clone(),
        metric: config.evaluate.primary.clone(),
        shares: shares.to_vec(),
        known: kept.reused,
        fitted: kept.made,
        rows,
        not_run,
    })
}

/// Under which name the values of a share and a filling are kept.
fn name(share: f64, filling: &str) -> String {
    format!("{share} {filling}")
}

fn names(shares: &[f64]) -> Vec<String> {
    let of = |share: &f64| FILLINGS.map(|filling| name(*share, filling));
    shares.iter().flat_map(of).collect()
}

/// Measures a fitted model on the test part at every share, with every filling.
fn thinned(
    shop: &Shop<'_>,
    model: &dyn Recommender,
    shares: &[f64],
    seed: u64,
) -> Result<ByName, PipelineError> {
    let (prepared, split) = (shop.prepared, &shop.prepared.split);
    let mut users = ByName::new();
    for &share in shares {
        let gaps = with_gaps(&prepared.features, share, SeedStream::new(seed))?;
        for filling in FILLINGS {
            let model = model.with_features(&filled(&gaps, filling, prepared)?)?;
            let values = shop.values(&*model, &split.test, &split.seen_for_test)?;
            users.insert(name(share, filling), values);
        }
    }
    Ok(users)
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
