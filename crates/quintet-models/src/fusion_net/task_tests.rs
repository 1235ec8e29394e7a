//! Tests of the heads of the fusion network: gradients, learning, and what tasks give each other.

use std::collections::BTreeMap;

use quintet_core::{Behaviours, FeatureSet, ItemIdx, Matrix, UserIdx, top_k};
use quintet_tensor::{Layer, dot, matrix_to_tensor, normal_matrix, tensor_to_vec};
use quintet_testkit::World;

use super::*;
use crate::parity::context;

fn named(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

fn shares(shares: &[(&str, f32)]) -> BTreeMap<String, f32> {
    shares.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect()
}

/// A small network without dropout over the world of the contract suite.
fn small(tasks: Tasks) -> FusionNetConfig {
    FusionNetConfig {
        dim: 4,
        layers: 1,
        dropout: 0.0,
        id_dropout: 0.0,
        l2: 0.0,
        lr: 0.02,
        batch_size: 64,
        tasks: Some(tasks),
        ..FusionNetConfig::default()
    }
}

/// The loss of the first batch of the first epoch, and the gradient of every weight.
fn loss_and_gradients(trainer: &FusionNetTrainer) -> (f64, Vec<Vec<f32>>) {
    let mut rng = context().seed.rng("task-tests", 0);
    let ranking = trainer.rankings(1).next().unwrap();
    let batch = trainer.batch(ranking, &mut rng);
    let device = &trainer.device;
    let mut dropout = Dropout::new(0.0, rng.clone());
    let views = trainer.content.as_ref().map(|content| content.views(&batch.items, device));
    let ids = trainer.ids.leaf(&batch.items, device);
    let v = trainer.net.items(views.as_ref(), Some(ids), &mut dropout);
    let u = trainer.net.users(trainer.users.leaf(&batch.users, device), &mut dropout);
    let facts = views.as_ref().map(net::facts);
    let objective = Objective {
        net: &trainer.net,
        batch: &batch,
        facts,
        config: &trainer.config,
        robust: trainer.robust,
    };
    let (loss, value) = objective.at((u, v), None, &mut rng).unwrap();
    let grads = loss.backward();
    let of = |weight: &quintet_tensor::Weight| match weight.tensor().grad(&grads) {
        Some(grad) => tensor_to_vec(grad).unwrap(),
        None => vec![0.0; weight.dims().iter().product()],
    };
    let all = trainer.net.weights().into_iter().map(|(_, weight)| of(weight)).collect();
    (loss_value(value).unwrap(), all)
}

/// Every gradient against differences of the loss, of every form of the objective whose loss is
/// one sum.
#[test]
fn gradients_are_those_of_the_loss() {
    let world = World::new();
    let all = Tasks { value_of: Some("rating".into()), ..Tasks::default() };
    let weights = shares(&[("click", 0.5), ("value", 2.0)]);
    let heads = named(&["click", "purchase"]);
    let vary = Diversity { weight: 0.7, candidates: 8, users: 8, ..Diversity::default() };
    let forms = [
        small(Tasks { heads: heads.clone(), weights, ..all.clone() }),
        FusionNetConfig {
            diversity: Some(vary),
            ..small(Tasks { weighting: Weighting::Uncertainty, ..all.clone() })
        },
        FusionNetConfig {
            loss: RankingLoss::Bce,
            negatives: 2,
            ..small(Tasks { heads, chain: true, ..all })
        },
        FusionNetConfig {
            loss: RankingLoss::Bce,
            robust: Some(Robust::Generalised { q: 0.6 }),
            ..small(Tasks::default())
        },
    ];
    for (form, config) in forms.into_iter().enumerate() {
        let mut trainer = config.trainer(world.data(), &context()).unwrap();
        // Away from the start, where all heads are alike.
        let mut rng = context().seed.rng("scatter", form as u64);
        let device = trainer.device.clone();
        for weight in trainer.net.weights_mut() {
            let mut moved = weight.to_matrix().unwrap();
            let by = normal_matrix(moved.rows(), moved.cols(), 0.3, &mut rng);
            moved.as_mut_slice().iter_mut().zip(by.as_slice()).for_each(|(x, by)| *x += by);
            weight.set(matrix_to_tensor(&moved, &device));
        }
        let (_, found) = loss_and_gradients(&trainer);
        let names: Vec<String> = trainer.net.weights().into_iter().map(|(name, _)| name).collect();
        for (at, name) in names.iter().enumerate() {
            let start = trainer.net.weights()[at].1.to_matrix().unwrap();
            for place in 0..start.as_slice().len().min(4) {
                let mut value = |step: f32| {
                    let mut moved = start.clone();
                    moved.as_mut_slice()[place] += step;
                    trainer.net.weights_mut()[at].set(matrix_to_tensor(&moved, &device));
                    loss_and_gradients(&trainer).0
                };
                let expected = (value(4e-3) - value(-4e-3)) / 8e-3;
                trainer.net.weights_mut()[at].set(matrix_to_tensor(&start, &device));
                let found = f64::from(found[at][place]);
                let near = (found - expected).abs() < 4e-3 * (1.0 + expected.abs());
                assert!(near, "form {form}, {name}, {place}: {found}, by differences {expected}");
            }
        }
    }
}

fn fitted(config: &FusionNetConfig, data: TrainingData<'_>, epochs: usize) -> Box<dyn Recommender> {
    let mut trainer = config.trainer(data, &context()).unwrap();
    for epoch in 1..=epochs {
        trainer.epoch(epoch).unwrap();
    }
    trainer.model().unwrap()
}

fn scores(model: &dyn Recommender, users: usize) -> Matrix {
    let mut out = Matrix::default();
    model.score(&(0..users).map(UserIdx::new).collect::<Vec<_>>(), &mut out).unwrap();
    out
}

/// Mean score over the pairs of `cells`, and over all others.
fn means(scores: &Matrix, cells: &Interactions) -> (f32, f32) {
    let (mut inside, mut outside) = ((0.0, 0.0), (0.0, 0.0));
    for user in 0..scores.rows() {
        for (item, score) in scores.row(user).iter().enumerate() {
            let of = match cells.contains(UserIdx::new(user), ItemIdx::new(item)) {
                true => &mut inside,
                false => &mut outside,
            };
            *of = (of.0 + score, of.1 + 1.0);
        }
    }
    (inside.0 / inside.1, outside.0 / outside.1)
}

/// Clicks on one half of the catalogue and purchases of another, of every second item each: a head
/// learns its own by heart. What is of another kind is a negative for `bce` alone, so `bpr` may rank
/// the three items of the other kind among the three of its own.
#[test]
fn every_head_learns_its_own_kind() {
    const N: u32 = 12;
    let pick = |user: u32, from: u32| (0..3).map(move |nth| (user, from + (user + 2 * nth) % 6));
    let of = |from: u32| {
        let pairs = (0..N).flat_map(|user| pick(user, from));
        Interactions::from_pairs(N as usize, N as usize, pairs).unwrap()
    };
    let (clicks, bought) = (of(0), of(6));
    let kinds = [("click".to_owned(), clicks.clone()), ("purchase".to_owned(), bought.clone())];
    let behaviours = Behaviours::new(kinds).unwrap();
    let none = FeatureSet::new(N as usize);
    let data = TrainingData::new(&bought, &none).with_behaviours(&behaviours);
    let ways = [
        Weighting::Fixed,
        Weighting::Uncertainty,
        Weighting::Pareto,
        Weighting::PcGrad,
        Weighting::GradNorm,
    ];
    for (loss, k) in [(RankingLoss::Bpr, 6), (RankingLoss::Bce, 3)] {
        for weighting in ways {
            for (head, own) in [("click", &clicks), ("purchase", &bought)] {
                let serve = shares(&[(head, 1.0)]);
                let base = small(Tasks { weighting, serve, ..Tasks::default() });
                let config = FusionNetConfig { dim: 16, lr: 0.03, batch_size: 36, loss, ..base };
                let found = scores(&*fitted(&config, data, 100), N as usize);
                let right = (0..N as usize).map(|user| {
                    let list = top_k(found.row(user), k, |_| false);
                    list.iter().filter(|s| own.contains(UserIdx::new(user), s.item)).count()
                });
                let right: usize = right.sum();
                assert!(right >= 33, "{loss:?} {weighting:?} {head}: {right} of 36");
            }
        }
    }
}

#[test]
fn values_are_predicted_by_a_head_of_their_own() {
    let world = World::new();
    let tasks = Tasks {
        heads: named(&["click"]),
        value_of: Some("rating".into()),
        serve: shares(&[("value", 1.0)]),
        ..Tasks::default()
    };
    let model = fitted(&FusionNetConfig { dim: 8, ..small(tasks) }, world.data(), 60);
    let found = scores(&*model, world.train.n_users() - 1);
    // Of pairs that were rated: 5 in the own group, 1 by accident. 720 and 40 of them have mean
    // 4.789 and deviation 0.893, so the fives are at 0.236 and the ones at -4.242.
    let mean = |rating: f32| {
        let rated: Vec<f32> = world
            .train
            .iter()
            .filter(|t| t.value == rating)
            .map(|t| found.row(t.user.index())[t.item.index()])
            .collect();
        rated.iter().sum::<f32>() / rated.len() as f32
    };
    let (five, one) = (mean(5.0), mean(1.0));
    assert!((five - 0.236).abs() < 0.3 && (one + 4.242).abs() < 1.0, "{five} {one}");
}

#[test]
fn a_product_of_heads_is_served_saved_and_given_other_features() {
    let world = World::new();
    let config = FusionNetConfig {
        loss: RankingLoss::Bce,
        ..small(Tasks { heads: named(&["click", "purchase"]), chain: true, ..Tasks::default() })
    };
    assert!(config.reads_behaviours() && !FusionNetConfig::default().reads_behaviours());
    let model = fitted(&config, world.data(), 40);
    assert!(model.factors().is_none());
    let found = scores(&*model, 41);
    assert!(found.as_slice().iter().all(|score| *score <= 0.0), "logarithms of probabilities");
    let (bought, others) = means(&found, world.behaviours.get("purchase").unwrap());
    assert!(bought > others + 1.0, "{bought} {others}");

    let loaded = FusionNetModel::load(&model.state()).unwrap();
    assert_eq!(scores(&loaded, 41), found);
    let again = loaded.with_features(&world.features).unwrap();
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * (1.0 + a.abs());
    assert!(scores(&*again, 41).as_slice().iter().zip(found.as_slice()).all(near));

    // Without content, what nobody used is below all else.
    let none = FeatureSet::new(world.train.n_items());
    let mut data = world.data();
    data.features = &none;
    let found = scores(&*fitted(&config, data, 5), 40);
    for user in 0..40 {
        let lowest = found.row(user)[..40].iter().copied().fold(f32::INFINITY, f32::min);
        assert!(world.cold.iter().all(|item| found.row(user)[item.index()] <= lowest));
    }
}

#[test]
fn settings_that_do_not_fit_are_named() {
    let world = World::new();
    let said =
        |config: FusionNetConfig| config.start(world.data(), &context()).err().unwrap().to_string();
    let tasks = |tasks: Tasks| said(small(tasks));
    let base = Tasks::default;
    let view = tasks(Tasks { heads: named(&["view"]), ..base() });
    assert!(view.contains("\"view\"; the log has: click, purchase, rating"), "{view}");
    assert!(tasks(Tasks { heads: named(&[]), ..base() }).contains("tasks.heads"));
    assert!(
        tasks(Tasks { heads: named(&["click", "click"]), ..base() }).contains("each kind once")
    );
    let serve = tasks(Tasks { serve: shares(&[("buy", 1.0)]), ..base() });
    assert!(serve.contains("tasks.serve") && serve.contains("click, purchase, rating"), "{serve}");
    assert!(tasks(Tasks { serve: shares(&[("click", 0.0)]), ..base() }).contains("above 0"));
    assert!(tasks(Tasks { chain: true, ..base() }).contains("bce beside tasks.chain"));
    let softmax = RankingLoss::SampledSoftmax;
    assert!(said(FusionNetConfig { loss: softmax, ..small(base()) }).contains("bpr or bce"));
    let way = Diversity { weighting: Weighting::Pareto, ..Diversity::default() };
    let both = said(FusionNetConfig { diversity: Some(way), ..small(base()) });
    assert!(both.contains("diversity.weighting"), "{both}");
    let robust = Some(Robust::Generalised { q: 2.0 });
    assert!(said(FusionNetConfig { robust, ..small(base()) }).contains("robust.q"));
    let mut data = world.data();
    data.behaviours = None;
    let said = small(base()).start(data, &context()).err().unwrap().to_string();
    assert!(said.contains("TrainingData::behaviours"), "{said}");
}

/// Tastes of four dimensions decide on clicks; a purchase is one click in ten or so, by the same
/// tastes and by how well made the item is. One purchase of a user is held out.
struct Shop {
    behaviours: Behaviours,
    purchases: Interactions,
    held_out: Vec<Vec<ItemIdx>>,
}

fn shop() -> Shop {
    const USERS: usize = 300;
    const ITEMS: usize = 150;
    let mut rng = SeedStream::new(11).rng("shop", 0);
    let mut drawn = |rows: usize, cols: usize| normal_matrix(rows, cols, 1.0, &mut rng);
    let (users, items, made) = (drawn(USERS, 4), drawn(ITEMS, 4), drawn(ITEMS, 1));
    let (mut clicks, mut purchases) = (Vec::new(), Vec::new());
    let mut held_out = vec![Vec::new(); USERS];
    for (user, held_out) in held_out.iter_mut().enumerate() {
        let mut bought = Vec::new();
        for item in 0..ITEMS {
            let liking = dot(users.row(user), items.row(item));
            let chance = |x: f32| 1.0 / (1.0 + (-x).exp());
            if rng.random::<f32>() > chance(1.2 * liking - 2.0) {
                continue;
            }
            clicks.push((user as u32, item as u32));
            if rng.random::<f32>() < chance(0.8 * liking + 1.2 * made.row(item)[0] - 4.6) {
                bought.push(item as u32);
            }
        }
        bought.shuffle(&mut rng);
        let n = usize::from(bought.len() > 1);
        held_out.extend(bought[..n].iter().map(|item| ItemIdx(*item)));
        clicks.retain(|pair| pair.0 != user as u32 || !bought[..n].contains(&pair.1));
        purchases.extend(bought[n..].iter().map(|item| (user as u32, *item)));
    }
    let clicks = Interactions::from_pairs(USERS, ITEMS, clicks).unwrap();
    let purchases = Interactions::from_pairs(USERS, ITEMS, purchases).unwrap();
    let kinds = [("click".to_owned(), clicks), ("purchase".to_owned(), purchases.clone())];
    Shop { behaviours: Behaviours::new(kinds).unwrap(), purchases, held_out }
}

/// Share of the held-out purchases among the ten best of what a user has not met.
fn recall(shop: &Shop, model: &dyn Recommender) -> f64 {
    let found = scores(model, shop.purchases.n_users());
    let clicked = shop.behaviours.get("click").unwrap();
    let (mut hits, mut all) = (0, 0);
    for (user, held) in shop.held_out.iter().enumerate() {
        let had = |item: ItemIdx| clicked.contains(UserIdx::new(user), item);
        let list = top_k(found.row(user), 10, had);
        hits += list.iter().filter(|s| held.contains(&s.item)).count();
        all += held.len();
    }
    hits as f64 / all as f64
}

/// The best recall of a fit, of several moments: more training than is good counts against nobody.
fn best_recall(shop: &Shop, heads: &[&str], loss: RankingLoss, seed: u64) -> f64 {
    const STEPS: usize = 480;
    let none = FeatureSet::new(shop.purchases.n_items());
    let data = TrainingData::new(&shop.purchases, &none).with_behaviours(&shop.behaviours);
    let serve = shares(&[("purchase", 1.0)]);
    let config = FusionNetConfig {
        dim: 16,
        layers: 0,
        dropout: 0.0,
        lr: 0.02,
        batch_size: 512,
        negatives: 2,
        l2: 1e-2,
        loss,
        tasks: Some(Tasks { heads: named(heads), serve, ..Tasks::default() }),
        ..FusionNetConfig::default()
    };
    let context = FitContext { seed: SeedStream::new(seed), ..context() };
    let mut trainer = config.trainer(data, &context).unwrap();
    let epochs = STEPS.div_ceil(trainer.sampler.n_batches(512));
    let mut best = 0.0f64;
    for epoch in 1..=epochs {
        trainer.epoch(epoch).unwrap();
        if epoch % (epochs / 8) == 0 {
            best = best.max(recall(shop, &*trainer.model().unwrap()));
        }
    }
    best
}

#[test]
fn sparse_purchases_are_ranked_better_beside_clicks() {
    let shop = shop();
    let clicks = shop.behaviours.get("click").unwrap().nnz();
    let (bought, held): (usize, usize) =
        (shop.purchases.nnz(), shop.held_out.iter().map(Vec::len).sum());
    assert!(clicks > 8 * bought && held > 150, "{clicks} {bought} {held}");
    for loss in [RankingLoss::Bpr, RankingLoss::Bce] {
        let mean = |heads: &[&str]| {
            (1..=2).map(|seed| best_recall(&shop, heads, loss, seed)).sum::<f64>() / 2.0
        };
        let (alone, beside) = (mean(&["purchase"]), mean(&["click", "purchase"]));
        assert!(beside > alone + 0.03, "{loss:?}: alone {alone:.3}, beside clicks {beside:.3}");
    }
}
