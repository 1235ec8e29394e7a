//! What lists are worth beyond hits: three ways to fill them, measured side by side.
//!
//! `popular` shows everybody the same, `random` anything, `taste` what users of one's taste had.
//! The table has coverage, concentration, popularity, diversity, novelty, serendipity and
//! fairness; then users are compared by group, and models by a test of both comparisons.
//! `cargo run --example beyond_accuracy`
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use quintet::core::{
    FeatureSet, Interactions, ItemIdx, Matrix, Modality, ModalityFeatures, UserIdx,
};
use quintet::metrics::beyond::{BeyondAccuracy, BeyondReport, ListContext};
use quintet::metrics::fairness::{Groups, group_gaps};
use quintet::metrics::{UserValues, WilcoxonConfig, holm, wilcoxon};

const USERS: u32 = 120;
const ITEMS: u32 = 80;
const TASTES: u32 = 4;
const K: usize = 5;

fn main() -> anyhow::Result<()> {
    let (history, truth) = world()?;
    let features = features()?;
    let names = ["low shelf", "high shelf"].map(String::from).to_vec();
    let labels: Vec<Option<u32>> = (0..ITEMS).map(|item| Some(item / 40)).collect();
    let shelves = Groups::from_labels(names, &labels)?;
    let context = ListContext::new(&history)
        .with_truth(&truth)
        .with_features(&features)
        .with_item_groups("shelf", &shelves);
    let measure = BeyondAccuracy::new(context)?;

    let popularity = history.item_counts();
    let mut taste = vec![0; (TASTES * ITEMS) as usize];
    for cell in history.iter() {
        taste[(cell.user.0 % TASTES * ITEMS + cell.item.0) as usize] += 1;
    }
    let models = ["popular", "random", "taste"];
    let lists = [
        fill(&history, |_, item| popularity[item as usize]),
        fill(&history, mixed),
        fill(&history, |user, item| taste[(user % TASTES * ITEMS + item) as usize]),
    ];
    let users: Vec<UserIdx> = (0..USERS).map(UserIdx).collect();
    let reports: Vec<BeyondReport> =
        lists.iter().map(|l| measure.measure(&users, l, K)).collect::<Result<_, _>>()?;

    println!("{:<34}{}", "", models.map(|model| format!("{model:>10}")).concat());
    for key in reports[2].means().keys() {
        let cell = |r: &BeyondReport| r.get(key).map_or("-".into(), |value| format!("{value:.3}"));
        let row: String = reports.iter().map(|r| format!("{:>10}", cell(r))).collect();
        println!("{key:<34}{row}");
    }
    compare(&reports)?;

    let get = |model: usize, key: &str| reports[model].get(key).unwrap_or(f64::NAN);
    anyhow::ensure!(get(0, "unexpectedness@5") == 0.0, "popularity surprises nobody");
    anyhow::ensure!(get(0, "gini@5") > get(2, "gini@5"), "and shows few items to many");
    anyhow::ensure!(get(2, "ild_image@5") < get(1, "ild_image@5"), "one taste looks alike");
    anyhow::ensure!(get(2, "personalisation@5") > get(0, "personalisation@5"));
    Ok(())
}

/// Useful surprises by group of users, and whether there are more than by chance.
fn compare(reports: &[BeyondReport]) -> anyhow::Result<()> {
    let key = format!("serendipity@{K}");
    let values = |model: usize| -> anyhow::Result<&UserValues> {
        reports[model].per_user(&key).ok_or_else(|| anyhow::anyhow!("no {key}"))
    };
    let names = ["even users", "odd users"].map(String::from).to_vec();
    let labels: Vec<Option<u32>> = (0..USERS).map(|user| Some(user % 2)).collect();
    let gaps = group_gaps(values(2)?, &Groups::from_labels(names, &labels)?)?;
    println!("\n{key} of taste differs by {:.3} between even and odd users", gaps.gap);

    let mut p = Vec::new();
    for other in [0, 1] {
        let (ours, theirs) = (values(2)?, values(other)?);
        anyhow::ensure!(ours.users() == theirs.users(), "pairs are of the same users");
        p.push(wilcoxon(ours.values(), theirs.values(), &WilcoxonConfig::default())?.p);
    }
    let adjusted = holm(&p)?;
    for ((other, p), adjusted) in ["popular", "random"].iter().zip(&p).zip(&adjusted) {
        println!("taste against {other}: p = {p:.1e}, after Holm's correction {adjusted:.1e}");
    }
    anyhow::ensure!(adjusted.iter().all(|p| *p < 0.01), "taste finds more");
    Ok(())
}

/// A fixed number for a user and an item, as good as drawn.
fn mixed(user: u32, item: u32) -> u32 {
    let x = (user * ITEMS + item + 1).wrapping_mul(0x9e37_79b9);
    (x ^ x >> 15).wrapping_mul(0x85eb_ca6b) >> 8
}

/// What users had, and what they went on to: mostly items of their taste, and a few hits that
/// everybody has.
fn world() -> anyhow::Result<(Interactions, Interactions)> {
    let (mut had, mut held) = (Vec::new(), Vec::new());
    for (user, item) in (0..USERS).flat_map(|u| (0..ITEMS).map(move |i| (u, i))) {
        let own = user % TASTES == item % TASTES;
        match (mixed(item, user) % 10, own, item < 10) {
            (0..=4, true, _) | (0..=6, false, true) => had.push((user, item)),
            (5..=7, true, _) => held.push((user, item)),
            _ => {}
        }
    }
    let table = |pairs| Interactions::from_pairs(USERS as usize, ITEMS as usize, pairs);
    Ok((table(had)?, table(held)?))
}

/// The best `K` items by `score` that the user has not had, ties by position.
fn fill(history: &Interactions, score: impl Fn(u32, u32) -> u32) -> Vec<Vec<ItemIdx>> {
    let list = |user: u32| {
        let new = |item: &ItemIdx| !history.contains(UserIdx(user), *item);
        let mut items: Vec<ItemIdx> = (0..ITEMS).map(ItemIdx).filter(new).collect();
        items.sort_by_key(|item| (std::cmp::Reverse(score(user, item.0)), *item));
        items.truncate(K);
        items
    };
    (0..USERS).map(list).collect()
}

/// Pictures that look like their taste; every eleventh item has none.
fn features() -> anyhow::Result<FeatureSet> {
    let pixel = |item: u32, at: u32| {
        let noise = (mixed(item, at) % 100) as f32 / 200.0;
        if at == item % TASTES { 1.0 + noise } else { noise }
    };
    let data = (0..ITEMS).flat_map(|item| (0..TASTES).map(move |at| pixel(item, at))).collect();
    let matrix = Matrix::from_vec(ITEMS as usize, TASTES as usize, data)?;
    let present = (0..ITEMS).map(|item| item % 11 != 0).collect();
    let mut set = FeatureSet::new(ITEMS as usize);
    set.push(ModalityFeatures::new(Modality::Image, matrix, present)?)?;
    Ok(set)
}
