//! Tests of what users send and of what the server makes of it.

use quintet_core::ModelState;
use quintet_tensor::{Layer, Trainer};
use quintet_testkit::World;

use super::*;
use crate::parity::context;
use crate::two_tower::TwoTowerConfig;

fn base() -> FederatedTwoTowerConfig {
    FederatedTwoTowerConfig {
        dim: 8,
        id_dropout: 0.0,
        l2: 0.0,
        negatives: 0,
        rate: 1.0,
        lr: 0.25,
        ..FederatedTwoTowerConfig::default()
    }
}

fn server(world: &World, config: &FederatedTwoTowerConfig) -> Server {
    config.server(world.data(), &context()).unwrap()
}

/// All that is in the sum of a round.
fn round(server: &mut Server) -> server::RoundSum {
    server.sum(&mut context().seed.rng("t", 0)).unwrap()
}

#[test]
fn one_step_of_everybody_without_clip_and_noise_is_the_gradient_of_the_central_model() {
    let world = World::new();
    let mut server = server(&world, &base());
    let central = TwoTowerConfig {
        dim: 8,
        id_dropout: 0.0,
        l2: 0.0,
        candidates: crate::Candidates::All,
        ..TwoTowerConfig::default()
    };
    let mut trainer = central.trainer(world.data(), &context()).unwrap();
    let users = EmbeddingTable::from_matrix(server.users.clone(), AdamConfig::new(1.0));
    trainer.start_from(users, server.ids.clone(), &server.tower);
    let pairs: Vec<(u32, u32)> = world.train.iter().map(|t| (t.user.0, t.item.0)).collect();
    // Everybody has as many items, so that the mean over all is that of the users' means.
    let counts: Vec<usize> =
        world.users().map(|user| world.train.items(user).len()).filter(|n| *n > 0).collect();
    assert!(counts.iter().all(|n| *n == counts[0]));
    let loss = trainer.step_on(&pairs).unwrap();
    let central = trainer.save().unwrap();

    let sum = round(&mut server);
    let n_users = counts.len() as f32;
    assert!((sum.loss / sum.n as f64 - loss).abs() < 1e-5, "{loss}");
    // First moments after one step are a tenth of the gradient.
    let tenth = |state: &ModelState, key: &str| state.matrix(key).unwrap().clone();
    let mut compared = 0;
    let mut same = |what: &str, sum: f32, moment: f32| {
        let (found, expected) = (sum / n_users, moment / 0.1);
        assert!((found - expected).abs() < 1e-5, "{what}: {found} {expected}");
        compared += usize::from(expected != 0.0);
    };
    let (ids, bias) = (tenth(&central, "ids.m"), tenth(&central, "bias.m"));
    for (item, row) in sum.rows.chunks_exact(9).enumerate() {
        row[..8].iter().zip(ids.row(item)).for_each(|(s, m)| same("id", *s, *m));
        same("bias", row[8], bias.row(item)[0]);
    }
    let mut at = 0;
    for (nth, (name, weight)) in server.tower.weights().into_iter().enumerate() {
        let [rows, cols] = weight.dims();
        let moments = match central.matrix(&format!("adam.{nth}.m")) {
            Ok(m) => m.clone(),
            Err(_) => Matrix::zeros(rows, cols),
        };
        for (s, m) in sum.tower[at..at + rows * cols].iter().zip(moments.as_slice()) {
            same(&name, *s, *m);
        }
        at += rows * cols;
    }
    assert!(at == sum.tower.len() && compared > 500, "{compared} gradients that are not zero");
}

#[test]
fn nobody_moves_the_sum_by_more_than_the_clip() {
    let world = World::new();
    let norm = |sum: &server::RoundSum| {
        let squares = sum.tower.iter().chain(&sum.rows).map(|v| f64::from(*v).powi(2));
        squares.sum::<f64>().sqrt()
    };
    for local_epochs in [1, 3] {
        for clip in [1e-3f32, 0.05] {
            let config = FederatedTwoTowerConfig {
                clip: Some(clip),
                local_epochs,
                id_dropout: 0.3,
                ..base()
            };
            let federation = config.federation();
            let server = server(&world, &config);
            for user in 0..40 {
                let update = server.update_of(user);
                let sent: Vec<f32> =
                    update.tower.iter().chain(update.rows.values().flatten()).copied().collect();
                let whole = sent.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
                assert!(whole > f64::from(clip), "user {user} would send {whole}");
                let scale = f64::from(federation.scale(&sent));
                assert!(whole * scale <= f64::from(clip) * (1.0 + 1e-5));
            }
            // With and without the history of one user.
            let mut all = server;
            let whole = round(&mut all);
            let mut less = world.clone();
            let others = world.train.iter().filter(|t| t.user.0 != 7);
            less.train = quintet_core::Interactions::from_sorted(
                world.train.n_users(),
                world.train.n_items(),
                world.train.nnz(),
                others,
            )
            .unwrap();
            let mut rest = self::server(&less, &config);
            let mut without = round(&mut rest);
            let subtract = |to: &mut Vec<f32>, from: &[f32]| {
                to.iter_mut().zip(from).for_each(|(to, v)| *to -= v);
            };
            subtract(&mut without.tower, &whole.tower);
            subtract(&mut without.rows, &whole.rows);
            let moved = norm(&without);
            assert!(moved > 0.0 && moved <= f64::from(clip) * 1.001, "{moved} {clip}");
        }
    }
}

#[test]
fn the_number_of_workers_changes_no_bit_and_neither_does_a_pause() {
    let world = World::new();
    let config =
        FederatedTwoTowerConfig { rate: 0.5, clip: Some(0.5), noise: 0.3, negatives: 5, ..base() };
    let run = |workers: usize, pause: bool| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap();
        pool.install(|| {
            let mut now = server(&world, &config);
            assert_eq!(now.replicas.len(), workers);
            for epoch in 1..=3 {
                now.epoch(epoch).unwrap();
                if pause {
                    let state = now.save().unwrap();
                    now = server(&world, &config);
                    now.load(&state).unwrap();
                }
            }
            now.save().unwrap()
        })
    };
    let one = run(1, false);
    assert_eq!(one, run(3, false));
    assert_eq!(one, run(2, true));
}

#[test]
fn noise_spends_a_budget_that_is_told_and_moves_every_row() {
    let world = World::new();
    let config = FederatedTwoTowerConfig { rate: 0.5, clip: Some(0.5), noise: 2.0, ..base() };
    let mut noisy = server(&world, &config);
    let before = noisy.ids.values().clone();
    (1..=2).for_each(|epoch| {
        noisy.epoch(epoch).unwrap();
    });
    let after = noisy.ids.values();
    assert!((0..before.rows()).all(|item| before.row(item) != after.row(item)));
    let expected = quintet_tensor::epsilon(0.5, 2.0, 4, 0.1 / 41.0);
    let note = noisy.notes().join("");
    assert!(note.contains(&format!("({expected:.2}, 2.4e-3)")), "{note}");
    assert!(server(&world, &base()).notes().is_empty());
}

#[test]
fn what_does_not_fit_is_named() {
    let world = World::new();
    let said = |config: FederatedTwoTowerConfig| {
        config.start(world.data(), &context()).err().unwrap().to_string()
    };
    assert!(said(FederatedTwoTowerConfig { noise: 1.0, ..base() }).contains("clip must be given"));
    assert!(said(FederatedTwoTowerConfig { rate: 1.5, ..base() }).contains("rate"));
    assert!(said(FederatedTwoTowerConfig { id_dropout: 1.0, ..base() }).contains("id_dropout"));
}
