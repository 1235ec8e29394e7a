//! JMF: behaviour and what describes the items, factorised together.
//!
//! Singh & Gordon, "Relational Learning via Collective Matrix Factorization", KDD 2008; Fang & Si,
//! "Matrix Co-factorization for Recommendation with Rich Side Information and Implicit Feedback",
//! HetRec 2011.
//!
//! ```text
//! R ≈ P Qᵀ      A_m ≈ Q W_mᵀ     one A a modality, one of attributes
//! loss = Σ_all c_ui (t_ui - p_u·q_i)² + Σ_m α_m ‖A_m - Q W_mᵀ‖² + λ (‖P‖² + ‖Q‖² + Σ_m ‖W_m‖²)
//! c = alpha0 + alpha · r     t = 1 where r > 0, else 0
//! p_u = (Σ_i c_ui q_i q_iᵀ + λ Id)⁻¹ Σ_i c_ui t_ui q_i
//! q_i = (Σ_u c_ui p_u p_uᵀ + Σ_m α_m W_mᵀW_m + λ Id)⁻¹ (Σ_u c_ui t_ui p_u + Σ_m α_m W_mᵀ a_i)
//! new item: q_i = (Σ_m α_m W_mᵀW_m + λ Id)⁻¹ Σ_m α_m W_mᵀ a_i
//! ```
//! Sums over all cells take `QᵀQ` once and add the observed cells (Hu, Koren & Volinsky, ICDM
//! 2008). A row without a description takes no part in that `A`; an item or user without behaviour
//! takes no part in `R`, so that an unused item is where a new one would be.
//!
//! Differences: implicit behaviour alone; features are centred, reduced to their leading
//! components and scaled to rows of mean length 1 before they are factorised, attributes scaled
//! alike, so that the weights of matrices compare.
//! Cost: a sweep `O((nnz + Σ_m n_items · D_m) dim + nnz · dim² + (n_users + n_items) dim³)`.

use std::collections::BTreeMap;

use quintet_core::Modality;
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ridge::{RidgeModel, RidgeParams};

const NAME: &str = "jmf";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JmfConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Principal components kept of each modality's features; 0 keeps all columns.
    pub components: usize,
    /// `α` of each matrix, by the name of the modality or `attributes`: 1 where none is given, 0
    /// leaves the matrix out.
    pub weights: BTreeMap<String, f32>,
    /// What an interaction weighs beside `alpha0`.
    pub alpha: f32,
    /// What a cell without an interaction weighs.
    pub alpha0: f32,
    /// `λ`.
    pub l2: f32,
    /// Whether values (counts, ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
}

impl Default for JmfConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            modalities: None,
            components: 32,
            weights: BTreeMap::new(),
            alpha: 1.0,
            alpha0: 0.05,
            l2: 1.0,
            use_values: false,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "behaviour and item descriptions factorised together, by ALS (Singh 2008)",
        build: |params| Ok(Box::new(parse_params::<JmfConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(RidgeModel::load(NAME, state)?)),
        // Items that come later have features and no attributes.
        tiny: r#"{"dim": 4, "l2": 0.1, "weights": {"attributes": 0}}"#,
    }
}

impl JmfConfig {
    fn params(&self) -> RidgeParams<'_> {
        RidgeParams {
            name: NAME,
            dim: self.dim,
            modalities: self.modalities.as_deref(),
            components: self.components,
            weights: &self.weights,
            observed: self.alpha,
            empty: self.alpha0,
            l2: self.l2,
            use_values: self.use_values,
            user_view: false,
        }
    }
}

impl Fit for JmfConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        self.params().start(data, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{case, context, features};
    use crate::ridge::RidgeTrainer;
    use crate::ridge::parity::{check_tables, interactions, tags};
    use quintet_core::{FeatureSet, Matrix, Recommender, UserIdx};
    use quintet_tensor::Trainer;
    use quintet_testkit::World;

    #[test]
    fn sweeps_are_those_of_numpy() {
        let case = case("ridge_numpy/jmf.json");
        let config: JmfConfig = serde_json::from_value(case["params"].clone()).unwrap();
        let (train, attributes) = (interactions(&case["train"]), tags(&case["attributes"]));
        let features = features(&case["features"], train.n_items());
        let data = TrainingData::new(&train, &features).with_item_attributes(&attributes);
        let mut trainer = RidgeTrainer::new(&config.params(), data, &context()).unwrap();
        check_tables(&mut trainer.blocks, &case);
    }

    /// The share of users whose unused item of the own group scores above the other one.
    fn cold_share(world: &World, model: &dyn Recommender) -> f64 {
        let users: Vec<UserIdx> = world.users().collect();
        let mut scores = Matrix::default();
        model.score(&users, &mut scores).unwrap();
        let right = users.iter().filter(|user| {
            let (group, row) = (world.group_of_user(**user).unwrap(), scores.row(user.index()));
            row[world.cold[group].index()] > row[world.cold[1 - group].index()]
        });
        right.count() as f64 / users.len() as f64
    }

    #[test]
    fn attributes_alone_rank_unused_items() {
        let world = World::new();
        let none = FeatureSet::new(world.train.n_items());
        let data =
            TrainingData::new(&world.train, &none).with_item_attributes(&world.item_attributes);
        let config = JmfConfig { dim: 4, l2: 0.1, ..JmfConfig::default() };
        let mut trainer = RidgeTrainer::new(&config.params(), data, &context()).unwrap();
        for epoch in 1..=20 {
            trainer.epoch(epoch).unwrap();
        }
        let model = trainer.model().unwrap();
        assert!(model.capability().cold_items && model.capability().modalities.is_empty());
        assert!(cold_share(&world, &*model) > 0.9, "{}", cold_share(&world, &*model));
        assert!(model.with_features(&world.features).is_err());
        let loaded = RidgeModel::load(NAME, &model.state()).unwrap();
        assert_eq!(loaded.state(), model.state());
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let world = World::new();
        let said =
            |config: JmfConfig| config.start(world.data(), &context()).err().unwrap().to_string();
        let base = JmfConfig::default;
        assert!(said(JmfConfig { l2: 0.0, ..base() }).contains("l2 must be positive; found 0"));
        let weights = BTreeMap::from([("taste".to_owned(), 1.0)]);
        assert!(said(JmfConfig { weights, ..base() }).contains("found taste"));
        let weights = BTreeMap::from([("text".to_owned(), -1.0)]);
        assert!(said(JmfConfig { weights, ..base() }).contains("weights.text"));
    }
}
