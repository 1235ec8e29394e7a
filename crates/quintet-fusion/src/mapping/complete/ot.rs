//! Completion by optimal transport: the items that lack a modality are matched, as a set, with
//! the training items that have it, and each takes the mean of what it is matched with.
//!
//! Two modalities have no common distance, so one is learned: a CCA on the pairs of the training
//! items, shared vectors of unit length. `C_ij = 1 - cos(Aᵀx_i, Bᵀy_j)`, uniform marginals, the
//! plan `P` by Sinkhorn, and `ŷ_i = Σ_j P_ij y_j / Σ_j P_ij`. Training items with the target and
//! without the source are matched too: parts that are not paired count.
//! Papers: Cuturi, NIPS 2013; Courty, Flamary, Tuia & Rakotomamonjy, "Optimal Transport for
//! Domain Adaptation", TPAMI 2017 (barycentric mapping). Difference: the learned cost.
//! The plan couples the items that are filled in one block of `block`; fill them together.
//! A plan that has not converged within `iterations` is used as it is: each row is divided by its
//! own mass, so what is off is how evenly the support is used.
//! Parameters: those of the CCA, and the targets themselves. Cost: `O(block · support)`
//! exponentials an iteration.

use quintet_core::{FeatureSet, Matrix, Modality, SeedStream};
use quintet_tensor::parse_params;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::linear::{Map, PairMaps};
use super::{Completion, CompletionEntry, FittedCompletion, having, one, rows};
use crate::mapping::error::check;
use crate::mapping::{Cca, CcaParams, MappingError, SinkhornParams, sinkhorn};

const NAME: &str = "ot";

pub(crate) const ENTRY: CompletionEntry = CompletionEntry {
    name: NAME,
    summary: "optimal transport to the training items that have the modality",
    build: |params, seed, _| {
        let params: OtParams = parse_params(NAME, params)?;
        let OtParams { support, block, ref cca, ref sinkhorn } = params;
        check(support > 0, NAME, "support", "at least 1", support)?;
        check(block > 0, NAME, "block", "at least 1", block)?;
        let r = cca.regularisation;
        check(r > 0.0 && r.is_finite(), NAME, "regularisation", "above 0", r)?;
        let e = sinkhorn.epsilon;
        check(e > 0.0 && e.is_finite(), NAME, "epsilon", "above 0", e)?;
        Ok(Box::new(OtCompletion { params, seed }))
    },
};

/// Parameters of the completion `ot`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtParams {
    /// At most this many training items are matched with, drawn by the seed.
    pub support: usize,
    /// Items that are filled at once.
    pub block: usize,
    /// The learned cost.
    pub cca: CcaParams,
    /// The plan.
    pub sinkhorn: SinkhornParams,
}

impl Default for OtParams {
    fn default() -> Self {
        let cca = CcaParams { power: 1.0, ..CcaParams::default() };
        Self { support: 2048, block: 2048, cca, sinkhorn: SinkhornParams::default() }
    }
}

struct OtCompletion {
    params: OtParams,
    seed: SeedStream,
}

impl Completion for OtCompletion {
    fn fit(
        &self,
        features: &FeatureSet,
        train: &[u32],
    ) -> Result<Box<dyn FittedCompletion>, MappingError> {
        let maps = PairMaps::fit(features, train, &|features, [from, to], pairs| {
            let support = self.support(features, to, train)?;
            let (x, y) = (&one(features, from)?.matrix, one(features, to)?);
            let names = [from.as_str(), to.as_str()];
            let cca = Cca::fit(names, x, &y.matrix, pairs, &self.params.cca)?;
            let targets = rows(y, &support);
            let places = unit(cca.transform_y(&targets)?);
            let (block, params) = (self.params.block, self.params.sinkhorn.clone());
            Ok(Box::new(move |x: &Matrix| {
                let sources = unit(cca.transform_x(x)?);
                transport(&sources, &places, &targets, block, &params)
            }) as Map)
        })?;
        Ok(Box::new(maps))
    }
}

impl OtCompletion {
    fn support(
        &self,
        features: &FeatureSet,
        to: Modality,
        train: &[u32],
    ) -> Result<Vec<u32>, MappingError> {
        let mut items = having(features, train, &[to])?;
        if items.len() > self.params.support {
            items.shuffle(&mut self.seed.rng("ot/support", to as u64));
            items.truncate(self.params.support);
            items.sort_unstable();
        }
        Ok(items)
    }
}

/// Rows of length 1; zero rows stay zero.
fn unit(mut z: Matrix) -> Matrix {
    for r in 0..z.rows() {
        let length = z.row(r).iter().map(|v| v * v).sum::<f32>().sqrt();
        if length > 0.0 {
            z.row_mut(r).iter_mut().for_each(|v| *v /= length);
        }
    }
    z
}

fn transport(
    sources: &Matrix,
    places: &Matrix,
    targets: &Matrix,
    block: usize,
    params: &SinkhornParams,
) -> Result<Matrix, MappingError> {
    let m = places.rows();
    let mut out = Matrix::zeros(sources.rows(), targets.cols());
    let all: Vec<usize> = (0..sources.rows()).collect();
    for chunk in all.chunks(block) {
        let cosine = |i: usize, j: usize| -> f64 {
            let pairs = sources.row(i).iter().zip(places.row(j));
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let costs: Vec<f64> = chunk
            .iter()
            .flat_map(|&i| (0..m).map(move |j| (i, j)))
            .map(|(i, j)| 1.0 - cosine(i, j))
            .collect();
        let (a, b) = (vec![1.0 / chunk.len() as f64; chunk.len()], vec![1.0 / m as f64; m]);
        let found = sinkhorn(&costs, &a, &b, params)?.barycentres(targets)?;
        chunk.iter().enumerate().for_each(|(r, &i)| out.row_mut(i).copy_from_slice(found.row(r)));
    }
    Ok(out)
}
