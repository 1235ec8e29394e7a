//! What is compared: single modalities, every fusion layer, ways to fill gaps, and decisions.

use anyhow::Result;
use quintet::core::{FeatureSet, Matrix, Modality, ModalityFeatures, SeedStream};
use quintet::fusion;
use quintet::fusion::mapping::completions;
use quintet::tensor::Device;
use serde_json::{Value, json};

use crate::decide;
use crate::learn::{Parts, learn};
use crate::worlds::{Kind, World};

/// One row of the table.
pub(crate) enum Strategy {
    /// The best of the four modalities alone, chosen by the validation items.
    BestSingle,
    /// A fusion layer over masked features.
    Layer { name: String, params: Value, label: Option<&'static str> },
    /// `concat` over features whose gaps were filled, told that nothing is missing.
    Filled(Filling),
    /// `concat` over features that a completion made up from the other modalities.
    Completed(String),
    /// The mean of what every modality predicts alone, over those that the item has.
    Mean,
    /// A ridge regression on those predictions and on what is present, fitted on the validation
    /// items.
    Stacked,
}

/// How gaps are filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Filling {
    Zero,
    Mean,
}

/// The rows in order.
pub(crate) fn all() -> Result<Vec<Strategy>> {
    let mut rows = vec![Strategy::BestSingle];
    let fixed = json!({ "weights": { "text": 0.2, "image": 0.3, "audio": 0.2, "video": 0.3 } });
    for entry in fusion::registry()?.iter() {
        let layer = |params, label| Strategy::Layer { name: entry.name.into(), params, label };
        rows.push(match entry.name {
            // The defaults of these two take ten times longer than all others.
            "tensor" => layer(json!({ "width": 3 }), Some("tensor, width 3")),
            "bottleneck" => layer(json!({ "tokens": 2 }), Some("bottleneck, 2 tokens")),
            _ => layer(Value::Null, None),
        });
        if entry.name == "weighted" {
            rows.push(layer(fixed.clone(), Some("weighted, 0.2/0.3/0.2/0.3")));
        }
    }
    rows.push(Strategy::Filled(Filling::Zero));
    rows.push(Strategy::Filled(Filling::Mean));
    // Transport between thousands of items takes minutes a fit.
    for entry in completions()?.iter().filter(|e| !["mean", "ot"].contains(&e.name)) {
        rows.push(Strategy::Completed(entry.name.into()));
    }
    rows.push(Strategy::Mean);
    rows.push(Strategy::Stacked);
    Ok(rows)
}

impl Strategy {
    /// The name of the row.
    pub(crate) fn name(&self) -> String {
        match self {
            Strategy::BestSingle => "best single modality".into(),
            Strategy::Layer { name, label, .. } => {
                label.map_or_else(|| name.clone(), str::to_owned)
            }
            Strategy::Filled(Filling::Zero) => "zeros in the gaps, concat".into(),
            Strategy::Filled(Filling::Mean) => "means in the gaps, concat".into(),
            Strategy::Completed(name) => format!("{name} in the gaps, concat"),
            Strategy::Mean => "decision: mean of single modalities".into(),
            Strategy::Stacked => "decision: stacked single modalities".into(),
        }
    }

    /// Whether the row says something of this world.
    pub(crate) fn suits(&self, kind: Kind) -> bool {
        !matches!(self, Strategy::Filled(_) | Strategy::Completed(_)) || kind.lacks()
    }

    /// Predictions of all items, and the number of trained numbers.
    pub(crate) fn learn(
        &self,
        world: &World,
        parts: &Parts,
        seed: SeedStream,
    ) -> Result<(Matrix, Option<usize>)> {
        let run = |name: &str, params: &Value, features: &FeatureSet| {
            learn(name, params, features, &world.targets, parts, seed)
        };
        let alone = |m: Modality| run("concat", &Value::Null, &world.features.only(&[m]));
        let singles =
            || world.features.iter().map(|f| alone(f.modality)).collect::<Result<Vec<_>>>();
        let learned = match self {
            Strategy::Mean | Strategy::Stacked => {
                let singles: Vec<Matrix> = singles()?.into_iter().map(|l| l.predicted).collect();
                let joined = match self {
                    Strategy::Mean => decide::mean(&singles, &world.features),
                    _ => decide::stacked(&singles, world, parts)?,
                };
                return Ok((joined, None));
            }
            Strategy::Completed(name) => {
                let device = Device::flex();
                let completion = (completions()?.get(name)?.build)(&Value::Null, seed, &device)?;
                let done = completion.fit(&world.features, &parts.train)?;
                run("concat", &Value::Null, &done.complete(&world.features)?.features)?
            }
            Strategy::BestSingle => {
                let best = singles()?.into_iter().max_by(|a, b| a.valid.total_cmp(&b.valid));
                best.ok_or_else(|| anyhow::anyhow!("no modality"))?
            }
            Strategy::Layer { name, params, .. } => run(name, params, &world.features)?,
            Strategy::Filled(how) => {
                run("concat", &Value::Null, &fill(&world.features, *how, parts)?)?
            }
        };
        Ok((learned.predicted, Some(learned.parameters)))
    }
}

/// The features with every slot present.
fn fill(features: &FeatureSet, how: Filling, parts: &Parts) -> Result<FeatureSet> {
    let mut filled = FeatureSet::new(features.n_items());
    for f in features.iter() {
        let mut value = vec![0.0f32; f.dim()];
        if how == Filling::Mean {
            let known: Vec<u32> =
                parts.train.iter().copied().filter(|&i| f.present[i as usize]).collect();
            for &item in &known {
                let row = f.matrix.row(item as usize);
                value.iter_mut().zip(row).for_each(|(v, x)| *v += x / known.len() as f32);
            }
        }
        let mut matrix = f.matrix.clone();
        for item in (0..features.n_items()).filter(|&i| !f.present[i]) {
            matrix.row_mut(item).copy_from_slice(&value);
        }
        let present = vec![true; features.n_items()];
        filled.push(ModalityFeatures::new(f.modality, matrix, present)?)?;
    }
    Ok(filled)
}
