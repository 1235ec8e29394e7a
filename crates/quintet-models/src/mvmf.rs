//! MVMF: users and items with a view of their own each, factorised together.
//!
//! Flanagan et al., "Federated Multi-view Matrix Factorization for Personalized Recommendations",
//! ECML PKDD 2020; Singh & Gordon, "Relational Learning via Collective Matrix Factorization", KDD
//! 2008; Pan, Xiang, Liu & Yang, "Transfer Learning in Collaborative Filtering for Sparsity
//! Reduction", AAAI 2010.
//!
//! ```text
//! R ≈ P Qᵀ     X ≈ P Aᵀ  (attributes of users)     Y_m ≈ Q B_mᵀ  (features, attributes of items)
//! loss = Σ_all c_ui (t_ui - p_u·q_i)² + Σ_views α ‖X - P Aᵀ‖² + λ (‖P‖² + ‖Q‖² + ‖A‖² + ‖B‖²)
//! user known by attributes alone: p_u = (α AᵀA + λ Id)⁻¹ α Aᵀ x_u
//! ```
//! This is the model of one matrix of behaviour; [`crate::MvmfDomains`] fits several over the same
//! users. Confidences, scales, masks and new items are those of JMF.
//! Differences: implicit behaviour; one weight a view instead of one for all.
//! Cost: that of JMF, and `nnz_X · dim + dim³` for the view of users.

use std::collections::BTreeMap;

use quintet_core::Modality;
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ridge::{RidgeModel, RidgeParams};

pub(crate) const NAME: &str = "mvmf";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MvmfConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Principal components kept of each modality's features; 0 keeps all columns.
    pub components: usize,
    /// `α` of each view, by the name of the modality, `attributes` (of items) or `users` (their
    /// attributes): 1 where none is given, 0 leaves the view out.
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

impl Default for MvmfConfig {
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
        summary: "views of users and items factorised with behaviour, by ALS (Flanagan 2020)",
        build: |params| Ok(Box::new(parse_params::<MvmfConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(RidgeModel::load(NAME, state)?)),
        tiny: r#"{"dim": 4, "l2": 0.1, "weights": {"attributes": 0}}"#,
    }
}

impl MvmfConfig {
    pub(crate) fn params(&self) -> RidgeParams<'_> {
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
            user_view: true,
        }
    }
}

impl Fit for MvmfConfig {
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
    use crate::parity::context;
    use crate::ridge::RidgeTrainer;
    use quintet_core::{Matrix, SparseFeatures, UserIdx};
    use quintet_tensor::Trainer;
    use quintet_testkit::World;

    #[test]
    fn a_user_without_behaviour_is_ranked_for_by_attributes() {
        let world = World::new();
        let n = world.train.n_users();
        // The user without interactions, here with the tag of group 1.
        let names = world.user_attributes.names().to_vec();
        let cells = (0..n as u32).flat_map(|u| {
            let group = if u as usize == world.empty_user.index() { 1 } else { u % 2 };
            [(u, group, 1.0)]
        });
        let tags = SparseFeatures::new(n, names, cells).unwrap();
        let data = TrainingData::new(&world.train, &world.features).with_user_attributes(&tags);
        let config = MvmfConfig { dim: 4, l2: 0.1, ..MvmfConfig::default() };
        let mut trainer = RidgeTrainer::new(&config.params(), data, &context()).unwrap();
        for epoch in 1..=20 {
            trainer.epoch(epoch).unwrap();
        }
        let model = trainer.model().unwrap();
        assert!(model.capability().cold_users);
        let mut scores = Matrix::default();
        model.score(&[world.empty_user, UserIdx(1)], &mut scores).unwrap();
        let mean = |group: usize| (0..20).map(|k| scores.row(0)[2 * k + group]).sum::<f32>() / 20.0;
        assert!(mean(1) > mean(0) + 0.05, "{} {}", mean(1), mean(0));
        let other = MvmfConfig { weights: [("users".to_owned(), 0.0)].into(), ..config };
        let mut trainer = RidgeTrainer::new(&other.params(), data, &context()).unwrap();
        trainer.epoch(1).unwrap();
        let model = trainer.model().unwrap();
        model.score(&[world.empty_user], &mut scores).unwrap();
        assert!(!model.capability().cold_users);
        assert!(scores.as_slice().iter().all(|s| *s == 0.0));
    }
}
