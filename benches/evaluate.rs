//! Full-ranking evaluation of a model in dot-product form: scoring, top-k, metrics.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use quintet::core::{Capability, Held, Interactions, Matrix, SeedStream, Test};
use quintet::metrics::{EvalConfig, evaluate};
use quintet::tensor::FactorModel;
use rand::RngExt;
use rand::seq::index::sample;

const N_USERS: usize = 2_000;
const N_ITEMS: usize = 5_000;
const DIM: usize = 64;
/// Items that a user has seen, and that are masked.
const SEEN: usize = 40;
/// Items that are held out for a user.
const HELD: usize = 10;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let model = model()?;
    let (seen, held) = interactions()?;
    let config = EvalConfig::default();
    // Fails here, with its message, rather than in the timed part.
    evaluate(&model, &held, &seen, &config)?;

    let mut group = criterion.benchmark_group("evaluate");
    group.throughput(Throughput::Elements((N_USERS * N_ITEMS) as u64));
    let id = BenchmarkId::new("full_ranking", format!("{N_USERS}_users_{N_ITEMS}_items_dim_{DIM}"));
    group.bench_function(id, |b| {
        b.iter(|| evaluate(black_box(&model), &held, &seen, &config));
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn model() -> anyhow::Result<FactorModel> {
    let mut rng = SeedStream::new(1).rng("bench-factors", 0);
    let mut random = |rows: usize, cols: usize| {
        let numbers = (0..rows * cols).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        Matrix::from_vec(rows, cols, numbers)
    };
    let (users, items, bias) = (random(N_USERS, DIM)?, random(N_ITEMS, DIM)?, random(1, N_ITEMS)?);
    Ok(FactorModel::new("bench", users, items, bias.into_vec(), Capability::personal())?)
}

/// Seen and held-out items without a common pair.
fn interactions() -> anyhow::Result<(Interactions, Held<Test>)> {
    let mut rng = SeedStream::new(1).rng("bench-interactions", 0);
    let (mut seen, mut held) = (Vec::new(), Vec::new());
    for user in 0..N_USERS as u32 {
        let items = sample(&mut rng, N_ITEMS, SEEN + HELD);
        for (place, item) in items.into_iter().enumerate() {
            let part = if place < SEEN { &mut seen } else { &mut held };
            part.push((user, item as u32));
        }
    }
    let seen = Interactions::from_pairs(N_USERS, N_ITEMS, seen)?;
    Ok((seen, Held::new(Interactions::from_pairs(N_USERS, N_ITEMS, held)?)))
}
