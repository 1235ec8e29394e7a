//! Two metrics of one's own, in a registry beside the built-in ones, measured on two models.
//!
//! `f2` is a value a user, averaged over users; `evenness` is one value for all lists together.
//! `cargo run --example custom_metric`
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use quintet::Registries;
use quintet::core::{FeatureSet, Recommender, SeedStream};
use quintet::data::{Event, Events, Split, SplitConfig, split};
use quintet::metrics::{EvalConfig, Evaluator, MetricEntry, MetricKind, RankedLists, RankedUser};
use quintet::tensor::{DeviceChoice, FitContext, TrainingData, open_device};
use quintet::train::{Silent, TrainConfig, fit_model};

/// The mean of precision and recall that counts recall twice, `5 P R / (4 P + R)`, which is
/// `5 · hits / (k + 4 · relevant items)`.
///
/// 0 without a hit; 1 when the first `k` items are exactly the `k` relevant ones.
fn f2(user: &RankedUser<'_>) -> f64 {
    5.0 * user.n_hits() as f64 / (user.k() + 4 * user.n_truth()) as f64
}

/// How evenly the lists use the catalogue: the entropy of the share that each item has of all
/// places in all lists, over the entropy of equal shares. 0 for one item everywhere, 1 for all
/// items equally often.
fn evenness(lists: &RankedLists<'_>) -> f64 {
    let mut places = vec![0.0; lists.n_items()];
    for item in lists.iter().flatten() {
        places[item.index()] += 1.0;
    }
    let all: f64 = places.iter().sum();
    if all == 0.0 || lists.n_candidates() < 2 {
        return 0.0;
    }
    let shares = places.iter().map(|n| n / all).filter(|share| *share > 0.0);
    let entropy: f64 = shares.map(|share| -share * share.ln()).sum();
    // Rounding may lift equal shares a hair above 1.
    (entropy / (lists.n_candidates() as f64).ln()).clamp(0.0, 1.0)
}

const F2: MetricEntry = MetricEntry {
    name: "f2",
    summary: "mean of precision and recall that counts recall twice",
    kind: MetricKind::PerUser(f2),
};

const EVENNESS: MetricEntry = MetricEntry {
    name: "evenness",
    summary: "entropy of the items' shares of all lists",
    kind: MetricKind::Whole(evenness),
};

fn main() -> anyhow::Result<()> {
    let mut known = Registries::new()?;
    known.metrics.add(F2)?;
    known.metrics.add(EVENNESS)?;
    println!("metrics: {}", known.metrics.names().collect::<Vec<_>>().join(", "));

    let config = EvalConfig {
        cutoffs: vec![5],
        metrics: ["precision", "recall", "f2", "coverage", "evenness"].map(String::from).to_vec(),
    };
    let evaluator = Evaluator::new(&config, &known.metrics)?;
    let parts = world()?;
    println!(
        "\n{:<12}{}",
        "",
        config.metrics.iter().map(|m| format!("{m:>13}")).collect::<String>()
    );
    let mut measured = Vec::new();
    for name in ["popularity", "bpr"] {
        let model = fit(&known, name, &parts)?;
        let found = evaluator.evaluate(&*model, &parts.test, &parts.seen_for_test)?;
        let mut row = format!("{name:<12}");
        for metric in &config.metrics {
            row += &format!("{:>13.4}", found.require(&format!("{metric}@5"))?);
        }
        println!("{row}");
        measured.push(found);
    }

    // User by user, the new metric is what its definition says.
    let bpr = &measured[1];
    let (p, r) = (bpr.require_per_user("precision@5")?, bpr.require_per_user("recall@5")?);
    for ((p, r), f2) in p.iter().zip(r).zip(bpr.require_per_user("f2@5")?) {
        let expected = if p + r > 0.0 { 5.0 * p * r / (4.0 * p + r) } else { 0.0 };
        anyhow::ensure!((f2 - expected).abs() < 1e-12, "f2 {f2}, expected {expected}");
    }
    let even = |i: usize| measured[i].require("evenness@5");
    anyhow::ensure!(even(1)? > even(0)?, "personal lists use more of the catalogue");
    println!(
        "\n{} users had something to find. A metric that is a value a user, such as f2, also has \
         intervals\nand paired comparisons; one of all lists together, such as evenness, has not.",
        bpr.n_users()
    );
    anyhow::ensure!(bpr.per_user("evenness@5").is_none());
    Ok(())
}

fn fit(known: &Registries, name: &str, parts: &Split) -> anyhow::Result<Box<dyn Recommender>> {
    let context =
        FitContext { device: open_device(DeviceChoice::Auto)?.device, seed: SeedStream::new(3) };
    let features = FeatureSet::new(parts.train.n_items());
    let data = TrainingData::new(&parts.train, &features);
    let settings = TrainConfig { epochs: 15, metric: "ndcg@5".into(), ..TrainConfig::default() };
    let fit = (known.models.get(name)?.build)(&serde_json::Value::Null)?;
    let fitted = fit_model(&*fit, data, &parts.valid, &context, &settings, None, &mut Silent)?;
    Ok(fitted.model)
}

/// 150 users, 90 items, five tastes: two thirds of the items of one's taste and every ninth item
/// of the others, in a fixed pattern.
fn world() -> anyhow::Result<Split> {
    let mut events = Events::new();
    for (user, item) in (0..150u32).flat_map(|u| (0..90u32).map(move |i| (u, i))) {
        let mixed = (user * 31 + item * 17 + user * item) % 9;
        let own = user % 5 == item % 5;
        if (own && mixed < 6) || mixed == 8 {
            let (user, item) = (quintet::core::UserIdx(user), quintet::core::ItemIdx(item));
            events.push(Event {
                user,
                item,
                event: "use",
                value: 1.0,
                timestamp: None,
                part: None,
            });
        }
    }
    let by_chance = SplitConfig::Random { valid: 0.1, test: 0.2, seed: None };
    Ok(split(&events, 150, 90, &by_chance, SeedStream::new(3))?)
}
