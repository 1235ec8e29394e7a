//! The library from interactions to explained recommendations, without a run file.
//!
//! Events → split → fit with early stopping on the validation part → one look at the test part
//! → a list with reasons. `cargo run --example train_bpr`
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use anyhow::Context as _;
use quintet::Registries;
use quintet::core::{FeatureSet, ItemIdx, Reason, SeedStream, UserIdx};
use quintet::data::{Event, Events, SplitConfig, split};
use quintet::metrics::{EvalConfig, evaluate};
use quintet::tensor::{DeviceChoice, FitContext, TrainingData, open_device};
use quintet::train::{Silent, TrainConfig, fit_model};

const N_USERS: usize = 120;
const N_ITEMS: usize = 80;
const GENRES: [&str; 4] = ["jazz", "rock", "folk", "opera"];

fn main() -> anyhow::Result<()> {
    let seed = SeedStream::new(7);
    let events = listening();
    // A tenth of the events is held out for choices, another tenth for the report.
    let parts = SplitConfig::Random { valid: 0.1, test: 0.1, seed: None };
    let parts = split(&events, N_USERS, N_ITEMS, &parts, seed)?;
    println!(
        "{} events of {N_USERS} users with {N_ITEMS} albums: {} to learn from, {} for choices, {} \
         for the report",
        events.len(),
        parts.train.nnz(),
        parts.valid.truth().nnz(),
        parts.test.truth().nnz(),
    );

    // BPR reads behaviour alone, so the set of item features is empty.
    let features = FeatureSet::new(N_ITEMS);
    let data = TrainingData::new(&parts.train, &features);
    let open = open_device(DeviceChoice::Auto)?;
    println!("device: {} ({})", open.choice, open.note);
    let context = FitContext { device: open.device, seed };
    let settings = TrainConfig { epochs: 40, patience: 5, ..TrainConfig::default() };
    let known = Registries::new()?;

    let mut ndcg = Vec::new();
    let mut fitted = Vec::new();
    for (name, params) in [
        ("popularity", serde_json::Value::Null),
        ("bpr", serde_json::json!({ "dim": 16, "lr": 0.02, "batch_size": 256 })),
    ] {
        let fit = (known.models.get(name)?.build)(&params)?;
        let done = fit_model(&*fit, data, &parts.valid, &context, &settings, None, &mut Silent)?;
        // What a user has seen when the test comes is train and validation together.
        let test =
            evaluate(&*done.model, &parts.test, &parts.seen_for_test, &EvalConfig::default())?;
        println!(
            "{name:<10} {} epochs, best {:>2}: valid ndcg@10 {:.3}, test ndcg@10 {:.3}, recall@10 {:.3}",
            done.report.epochs,
            done.report.best_epoch,
            done.report.best_valid,
            test.require("ndcg@10")?,
            test.require("recall@10")?,
        );
        ndcg.push(test.require("ndcg@10")?);
        fitted.push(done.model);
    }
    anyhow::ensure!(ndcg[1] > ndcg[0], "a model that knows tastes ranks better than popularity");

    let model = fitted.pop().context("two models were fitted")?;
    let user = UserIdx(2);
    let history = parts.seen_for_test.items(user);
    println!("\nUser {user} likes {}. The list:", GENRES[taste(user.0)]);
    for scored in model.recommend(user, 5, history)? {
        let reasons = model.explain(user, scored.item, history, 2)?;
        let reasons: Vec<String> = reasons.iter().map(in_words).collect();
        println!("  {:<9} {:>6.2}  {}", title(scored.item), scored.score, reasons.join("; "));
        anyhow::ensure!(!history.contains(&scored.item), "what was heard is not recommended");
    }
    Ok(())
}

fn title(item: ItemIdx) -> String {
    format!("{} {}", GENRES[genre(item.0)], item.index() / GENRES.len() + 1)
}

fn in_words(reason: &Reason) -> String {
    match reason {
        Reason::Because { item, weight } => format!("near {} ({weight:.2})", title(*item)),
        Reason::Part { name, weight } => format!("{name} {weight:+.2}"),
        Reason::Content { modality, weight } => format!("{modality} {weight:+.2}"),
        other => format!("{other:?}"),
    }
}

fn genre(item: u32) -> usize {
    item as usize % GENRES.len()
}

fn taste(user: u32) -> usize {
    user as usize % GENRES.len()
}

/// Everyone plays half of the albums of one genre and one in twenty of the others.
fn listening() -> Events {
    let mut events = Events::new();
    for (user, item) in (0..N_USERS as u32).flat_map(|u| (0..N_ITEMS as u32).map(move |i| (u, i))) {
        let chance = if taste(user) == genre(item) { 0.5 } else { 0.05 };
        if uniform(user, item) < chance {
            events.push(Event {
                user: UserIdx(user),
                item: ItemIdx(item),
                event: "play",
                value: 1.0,
                timestamp: None,
                part: None,
            });
        }
    }
    events
}

/// A fixed number in `[0, 1)` for every pair: the same world on every machine (SplitMix64,
/// Steele et al. 2014).
fn uniform(user: u32, item: u32) -> f64 {
    let mut z = ((u64::from(user) << 32) | u64::from(item)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
