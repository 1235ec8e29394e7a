//! A recommender of one's own: what people with the same items used (user-based neighbours).
//!
//! Resnick et al., "GroupLens: An Open Architecture for Collaborative Filtering of Netnews",
//! CSCW 1994, on sets: `score(u, i) = Σ_v cos(u, v) · [v used i]`. Parameters come from a run
//! file, fitting gives a `Recommender`, and its state can be saved and loaded.
//! `cargo run --example custom_model`
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use quintet::Registries;
use quintet::core::{
    Capability, FeatureSet, Held, Interactions, Matrix, ModelState, Recommender, ScoreError,
    SeedStream, Test, UserIdx,
};
use quintet::metrics::{EvalConfig, evaluate};
use quintet::tensor::{
    DeviceChoice, Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, open_device,
    parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "userknn";

/// The parameters. `default` fills in what is left out, `deny_unknown_fields` refuses typos.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UserKnnConfig {
    /// Added to the norms, so that people with few items count less.
    shrink: f32,
}

impl Fit for UserKnnConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        if !(self.shrink >= 0.0 && self.shrink.is_finite()) {
            let reason = format!("shrink must be at least 0; found {}", self.shrink);
            return Err(FitError::Config { model: NAME.into(), reason });
        }
        // A model with a closed form comes back fitted; others give `Fitting::Epochs`.
        let (train, shrink) = (data.train.clone(), self.shrink);
        Ok(Fitting::Fitted(Box::new(UserKnn { item_users: train.transpose(), train, shrink })))
    }
}

struct UserKnn {
    train: Interactions,
    /// Row `i` lists the users of item `i`.
    item_users: Interactions,
    shrink: f32,
}

impl UserKnn {
    fn load(state: &ModelState) -> Result<Self, FitError> {
        let (sizes, pairs) = (state.whole("sizes")?, state.whole("pairs")?);
        let &[n_users, n_items] = sizes else {
            return Err(state.mismatch("sizes", "two numbers", &format!("{sizes:?}")).into());
        };
        let pairs = pairs.chunks_exact(2).map(|pair| (pair[0] as u32, pair[1] as u32));
        let train = Interactions::from_pairs(n_users as usize, n_items as usize, pairs)?;
        let shrink = state.shaped("shrink", 1, 1)?.as_slice()[0];
        Ok(Self { item_users: train.transpose(), train, shrink })
    }
}

/// Six methods; lists, similar items and explanations are provided.
impl Recommender for UserKnn {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.train.n_users()
    }

    fn n_items(&self) -> usize {
        self.train.n_items()
    }

    fn capability(&self) -> Capability {
        Capability::personal()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let len = self.n_users();
        if let Some(u) = users.iter().find(|u| u.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "user", index: u.index(), len });
        }
        out.reset(users.len(), self.n_items());
        for (row, &user) in users.iter().enumerate() {
            let mut shared = vec![0.0f32; len];
            for item in self.train.items(user) {
                for other in self.item_users.items(UserIdx(item.0)) {
                    shared[other.index()] += 1.0;
                }
            }
            shared[user.index()] = 0.0; // not one's own neighbour
            let size = |u: UserIdx| self.train.items(u).len() as f32;
            for other in (0..len).map(UserIdx::new).filter(|o| shared[o.index()] > 0.0) {
                let norms = (size(user) * size(other)).sqrt() + self.shrink;
                for item in self.train.items(other) {
                    out.row_mut(row)[item.index()] += shared[other.index()] / norms;
                }
            }
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(NAME);
        let pairs = self.train.iter().flat_map(|t| [i64::from(t.user.0), i64::from(t.item.0)]);
        state.put_whole("pairs", pairs.collect());
        state.put_whole("sizes", vec![self.n_users() as i64, self.n_items() as i64]);
        let mut shrink = Matrix::zeros(1, 1);
        shrink.as_mut_slice()[0] = self.shrink;
        state.put("shrink", shrink);
        state
    }
}

fn main() -> anyhow::Result<()> {
    let mut known = Registries::new()?;
    known.models.add(ModelEntry {
        name: NAME,
        summary: "what people with the same items used",
        build: |params| Ok(Box::new(parse_params::<UserKnnConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(UserKnn::load(state)?)),
        tiny: "{}",
    })?;
    println!("models: {}", known.models.names().collect::<Vec<_>>().join(", "));

    // 60 people of three tastes; of what they used, every sixth item is held out.
    let pairs = (0..60u32).flat_map(|u| (0..45u32).map(move |i| (u, i)));
    let used = pairs.filter(|(u, i)| u % 3 == i % 3 && (u * 7 + i * 5) % 4 < 3 || u * i % 11 == 1);
    let (test, train): (Vec<_>, Vec<_>) = used.partition(|(u, i)| (u * 5 + i) % 6 == 0);
    let train = Interactions::from_pairs(60, 45, train)?;
    let test = Held::<Test>::new(Interactions::from_pairs(60, 45, test)?);

    let data = TrainingData { train: &train, features: &FeatureSet::new(45) };
    let device = open_device(DeviceChoice::Auto)?.device;
    let context = FitContext { device, seed: SeedStream::new(1) };
    let mut recall = Vec::new();
    for (name, params) in [("popularity", Value::Null), (NAME, serde_json::json!({"shrink": 1.0}))]
    {
        let entry = known.models.get(name)?;
        let Fitting::Fitted(model) = (entry.build)(&params)?.start(data, &context)? else {
            anyhow::bail!("{name} has a closed form");
        };
        // What was saved and loaded ranks as what was fitted.
        let model_again = (entry.load)(&model.state())?;
        let best = model.recommend(UserIdx(4), 5, train.items(UserIdx(4)))?;
        anyhow::ensure!(best == model_again.recommend(UserIdx(4), 5, train.items(UserIdx(4)))?);
        let found =
            evaluate(&*model, &test, &train, &EvalConfig::default())?.require("recall@5")?;
        let items: Vec<String> = best.iter().map(|s| format!("item {}", s.item)).collect();
        println!("{name:<11} recall@5 {found:.3}   for user 4: {}", items.join(", "));
        recall.push(found);
    }
    anyhow::ensure!(recall[1] > recall[0], "neighbours know more than popularity");
    let typo = (known.models.get(NAME)?.build)(&serde_json::json!({"shrnik": 1.0})).err();
    println!("a typo in a run file: {}", typo.map_or("accepted".into(), |e| e.to_string()));
    Ok(())
}
