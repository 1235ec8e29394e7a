//! Scores of the whole catalogue for a user, by models that pass every item through a network.
//!
//!     cargo bench --profile dev -p quintet-models --bench scores

use std::error::Error;

use criterion::{BenchmarkId, Criterion, Throughput};
use quintet_core::{
    FeatureSet, Interactions, Matrix, Modality, ModalityFeatures, Registry, SeedStream, UserIdx,
};
use quintet_tensor::{Device, FitContext, Fitting, TrainingData};
use rand::RngExt;

const N_USERS: usize = 64;
const N_ITEMS: usize = 10_000;
/// Width of the features.
const WIDTH: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut rng = SeedStream::new(1).rng("bench-scores", 0);
    let draw = (0..N_USERS as u32).flat_map(|user| (0..20).map(move |nth| (user, nth)));
    let pairs = draw.map(|(user, nth)| (user, (user * 151 + nth * 499) % N_ITEMS as u32));
    let train = Interactions::from_pairs(N_USERS, N_ITEMS, pairs)?;
    let numbers = (0..N_ITEMS * WIDTH).map(|_| rng.random_range(-1.0..1.0)).collect();
    let rows = Matrix::from_vec(N_ITEMS, WIDTH, numbers)?;
    let mut features = FeatureSet::new(N_ITEMS);
    features.push(ModalityFeatures::new(Modality::Text, rows, vec![true; N_ITEMS])?)?;

    let mut known = Registry::new("model");
    quintet_models::register(&mut known)?;
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(1) };
    let users: Vec<UserIdx> = (0..16).map(UserIdx::new).collect();
    let mut group = criterion.benchmark_group("scores");
    group.throughput(Throughput::Elements((users.len() * N_ITEMS) as u64));
    let fit = (known.get("dmrs")?.build)(&serde_json::Value::Null)?;
    let Fitting::Epochs(mut trainer) = fit.start(TrainingData::new(&train, &features), &context)?
    else {
        return Err("dmrs has no epochs".into());
    };
    trainer.epoch(1)?;
    let model = trainer.model()?;
    let mut out = Matrix::default();
    // Fails here, with its message, rather than in the timed part.
    model.score(&users, &mut out)?;
    group.bench_function(
        BenchmarkId::new("dmrs", format!("{}_users_{N_ITEMS}_items", users.len())),
        |b| {
            b.iter(|| model.score(&users, &mut out));
        },
    );
    group.finish();
    criterion.final_summary();
    Ok(())
}
