//! A recommender of one's own: what people with the same items used (user-based neighbours).
//!
//! Resnick et al., "GroupLens: An Open Architecture for Collaborative Filtering of Netnews",
//! CSCW 1994, on sets: `score(u, i) = Σ_v cos(u, v) · [v used i]`.
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
use serde_json::{Value, json};

const NAME: &str = "same-items";

/// The parameters. `default` fills in what is left out, `deny_unknown_fields` refuses typos.
#[derive(Default, serde::Serialize, serde::Deserialize)]
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
        Ok(Fitting::Fitted(Box::new(UserKnn { train: data.train.clone(), shrink: self.shrink })))
    }
}

struct UserKnn {
    train: Interactions,
    shrink: f32,
}

impl UserKnn {
    fn load(state: &ModelState) -> Result<Self, FitError> {
        let bad = |key| state.mismatch(key, "what `state` wrote", "something else");
        let &[n_users, n_items] = state.whole("sizes")? else { return Err(bad("sizes").into()) };
        let pairs = state.whole("pairs")?.chunks_exact(2).map(|p| (p[0] as u32, p[1] as u32));
        let train = Interactions::from_pairs(n_users as usize, n_items as usize, pairs)?;
        Ok(Self { train, shrink: state.text("shrink")?.parse().map_err(|_| bad("shrink"))? })
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
            let mine = self.train.items(user);
            for other in (0..len).map(UserIdx::new).filter(|&other| other != user) {
                let theirs = self.train.items(other);
                let common = theirs.iter().filter(|i| mine.binary_search(i).is_ok()).count() as f32;
                if common > 0.0 {
                    let norms = ((mine.len() * theirs.len()) as f32).sqrt() + self.shrink;
                    theirs.iter().for_each(|i| out.row_mut(row)[i.index()] += common / norms);
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
        state.meta.insert("shrink".into(), self.shrink.to_string());
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
    // 60 people of three tastes; a sixth of what they used is held out.
    let mixed = |u: u32, i: u32| (u * u * 31 + i * i * 17 + u * i * 7 + 1) % 101;
    let pairs = (0..60u32).flat_map(|u| (0..45u32).map(move |i| (u, i)));
    let used = pairs.filter(|&(u, i)| mixed(u, i) < if u % 3 == i % 3 { 60 } else { 6 });
    let (test, train): (Vec<_>, Vec<_>) = used.partition(|&(u, i)| mixed(u, i) % 6 == 0);
    let train = Interactions::from_pairs(60, 45, train)?;
    let test = Held::<Test>::new(Interactions::from_pairs(60, 45, test)?);
    let features = FeatureSet::new(45);
    let data = TrainingData::new(&train, &features);
    let (device, seed) = (open_device(DeviceChoice::Auto)?.device, SeedStream::new(1));
    let context = FitContext { device, seed };
    let (config, mut recall) = (EvalConfig::default(), Vec::new());
    for (name, params) in [("popularity", Value::Null), (NAME, json!({ "shrink": 1.0 }))] {
        let entry = known.models.get(name)?;
        let Fitting::Fitted(model) = (entry.build)(&params)?.start(data, &context)? else {
            anyhow::bail!("{name} has a closed form");
        };
        let (user, seen) = (UserIdx(4), train.items(UserIdx(4)));
        let best = model.recommend(user, 5, seen)?;
        let saved_and_loaded = (entry.load)(&model.state())?;
        anyhow::ensure!(best == saved_and_loaded.recommend(user, 5, seen)?);
        let found = evaluate(&*model, &test, &train, &config)?.require("recall@5")?;
        let items: Vec<u32> = best.iter().map(|scored| scored.item.0).collect();
        println!("{name:<10} recall@5 {found:.3}, items for user 4: {items:?}");
        recall.push(found);
    }
    anyhow::ensure!(recall[1] > recall[0], "neighbours know more than popularity");
    let typo = (known.models.get(NAME)?.build)(&json!({ "shrnik": 1.0 })).map(|_| ());
    println!("a typo in a run file: {}", typo.map_or_else(|e| e.to_string(), |()| "fine".into()));
    Ok(())
}
