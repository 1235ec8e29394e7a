//! Recommenders: co-occurrence and a small factorisation, right and with one fault each.

use std::sync::atomic::{AtomicU32, Ordering};

use quintet_core::{
    Capability, Factors, Interactions, ItemIdx, Matrix, Modality, ModelState, Recommender,
    ScoreError, Scored, SeedStream, UserIdx,
};
use quintet_tensor::{
    EpochStats, FactorModel, Fit, FitContext, FitError, Fitting, ModelEntry, Trainer, TrainingData,
    parse_params,
};
use quintet_testkit::{EPOCHS, World, check_recommender, fit_all};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{device, must_find};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    /// Whether to train in epochs.
    trained: bool,
    /// What is wrong.
    fault: String,
}

struct Toy(Params);

impl Fit for Toy {
    fn name(&self) -> &str {
        "toy"
    }

    fn config(&self) -> Value {
        serde_json::to_value(&self.0).unwrap()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        if self.0.trained {
            let trainer = Descent::new(data.train.clone(), context.seed, self.0.fault.clone());
            return Ok(Fitting::Epochs(Box::new(trainer)));
        }
        let fault = self.0.fault.clone();
        Ok(Fitting::Fitted(Box::new(Faulty { inner: co_occurrence(data.train, &fault)?, fault })))
    }
}

/// `score(u, i) = Σ over items j of u: n_ij / sqrt(n_i n_j)`.
fn co_occurrence(train: &Interactions, fault: &str) -> Result<FactorModel, FitError> {
    let (n_users, n_items) = (train.n_users(), train.n_items());
    let mut users = Matrix::zeros(n_users, n_items);
    let mut items = Matrix::zeros(n_items, n_items);
    let counts = train.item_counts();
    for user in (0..n_users).map(UserIdx::new) {
        for a in train.items(user) {
            users.row_mut(user.index())[a.index()] = 1.0;
            for b in train.items(user) {
                let norm = (counts[a.index()] * counts[b.index()]) as f32;
                items.row_mut(a.index())[b.index()] += 1.0 / norm.sqrt();
            }
        }
    }
    match fault {
        "guess" => {
            let mut rng = SeedStream::new(1).rng("guess", 0);
            items.as_mut_slice().iter_mut().for_each(|v| *v = rng.random_range(0.0..1.0));
        }
        "seed" => {
            static FITS: AtomicU32 = AtomicU32::new(0);
            items.as_mut_slice()[0] += FITS.fetch_add(1, Ordering::Relaxed) as f32;
        }
        _ => {}
    }
    Ok(FactorModel::new("toy", users, items, vec![0.0; n_items], Capability::personal())?)
}

/// A factor model with a fault laid over it.
struct Faulty {
    inner: FactorModel,
    fault: String,
}

impl Recommender for Faulty {
    fn name(&self) -> &str {
        "toy"
    }

    fn n_users(&self) -> usize {
        self.inner.n_users()
    }

    fn n_items(&self) -> usize {
        self.inner.n_items()
    }

    fn capability(&self) -> Capability {
        let capability = self.inner.capability();
        match self.fault.as_str() {
            "claims cold items" => capability.with_cold_items(),
            "claims places" => capability.with_modalities([Modality::Place]),
            _ => capability,
        }
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let known = UserIdx::new(self.n_users() - 1);
        let users: Vec<UserIdx> = match self.fault.as_str() {
            "guesses unknown users" => users.iter().map(|u| *u.min(&known)).collect(),
            _ => users.to_vec(),
        };
        self.inner.score(&users, out)?;
        match self.fault.as_str() {
            "leaks batch mates" => {
                let shift = 0.1 * users.len() as f32;
                out.as_mut_slice().iter_mut().for_each(|v| *v += shift);
            }
            "NaN for empty rows" => {
                for row in 0..out.rows() {
                    let sum: f32 = out.row(row).iter().sum();
                    out.row_mut(row).iter_mut().for_each(|v| *v += 0.0 / sum);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        self.inner.state()
    }

    fn factors(&self) -> Option<Factors<'_>> {
        self.inner.factors()
    }

    fn recommend(
        &self,
        user: UserIdx,
        k: usize,
        exclude: &[ItemIdx],
    ) -> Result<Vec<Scored>, ScoreError> {
        match self.fault.as_str() {
            "shows seen items" => self.inner.recommend(user, k, &[]),
            "ties" => {
                let mut list = self.inner.recommend(user, k, exclude)?;
                list.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.item.cmp(&a.item)));
                Ok(list)
            }
            "short lists" => self.inner.recommend(user, k.min(5), exclude),
            _ => self.inner.recommend(user, k, exclude),
        }
    }

    fn similar_items(&self, item: ItemIdx, k: usize) -> Result<Vec<Scored>, ScoreError> {
        let mut list = self.inner.similar_items(item, k)?;
        if self.fault == "its own neighbour" && k > 0 {
            list.insert(0, Scored { item, score: 1.0 });
            list.truncate(k);
        }
        Ok(list)
    }
}

/// BPR on the host with a step size that shrinks with every step taken.
struct Descent {
    train: Interactions,
    seed: SeedStream,
    users: Matrix,
    items: Matrix,
    steps: i64,
    fault: String,
}

const DIM: usize = 6;

impl Descent {
    fn new(train: Interactions, seed: SeedStream, fault: String) -> Self {
        let start = |rows: usize, counter: u64| {
            let mut rng = seed.rng("toy", counter);
            let mut m = Matrix::zeros(rows, DIM);
            m.as_mut_slice().iter_mut().for_each(|v| *v = rng.random_range(-0.1..0.1));
            m
        };
        let (users, items) = (start(train.n_users(), 0), start(train.n_items(), 1));
        Self { train, seed, users, items, steps: 0, fault }
    }

    /// One step on `user` preferring `good` to `bad`; gives the loss.
    fn step(&mut self, user: usize, good: usize, bad: usize) -> f64 {
        let rate = 0.1 / (1.0 + 1e-4 * self.steps as f32);
        self.steps += 1;
        let p = self.users.row(user).to_vec();
        let (q, r) = (self.items.row(good).to_vec(), self.items.row(bad).to_vec());
        let margin: f32 = (0..DIM).map(|d| p[d] * (q[d] - r[d])).sum();
        let pull = rate / (1.0 + margin.exp());
        for d in 0..DIM {
            self.users.row_mut(user)[d] += pull * (q[d] - r[d]);
            self.items.row_mut(good)[d] += pull * p[d];
            self.items.row_mut(bad)[d] -= pull * p[d];
        }
        f64::from((-margin).exp().ln_1p())
    }
}

impl Trainer for Descent {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let mut rng = self.seed.rng("negatives", epoch as u64);
        let cells: Vec<(usize, usize)> =
            self.train.iter().map(|t| (t.user.index(), t.item.index())).collect();
        let mut loss = 0.0;
        for &(user, good) in &cells {
            loss += self.step(user, good, rng.random_range(0..self.train.n_items()));
        }
        let samples = cells.len().max(1);
        Ok(EpochStats { loss: loss / samples as f64, batches: 1, samples })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let bias = vec![0.0; self.items.rows()];
        let (users, items) = (self.users.clone(), self.items.clone());
        Ok(Box::new(FactorModel::new("toy", users, items, bias, Capability::personal())?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new("toy trainer");
        state.put("users", self.users.clone());
        state.put("items", self.items.clone());
        if self.fault != "forgets its steps" {
            state.put_whole("steps", vec![self.steps]);
        }
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.users = state.matrix("users")?.clone();
        self.items = state.matrix("items")?.clone();
        if self.fault != "forgets its steps" {
            self.steps = state.whole("steps")?[0];
        }
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        self.users.as_slice().len() + self.items.as_slice().len()
    }
}

fn build(params: &Value) -> Result<Box<dyn Fit>, FitError> {
    Ok(Box::new(Toy(parse_params("toy", params)?)))
}

fn load(state: &ModelState) -> Result<Box<dyn Recommender>, FitError> {
    Ok(Box::new(FactorModel::load(state)?))
}

/// Mixes up two items while loading.
fn load_wrong(state: &ModelState) -> Result<Box<dyn Recommender>, FitError> {
    let mut state = state.clone();
    let mut items = state.matrix("items")?.clone();
    let (a, b) = (items.row(0).to_vec(), items.row(1).to_vec());
    items.row_mut(0).copy_from_slice(&b);
    items.row_mut(1).copy_from_slice(&a);
    state.put("items", items);
    load(&state)
}

fn build_any(params: &Value) -> Result<Box<dyn Fit>, FitError> {
    Ok(Box::new(Toy(parse_params("toy", params).unwrap_or_default())))
}

fn entry(tiny: &'static str) -> ModelEntry {
    ModelEntry { name: "toy", summary: "a toy", build, load, tiny }
}

#[test]
fn right_models_pass() {
    check_recommender(&entry("{}"), &device());
    check_recommender(&entry(r#"{"trained": true}"#), &device());
}

#[test]
fn fit_all_runs_the_epochs_it_is_told() {
    let world = World::new();
    let data = TrainingData::new(&world.train, &world.features);
    let context = FitContext { device: device(), seed: SeedStream::new(5) };
    let fit = build(&serde_json::json!({ "trained": true })).unwrap();
    let none = fit_all(&*fit, data, &context, 0).state();
    let start = Descent::new(world.train.clone(), context.seed, String::new());
    assert_eq!(none, start.model().unwrap().state());
    assert_ne!(none, fit_all(&*fit, data, &context, EPOCHS).state());
}

#[test]
fn every_fault_is_found() {
    let d = device();
    for (tiny, says) in [
        (r#"{"fault": "leaks batch mates"}"#, "batch mates matter"),
        (r#"{"fault": "NaN for empty rows"}"#, "scores of user 40"),
        (r#"{"fault": "guess"}"#, "the checkerboard is not learned"),
        (r#"{"fault": "claims cold items"}"#, "claims to rank unused items"),
        (r#"{"fault": "claims places"}"#, "claims to have read place features"),
        (r#"{"fault": "guesses unknown users"}"#, "score of an unknown user"),
        (r#"{"fault": "shows seen items"}"#, "hold the excluded item"),
        (r#"{"fault": "ties"}"#, "stands before"),
        (r#"{"fault": "short lists"}"#, "length of the 7 best"),
        (r#"{"fault": "its own neighbour"}"#, "hold itself"),
        (r#"{"fault": "seed"}"#, "with the same seed"),
        (r#"{"trained": true, "fault": "forgets its steps"}"#, "stopped and resumed"),
        ("{", "is not JSON"),
        (r#"{"tpyo": 1}"#, "`tiny` is refused"),
    ] {
        must_find(tiny, || check_recommender(&entry(tiny), &d), says);
    }
    let lost = ModelEntry { load: load_wrong, ..entry("{}") };
    must_find("mixes up items", || check_recommender(&lost, &d), "after loading");
    let deaf = ModelEntry { build: build_any, ..entry("{}") };
    must_find("ignores typos", || check_recommender(&deaf, &d), "unknown parameter was accepted");
}
