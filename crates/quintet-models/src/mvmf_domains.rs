//! MVMF over several domains: books, films and songs of the same people.
//!
//! Flanagan et al., ECML PKDD 2020, and Pan et al., AAAI 2010, as in [`crate::MvmfConfig`], with
//!
//! ```text
//! R^(g) ≈ (P + P^(g)) Q^(g)ᵀ      X ≈ P Aᵀ      Y^(g) ≈ Q^(g) B^(g)ᵀ
//! loss = Σ_g ω_g Σ c_ui (t_ui - (p_u + p_u^(g))·q_i)² + Σ_views α ‖…‖² + λ (…) + λ_dev Σ_g ‖P^(g)‖²
//! ```
//! `P` is the taste that all domains share, `P^(g)` what is different in one. A user without a cell
//! in domain `g` has no deviation there and is ranked for by `P`, which the other domains and the
//! attributes of users tell.
//! Cost: a sweep is that of JMF, summed over the domains.

use quintet_core::{Interactions, Recommender, SeedStream, SparseFeatures};
use quintet_tensor::{FitError, TrainingData};

use crate::graph::refuse;
use crate::mvmf::{MvmfConfig, NAME};
use crate::ridge::{Blocks, Domain, ItemViews, RidgeModel, RidgeRecipe, user_view, view_weight};

/// One domain: its behaviour over the users of all, and what describes its items.
#[derive(Debug, Clone, Copy)]
pub struct MvmfDomain<'a> {
    /// Behaviour, features and attributes of items; user attributes are not read here.
    pub data: TrainingData<'a>,
    /// `ω`; by default the interactions of the first domain over those of this one, so that
    /// every domain has an equal voice.
    pub weight: Option<f64>,
}

impl<'a> MvmfDomain<'a> {
    /// A domain with an equal voice.
    pub fn new(data: TrainingData<'a>) -> Self {
        Self { data, weight: None }
    }
}

/// Fits several matrices of behaviour over one user index.
///
/// ```
/// use quintet_core::{FeatureSet, Interactions, SeedStream};
/// use quintet_models::{MvmfConfig, MvmfDomain, MvmfDomains};
/// use quintet_tensor::TrainingData;
/// let books = Interactions::from_pairs(3, 2, [(0, 0), (1, 1), (2, 0)])?;
/// let films = Interactions::from_pairs(3, 4, [(0, 3), (1, 2)])?;
/// let (of_books, of_films) = (FeatureSet::new(2), FeatureSet::new(4));
/// let domains = [
///     MvmfDomain::new(TrainingData::new(&books, &of_books)),
///     MvmfDomain::new(TrainingData::new(&films, &of_films)),
/// ];
/// let fit = MvmfDomains::new(MvmfConfig { dim: 2, ..MvmfConfig::default() });
/// let models = fit.fit(&domains, None, SeedStream::new(1)).unwrap();
/// // User 2 has no film; what is known of the books decides.
/// assert_eq!(models[1].n_items(), 4);
/// # Ok::<(), quintet_core::CoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MvmfDomains {
    /// Parameters of all domains.
    pub config: MvmfConfig,
    /// `λ_dev`, at least `config.l2`, so that sharing is preferred; none leaves deviations out.
    pub deviation_l2: Option<f32>,
    /// Sweeps over all blocks.
    pub sweeps: usize,
}

impl MvmfDomains {
    /// Deviations at four times the ridge of the shared taste, 20 sweeps.
    pub fn new(config: MvmfConfig) -> Self {
        let deviation_l2 = Some(4.0 * config.l2);
        Self { config, deviation_l2, sweeps: 20 }
    }

    /// One recommender a domain, in their order, for the users of all. Saved and loaded they are
    /// `mvmf` models.
    ///
    /// # Errors
    /// Parameters out of range; no domain, or one over other users or without interactions.
    pub fn fit(
        &self,
        domains: &[MvmfDomain<'_>],
        user_attributes: Option<&SparseFeatures>,
        seed: SeedStream,
    ) -> Result<Vec<Box<dyn Recommender>>, FitError> {
        let (mut blocks, parts) = self.blocks(domains, user_attributes, seed)?;
        (0..self.sweeps).try_for_each(|_| blocks.sweep(NAME))?;
        let models = parts.into_iter().zip(domains).enumerate();
        let models = models.map(|(g, ((recipe, views), domain))| {
            let history: &Interactions = domain.data.train;
            let model = RidgeModel::new(NAME, recipe, &blocks, g, &views, history)?;
            Ok(Box::new(model) as Box<dyn Recommender>)
        });
        models.collect()
    }
}

/// What the fitted form of a domain is made of.
type Made = (RidgeRecipe, ItemViews);

impl MvmfDomains {
    fn check(&self, domains: &[MvmfDomain<'_>]) -> Result<(), FitError> {
        self.config.params().check()?;
        if let Some(l2) = self.deviation_l2
            && !(l2.is_finite() && l2 >= self.config.l2)
        {
            return refuse(NAME, "deviation_l2", &format!("at least l2, {}", self.config.l2), l2);
        }
        let bad = |reason: String| Err(FitError::Data { model: NAME.into(), reason });
        let Some(first) = domains.first() else { return bad("no domain".into()) };
        let n_users = first.data.train.n_users();
        for (g, domain) in domains.iter().enumerate() {
            let found = domain.data.train.n_users();
            if found != n_users {
                return bad(format!("domain {g} has {found} users, domain 0 has {n_users}"));
            }
            if let Some(weight) = domain.weight.filter(|w| !(w.is_finite() && *w > 0.0)) {
                return refuse(NAME, &format!("the weight of domain {g}"), "positive", weight);
            }
        }
        Ok(())
    }

    fn blocks(
        &self,
        domains: &[MvmfDomain<'_>],
        user_attributes: Option<&SparseFeatures>,
        seed: SeedStream,
    ) -> Result<(Blocks, Vec<Made>), FitError> {
        self.check(domains)?;
        let params = self.config.params();
        let (n_users, first) = (domains[0].data.train.n_users(), domains[0].data.train.nnz());
        let weight = view_weight(&self.config.weights, "users");
        let of_users = user_view(NAME, user_attributes, n_users, weight, self.config.dim)?;
        let (mut made, mut parts) = (Vec::new(), Vec::new());
        for (g, domain) in domains.iter().enumerate() {
            let train = domain.data.train;
            let rows = params.behaviour(train)?;
            let views = params.item_views(domain.data)?;
            let weight = domain.weight.unwrap_or(first as f64 / train.nnz() as f64);
            let recipe = RidgeRecipe {
                deviation_l2: self.deviation_l2,
                ..params.recipe(&views, weight, !of_users.is_empty())
            };
            let (settings, own) = (recipe.settings(), views.views.clone());
            made.push(Domain::new(rows, own, weight, &settings, (seed, g)));
            parts.push((recipe, views));
        }
        let settings = parts[0].0.settings();
        Ok((Blocks::new(settings, n_users, of_users, made, seed), parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{case, features};
    use crate::ridge::parity::{check_tables, interactions, tags};
    use quintet_core::{FeatureSet, Matrix, UserIdx};
    use rand::RngExt;

    #[test]
    fn sweeps_are_those_of_numpy() {
        let case = case("ridge_numpy/mvmf.json");
        let config = serde_json::from_value(case["params"].clone()).unwrap();
        let l2 = case["deviation_l2"].as_f64().map(|l2| l2 as f32);
        let fit = MvmfDomains { config, deviation_l2: l2, sweeps: 1 };
        let given = case["domains"].as_array().unwrap();
        let trains: Vec<_> = given.iter().map(|d| interactions(&d["train"])).collect();
        let sets: Vec<_> = given
            .iter()
            .zip(&trains)
            .map(|(d, train)| features(&d["features"], train.n_items()))
            .collect();
        let domains: Vec<_> = trains
            .iter()
            .zip(&sets)
            .zip(given)
            .map(|((train, set), d)| MvmfDomain {
                data: TrainingData::new(train, set),
                weight: d["weight"].as_f64(),
            })
            .collect();
        let users = tags(&case["user_attributes"]);
        let (mut blocks, _) = fit.blocks(&domains, Some(&users), SeedStream::new(1)).unwrap();
        check_tables(&mut blocks, &case);
    }

    /// Four tastes; a user likes the items of one in both domains.
    const TASTES: usize = 4;
    const USERS: usize = 80;
    const ITEMS: usize = 40;

    /// Users below `from` have nothing here. Items of taste 0 are used most.
    fn domain(from: usize, seed: u64) -> Interactions {
        let mut rng = SeedStream::new(seed).rng("domain", 0);
        let mut pairs = Vec::new();
        for user in from..USERS {
            for item in 0..ITEMS {
                let chance: f64 = match (item % TASTES == user % TASTES, item % TASTES) {
                    (true, _) => 0.6,
                    (false, 0) => 0.4,
                    (false, _) => 0.02,
                };
                if rng.random::<f64>() < chance {
                    pairs.push((user as u32, item as u32));
                }
            }
        }
        Interactions::from_pairs(USERS, ITEMS, pairs).unwrap()
    }

    /// The share of pairs of an item of the own taste and another one that stand in order, over
    /// the first 20 users.
    fn in_order(score: impl Fn(usize, usize) -> f32) -> f64 {
        let (mut right, mut pairs) = (0usize, 0usize);
        for user in 0..20 {
            let own = |item: &usize| item % TASTES == user % TASTES;
            for a in (0..ITEMS).filter(own) {
                for b in (0..ITEMS).filter(|b| !own(b)) {
                    right += usize::from(score(user, a) > score(user, b));
                    pairs += 1;
                }
            }
        }
        right as f64 / pairs as f64
    }

    fn of_second(models: &[Box<dyn Recommender>]) -> f64 {
        let users: Vec<UserIdx> = (0..20).map(UserIdx::new).collect();
        let mut scores = Matrix::default();
        models[1].score(&users, &mut scores).unwrap();
        in_order(|user, item| scores.row(user)[item])
    }

    #[test]
    fn who_is_known_in_one_domain_is_ranked_for_in_the_other() {
        let (books, films) = (domain(0, 1), domain(20, 2));
        let (of_books, of_films) = (FeatureSet::new(ITEMS), FeatureSet::new(ITEMS));
        let domains = |weight| {
            let second = TrainingData::new(&films, &of_films);
            let first = MvmfDomain::new(TrainingData::new(&books, &of_books));
            [first, MvmfDomain { data: second, weight }]
        };
        let fit = MvmfDomains::new(MvmfConfig { dim: 8, l2: 0.5, ..MvmfConfig::default() });
        let models = fit.fit(&domains(None), None, SeedStream::new(1)).unwrap();
        let counts = films.item_counts();
        let popular = in_order(|_, item| counts[item] as f32);
        let found = of_second(&models);
        assert!(found > 0.85 && found > popular + 0.3, "{found}, by popularity {popular}");
        let alone = fit.fit(&domains(None)[1..], None, SeedStream::new(1)).unwrap();
        let mut scores = Matrix::default();
        alone[0].score(&[UserIdx(0)], &mut scores).unwrap();
        assert!(scores.as_slice().iter().all(|s| *s == 0.0), "nothing is known of user 0 here");
        let loaded = RidgeModel::load(NAME, &models[1].state()).unwrap();
        assert_eq!(loaded.state(), models[1].state());
    }

    #[test]
    fn the_weight_of_a_domain_is_its_voice() {
        // Half of the users like the opposite in the second domain.
        let pairs = |shift: usize| {
            (0..USERS).flat_map(move |u| {
                (0..ITEMS)
                    .filter(move |i| i % 2 == (u + shift * usize::from(u < USERS / 2)) % 2)
                    .filter(move |i| (i / 2 + u) % 3 != 0)
                    .map(move |i| (u as u32, i as u32))
            })
        };
        let first = Interactions::from_pairs(USERS, ITEMS, pairs(0)).unwrap();
        let second = Interactions::from_pairs(USERS, ITEMS, pairs(1)).unwrap();
        let none = FeatureSet::new(ITEMS);
        let fit = MvmfDomains {
            config: MvmfConfig { dim: 1, l2: 0.5, ..MvmfConfig::default() },
            deviation_l2: None,
            sweeps: 30,
        };
        // How much better the own items of a user stand in a domain, on average.
        let lead = |weight: f64, g: usize| {
            let domains = [
                MvmfDomain::new(TrainingData::new(&first, &none)),
                MvmfDomain { data: TrainingData::new(&second, &none), weight: Some(weight) },
            ];
            let models = fit.fit(&domains, None, SeedStream::new(3)).unwrap();
            let users: Vec<UserIdx> = (0..USERS).map(UserIdx::new).collect();
            let mut scores = Matrix::default();
            models[g].score(&users, &mut scores).unwrap();
            let train = [&first, &second][g];
            let all = train.iter().map(|t| f64::from(scores.row(t.user.index())[t.item.index()]));
            all.sum::<f64>() / train.nnz() as f64
        };
        assert!(lead(10.0, 1) > lead(0.1, 1) + 0.02, "{} {}", lead(10.0, 1), lead(0.1, 1));
        assert!(lead(0.1, 0) > lead(10.0, 0) + 0.02, "{} {}", lead(0.1, 0), lead(10.0, 0));
    }

    #[test]
    fn domains_that_do_not_fit_are_named() {
        let (books, other) = (domain(0, 1), Interactions::from_pairs(3, 2, [(0, 0)]).unwrap());
        let (of_books, of_other) = (FeatureSet::new(ITEMS), FeatureSet::new(2));
        let one = MvmfDomain::new(TrainingData::new(&books, &of_books));
        let two = MvmfDomain::new(TrainingData::new(&other, &of_other));
        let fit = MvmfDomains::new(MvmfConfig::default());
        let said = |fit: &MvmfDomains, domains: &[MvmfDomain<'_>]| {
            fit.fit(domains, None, SeedStream::new(1)).err().unwrap().to_string()
        };
        assert!(said(&fit, &[one, two]).contains("domain 1 has 3 users, domain 0 has 80"));
        assert!(said(&fit, &[]).contains("no domain"));
        let bad = MvmfDomain { weight: Some(0.0), ..one };
        assert!(said(&fit, &[bad]).contains("the weight of domain 0"));
        let low = MvmfDomains { deviation_l2: Some(0.1), ..fit };
        assert!(said(&low, &[one]).contains("deviation_l2"));
    }
}
