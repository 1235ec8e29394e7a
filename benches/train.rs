//! One training epoch of each kind of trained model, with its default parameters.

use criterion::{BenchmarkId, Criterion, Throughput};
use quintet::Registries;
use quintet::core::{FeatureSet, Interactions, Matrix, Modality, ModalityFeatures, SeedStream};
use quintet::tensor::{DeviceChoice, FitContext, Fitting, TrainingData, open_device};
use rand::RngExt;
use rand::seq::index::sample;
use serde_json::Value;

const N_USERS: usize = 1_000;
const N_ITEMS: usize = 2_000;
const EACH: usize = 40;
/// Width of the features of each modality.
const WIDTH: usize = 128;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let train = interactions()?;
    let features = features()?;
    let data = TrainingData::new(&train, &features);
    // The CPU on purpose: numbers of different machines should differ by the machine alone.
    let device = open_device(DeviceChoice::Flex)?.device;
    let context = FitContext { device, seed: SeedStream::new(1) };
    let known = Registries::new()?;

    let mut group = criterion.benchmark_group("train_one_epoch");
    group.throughput(Throughput::Elements(train.nnz() as u64));
    for name in ["bpr", "lightgcn", "two_tower"] {
        let fit = (known.models.get(name)?.build)(&Value::Null)?;
        let Fitting::Epochs(mut trainer) = fit.start(data, &context)? else {
            anyhow::bail!("{name} has no epochs");
        };
        // Fails here, with its message, rather than in the timed part; fills the caches too.
        let mut epoch = 1;
        trainer.epoch(epoch)?;
        let id = format!("{N_USERS}_users_{N_ITEMS}_items_{}_pairs", train.nnz());
        group.bench_function(BenchmarkId::new(name, id), |b| {
            b.iter(|| {
                epoch += 1;
                trainer.epoch(epoch)
            });
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn interactions() -> anyhow::Result<Interactions> {
    let mut rng = SeedStream::new(1).rng("bench-interactions", 0);
    let mut pairs = Vec::with_capacity(N_USERS * EACH);
    for user in 0..N_USERS as u32 {
        pairs.extend(sample(&mut rng, N_ITEMS, EACH).into_iter().map(|i| (user, i as u32)));
    }
    Ok(Interactions::from_pairs(N_USERS, N_ITEMS, pairs)?)
}

/// Text and image vectors; every tenth item has no image.
fn features() -> anyhow::Result<FeatureSet> {
    let mut rng = SeedStream::new(1).rng("bench-features", 0);
    let mut set = FeatureSet::new(N_ITEMS);
    for modality in [Modality::Text, Modality::Image] {
        let numbers = (0..N_ITEMS * WIDTH).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        let matrix = Matrix::from_vec(N_ITEMS, WIDTH, numbers)?;
        let present = (0..N_ITEMS).map(|i| modality == Modality::Text || i % 10 != 0).collect();
        set.push(ModalityFeatures::new(modality, matrix, present)?)?;
    }
    Ok(set)
}
