//! Tests of steps by several workers and of users that are their histories.

use quintet_testkit::World;

use quintet_core::{ItemIdx, Triplet, UserIdx};

use super::*;
use crate::parity::context;

fn trainer(world: &World, config: TwoTowerConfig) -> TwoTowerTrainer {
    config.trainer(world.data(), &context()).unwrap()
}

fn small(workers: usize, candidates: Candidates, fusion: &str) -> TwoTowerConfig {
    // Dropout is drawn by shard, so it would be another.
    let no_dropout = (fusion == "bottleneck").then(|| serde_json::json!({ "dropout": 0.0 }));
    TwoTowerConfig {
        fusion_params: no_dropout.unwrap_or_default(),
        dim: 8,
        lr: 0.03,
        batch_size: 64,
        l2: 0.01,
        fusion: fusion.into(),
        candidates,
        workers,
        ..TwoTowerConfig::default()
    }
}

fn epochs(trainer: &mut TwoTowerTrainer, epochs: std::ops::RangeInclusive<usize>) {
    for epoch in epochs {
        trainer.epoch(epoch).unwrap();
    }
}

/// The first moments after one step are a tenth of its gradients.
fn gradients(world: &World, config: TwoTowerConfig) -> (f64, ModelState) {
    let mut trainer = trainer(world, config);
    let pairs: Vec<(u32, u32)> =
        world.train.iter().take(50).map(|t| (t.user.0, t.item.0)).collect();
    let mut rng = context().seed.rng("t", 0);
    let (batch, keep) = trainer.batch(&pairs, &mut rng);
    assert!(keep.contains(&0.0) && keep.contains(&1.0));
    let loss = trainer.step((&batch, &keep), &mut rng).unwrap();
    (loss, trainer.save().unwrap())
}

#[test]
fn gradients_of_several_workers_are_those_of_one() {
    let world = World::new();
    let forms = [
        (Candidates::Batch, UserVectors::Id),
        (Candidates::All, UserVectors::Id),
        (Candidates::Batch, UserVectors::History),
        (Candidates::Batch, UserVectors::IdHistory),
    ];
    for (candidates, users) in forms {
        for fusion in ["gated", "bottleneck"] {
            let config = |workers| TwoTowerConfig { users, ..small(workers, candidates, fusion) };
            let of = |workers| gradients(&world, config(workers));
            let (loss, one) = of(1);
            for workers in [2, 3, 7] {
                let (sharded, several) = of(workers);
                assert!((loss - sharded).abs() < 1e-5 * (1.0 + loss.abs()), "{loss} {sharded}");
                let moments = one.tensors.keys().filter(|key| key.ends_with(".m"));
                let mut compared = 0;
                for key in moments {
                    let (a, b) = (one.matrix(key).unwrap(), several.matrix(key).unwrap());
                    for (a, b) in a.as_slice().iter().zip(b.as_slice()) {
                        assert!((a - b).abs() < 1e-6, "{fusion} {workers} {key}: {a} {b}");
                        compared += usize::from(*a != 0.0);
                    }
                }
                assert!(compared > 300, "{compared} gradients that are not zero");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let world = World::new();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trainer = trainer(&world, small(3, Candidates::Batch, "gated"));
            epochs(&mut trainer, 1..=3);
            trainer.save().unwrap()
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn a_run_with_workers_goes_on_as_if_it_had_not_stopped() {
    let world = World::new();
    let config = small(2, Candidates::Batch, "gated");
    let mut whole = trainer(&world, config.clone());
    epochs(&mut whole, 1..=4);
    let mut first = trainer(&world, config.clone());
    epochs(&mut first, 1..=2);
    let mut second = trainer(&world, config);
    second.load(&first.save().unwrap()).unwrap();
    epochs(&mut second, 3..=4);
    assert_eq!(whole.save().unwrap(), second.save().unwrap());
}

/// Hidden modalities change the step, and all hidden is no training.
#[test]
fn modalities_are_hidden_in_training() {
    let world = World::new();
    let config = |modality_dropout| TwoTowerConfig {
        modality_dropout,
        ..small(1, Candidates::Batch, "concat")
    };
    let loss = |rate| gradients(&world, config(rate)).0;
    assert_eq!(loss(0.0), gradients(&world, small(1, Candidates::Batch, "concat")).0);
    assert_ne!(loss(0.0), loss(0.4));
    let refused = config(1.0).trainer(world.data(), &context());
    let text = refused.map(drop).unwrap_err().to_string();
    assert!(text.contains("modality_dropout"), "{text}");
}

fn with_history(users: UserVectors) -> TwoTowerConfig {
    TwoTowerConfig { users, id_dropout: 0.0, l2: 0.0, ..small(1, Candidates::Batch, "gated") }
}

/// `-ln softmax` of the equations in the head of `two_tower.rs`, one number after the other.
fn loss_by_hand(trainer: &TwoTowerTrainer, pairs: &[(u32, u32)]) -> f64 {
    let device = &trainer.device;
    let recipe = trainer.config.recipe();
    let (content, _) = recipe.rows(&*trainer.tower.fusion, &trainer.content, device).unwrap();
    let row = |item: u32| -> Vec<f64> {
        let halves = [content.row(item as usize), trainer.ids.values().row(item as usize)];
        halves.concat().into_iter().map(f64::from).collect()
    };
    let gains = tensor_to_vec(trainer.tower.gains().unwrap().inner()).unwrap();
    let train = &trainer.train;
    let mut rivals: Vec<u32> = pairs.iter().map(|pair| pair.1).collect();
    rivals.sort_unstable();
    rivals.dedup();
    let mut sum = 0.0;
    for &(user, target) in pairs {
        let of = train.items(UserIdx(user));
        let others: Vec<u32> = of.iter().map(|item| item.0).filter(|i| *i != target).collect();
        let root = (others.len().max(1) as f64).sqrt();
        let own = trainer.users.as_ref().map(|users| users.values().row(user as usize));
        let mut u: Vec<f64> = match own {
            Some(own) => own.iter().map(|v| f64::from(*v)).collect(),
            None => vec![0.0; gains.len()],
        };
        for item in others {
            let cells = u.iter_mut().zip(row(item)).zip(&gains);
            cells.for_each(|((u, v), gain)| *u += f64::from(*gain) * v / root);
        }
        let logit = |item: u32| -> f64 {
            let share = f64::from(trainer.counts[item as usize]) / train.nnz() as f64;
            let drawn = 1.0 - (1.0 - share).powf(pairs.len() as f64);
            let dot: f64 = u.iter().zip(row(item)).map(|(u, v)| u * v).sum();
            dot + f64::from(trainer.bias.values().row(item as usize)[0]) - drawn.ln()
        };
        let known = |item: &u32| *item != target && of.contains(&ItemIdx(*item));
        let all: f64 = rivals.iter().filter(|i| !known(i)).map(|i| logit(*i).exp()).sum();
        sum += all.ln() - logit(target);
    }
    sum / pairs.len() as f64
}

#[test]
fn the_loss_over_histories_is_that_of_the_equations() {
    let world = World::new();
    for users in [UserVectors::History, UserVectors::IdHistory] {
        let mut trainer = trainer(&world, with_history(users));
        epochs(&mut trainer, 1..=2);
        let pairs: Vec<(u32, u32)> =
            world.train.iter().step_by(7).take(40).map(|t| (t.user.0, t.item.0)).collect();
        let expected = loss_by_hand(&trainer, &pairs);
        let found = trainer.step_on(&pairs).unwrap();
        assert!((found - expected).abs() < 1e-5 * expected, "{users:?}: {found}, not {expected}");
    }
}

/// What was done without the item that is ranked, and no other users' items among the rivals.
#[test]
fn a_batch_has_the_histories_without_the_targets() {
    let pairs = [(0, 0), (0, 3), (0, 4), (1, 2), (2, 1), (2, 4)];
    let one = |&(user, item): &(u32, u32)| Triplet {
        user: UserIdx(user),
        item: ItemIdx(item),
        value: 1.0,
    };
    let train = Interactions::from_triplets(3, 5, pairs.iter().map(one)).unwrap();
    let drawn = [(0, 3), (1, 2)];
    let batch = SoftmaxBatch::new(&drawn, Candidates::Batch, &train.item_counts(), &train)
        .with_histories(&drawn, &train);
    assert_eq!(batch.candidates, [2, 3]);
    assert_eq!(batch.items, [2, 3, 0, 4]);
    let histories = batch.histories.unwrap();
    let half = 2.0f32.sqrt().recip();
    assert_eq!(histories.row(0), (&[2, 3][..], &[half, half][..]));
    assert_eq!(histories.row(1), (&[][..], &[][..]));
}

/// A user who is a history is ranked for as somebody new with that history, and by popularity
/// without any; with a vector of their own they are not.
#[test]
fn a_newcomer_with_the_same_history_gets_the_same_scores() {
    let world = World::new();
    for users in [UserVectors::History, UserVectors::IdHistory] {
        let mut trainer = trainer(&world, with_history(users));
        epochs(&mut trainer, 1..=3);
        let model = trainer.model().unwrap();
        let user = UserIdx(3);
        let history = world.train.items(user);
        let mut scores = Matrix::default();
        model.score(&[user], &mut scores).unwrap();
        let fold = |items: &[ItemIdx]| {
            let mut out = vec![0.0; model.n_items()];
            model.fold_in(items, &vec![1.0; items.len()], &mut out).unwrap();
            out
        };
        let folded = fold(history);
        let far = folded.iter().zip(scores.row(0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(far < 1e-5, users == UserVectors::History, "{users:?}: {far}");
        let turned: Vec<ItemIdx> = history.iter().rev().copied().collect();
        assert!(fold(&turned).iter().zip(&folded).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_eq!(fold(&[history, history].concat()), folded);
        assert_eq!(fold(&[]), model.factors().unwrap().bias);
    }
}

/// The reasons from the history add up to what the history adds to the score.
#[test]
fn reasons_from_a_history_are_what_its_items_add() {
    let world = World::new();
    let mut trainer = trainer(&world, with_history(UserVectors::History));
    epochs(&mut trainer, 1..=5);
    let model = trainer.model().unwrap();
    let (user, item) = (UserIdx(3), world.cold[0]);
    let history = world.train.items(user);
    let mut compared = 0;
    for own in history {
        let mut out = vec![0.0; model.n_items()];
        model.fold_in(&[*own], &[1.0], &mut out).unwrap();
        // Alone it would count `sqrt(n)` times as much.
        let adds = (out[item.index()] - model.factors().unwrap().bias[item.index()])
            / (history.len() as f32).sqrt();
        let reasons = model.explain(user, item, history, history.len()).unwrap();
        let said = reasons.iter().find_map(|reason| match reason {
            quintet_core::Reason::Because { item, weight } if item == own => Some(*weight),
            _ => None,
        });
        match said {
            Some(weight) => assert!((weight - adds).abs() < 1e-5, "{weight} for {adds}"),
            None => assert!(adds < 1e-6, "an item that adds {adds} is not named"),
        }
        compared += usize::from(said.is_some());
    }
    assert!(compared > 0, "no item of the history was named");
}

#[test]
fn a_run_over_histories_goes_on_as_if_it_had_not_stopped() {
    let world = World::new();
    let config = || with_history(UserVectors::History);
    let mut whole = trainer(&world, config());
    epochs(&mut whole, 1..=4);
    let mut first = trainer(&world, config());
    epochs(&mut first, 1..=2);
    let mut second = trainer(&world, config());
    second.load(&first.save().unwrap()).unwrap();
    epochs(&mut second, 3..=4);
    assert_eq!(whole.save().unwrap(), second.save().unwrap());
}

#[test]
fn no_worker_is_refused() {
    let world = World::new();
    let config = small(0, Candidates::Batch, "gated");
    let said = config.start(world.data(), &context()).err().unwrap().to_string();
    assert!(said.contains("workers must be between 1"), "{said}");
}
