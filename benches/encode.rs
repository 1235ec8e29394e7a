//! Encoders on generated media: JPEG files to colour and gradient features, texts to TF-IDF.

use std::path::Path;

use anyhow::Context as _;
use criterion::{BenchmarkId, Criterion, Throughput};
use image::{Rgb, RgbImage};
use quintet::Registries;
use quintet::core::SeedStream;
use quintet::tensor::{Device, DeviceChoice, MediaEncoder, RawMedia, open_device};
use rand::RngExt;
use serde_json::Value;

const N_IMAGES: usize = 32;
/// Width and height, about those of a poster.
const SIZE: (u32, u32) = (300, 450);
const N_TEXTS: usize = 1_000;
const WORDS: usize = 60;
/// Different words there are.
const VOCABULARY: f64 = 5_000.0;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let device = open_device(DeviceChoice::Flex)?.device;
    let known = Registries::new()?;
    let dir = tempfile::tempdir()?;
    let images = images(dir.path())?;
    let texts = texts();
    let mut group = criterion.benchmark_group("encode");

    let spec = (known.encoders.get("colour-gradient")?.build)(&Value::Null)?;
    let encoder = spec.fit(&[], SeedStream::new(1), &Device::flex())?;
    all_encoded(&*encoder, &images, &device)?;
    let id = format!("{N_IMAGES}_jpegs_{}x{}", SIZE.0, SIZE.1);
    group.throughput(Throughput::Elements(N_IMAGES as u64));
    group.bench_function(BenchmarkId::new("colour-gradient", id), |b| {
        let images: Vec<&RawMedia> = images.iter().collect();
        b.iter(|| encoder.encode(&images, &device));
    });

    let spec = (known.encoders.get("tfidf-svd")?.build)(&Value::Null)?;
    let corpus: Vec<&RawMedia> = texts.iter().collect();
    let encoder = spec.fit(&corpus, SeedStream::new(1), &Device::flex())?;
    all_encoded(&*encoder, &texts, &device)?;
    let id = format!("{N_TEXTS}_texts_{WORDS}_words");
    group.throughput(Throughput::Elements(N_TEXTS as u64));
    group.bench_function(BenchmarkId::new("tfidf-svd_fit", &id), |b| {
        b.iter(|| {
            spec.fit(&corpus, SeedStream::new(1), &Device::flex()).map(|encoder| encoder.info().dim)
        });
    });
    group.bench_function(BenchmarkId::new("tfidf-svd", &id), |b| {
        b.iter(|| encoder.encode(&corpus, &device));
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Fails with the message of the first item that could not be encoded.
fn all_encoded(
    encoder: &dyn MediaEncoder,
    media: &[RawMedia],
    device: &Device,
) -> anyhow::Result<()> {
    let media: Vec<&RawMedia> = media.iter().collect();
    for (i, vector) in encoder.encode(&media, device).into_iter().enumerate() {
        vector.with_context(|| format!("item {i}"))?;
    }
    Ok(())
}

/// Smooth colours with some noise, as JPEG files in `dir`.
fn images(dir: &Path) -> anyhow::Result<Vec<RawMedia>> {
    let mut media = Vec::new();
    for i in 0..N_IMAGES {
        let mut rng = SeedStream::new(1).rng("bench-images", i as u64);
        let hue: [f32; 3] = std::array::from_fn(|_| rng.random_range(0.2..1.0));
        let picture = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            let light = 120.0 + 100.0 * (x as f32 / 40.0).sin() * (y as f32 / 60.0).cos();
            Rgb(hue.map(|h| (light * h + rng.random_range(-8.0..8.0)).clamp(0.0, 255.0) as u8))
        });
        let path = dir.join(format!("{i}.jpg"));
        picture.save(&path)?;
        media.push(RawMedia::File(path));
    }
    Ok(media)
}

/// Words whose frequencies fall roughly as in language (Zipf): the square of a uniform number,
/// twice, picks the frequent ones most.
fn texts() -> Vec<RawMedia> {
    (0..N_TEXTS)
        .map(|i| {
            let mut rng = SeedStream::new(1).rng("bench-texts", i as u64);
            let mut word = || format!("w{}", (rng.random::<f64>().powi(4) * VOCABULARY) as u32);
            RawMedia::Text((0..WORDS).map(|_| word()).collect::<Vec<_>>().join(" "))
        })
        .collect()
}
