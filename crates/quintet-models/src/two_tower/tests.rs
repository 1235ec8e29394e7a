//! Tests of steps by several workers.

use quintet_testkit::World;

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
    for candidates in [Candidates::Batch, Candidates::All] {
        for fusion in ["gated", "bottleneck"] {
            let of = |workers| gradients(&world, small(workers, candidates, fusion));
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

#[test]
fn no_worker_is_refused() {
    let world = World::new();
    let config = small(0, Candidates::Batch, "gated");
    let said = config.start(world.data(), &context()).err().unwrap().to_string();
    assert!(said.contains("workers must be between 1"), "{said}");
}
