//! A text encoder of one's own, registered beside the built-in ones.
//!
//! `hashed-trigrams`: every run of three letters falls into one of `dim` buckets (the hashing
//! trick, Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009);
//! the vector is the counts, scaled to length 1. No vocabulary, no corpus.
//! `cargo run --example custom_encoder`
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::sync::Arc;

use anyhow::Context as _;
use burn::tensor::Tensor;
use quintet::Registries;
use quintet::core::{Matrix, Modality, SeedStream};
use quintet::tensor::{
    DecodeKind, Device, DeviceChoice, EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo,
    EncoderSpec, MediaEncoder, RawMedia, matrix_to_tensor, open_device,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const NAME: &str = "hashed-trigrams";

/// The parameters, as `params` of an `[[encode]]` table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Number of buckets.
    dim: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { dim: 64 }
    }
}

struct HashedTrigrams(EncoderInfo);

impl Encoder for HashedTrigrams {
    type Raw = str;
    /// Counts by bucket, `[dim]`.
    type Prepared = Vec<f32>;

    fn info(&self) -> &EncoderInfo {
        &self.0
    }

    /// Runs on all cores; no tensors here.
    fn prepare(&self, text: &str) -> Result<Vec<f32>, EncodeError> {
        let letters: Vec<char> = text.to_lowercase().chars().collect();
        if letters.len() < 3 {
            return Err(EncodeError::Decode {
                origin: "text".into(),
                kind: DecodeKind::Empty,
                expected: "at least three letters".into(),
                found: format!("{text:?}"),
            });
        }
        let mut counts = vec![0.0f32; self.0.dim];
        for trigram in letters.windows(3) {
            // FNV-1a: the standard library's hashes are not the same in every build.
            let hash = trigram.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &c| {
                (h ^ u64::from(u32::from(c))).wrapping_mul(0x100_0000_01b3)
            });
            counts[(hash % self.0.dim as u64) as usize] += 1.0;
        }
        Ok(counts)
    }

    /// Gets micro-batches, `[batch, dim]`; a network would run here.
    fn forward(&self, batch: &[Vec<f32>], device: &Device) -> Result<Tensor<2>, EncodeError> {
        let counts = Matrix::from_vec(batch.len(), self.0.dim, batch.concat())
            .map_err(|e| EncodeError::Device(e.to_string()))?;
        let counts = matrix_to_tensor(&counts, device);
        let length = counts.clone().powi_scalar(2).sum_dim(1).sqrt(); // [batch, 1]
        Ok(counts / length)
    }
}

impl EncoderSpec for Config {
    fn config(&self) -> Value {
        json!({ "dim": self.dim })
    }

    /// An encoder with a vocabulary would learn it here, from the corpus.
    fn fit(
        &self,
        _: &[&RawMedia],
        _: SeedStream,
        _: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        let (name, limits) = (NAME.into(), "at least three letters".into());
        let info = EncoderInfo { name, modality: Modality::Text, dim: self.dim, limits };
        Ok(Box::new(EncoderFace::new(HashedTrigrams(info), open, 256)))
    }
}

/// From raw media to what `prepare` reads; an image encoder would decode a file here.
fn open(media: &RawMedia) -> Result<String, EncodeError> {
    match media {
        RawMedia::Text(text) => Ok(text.clone()),
        other => Err(EncodeError::WrongMedia {
            encoder: NAME.into(),
            expected: "a text",
            found: other.kind(),
        }),
    }
}

fn build(params: &Value) -> Result<Box<dyn EncoderSpec>, EncodeError> {
    let refused = |reason: String| EncodeError::Config { encoder: NAME.into(), reason };
    let params = if params.is_null() { json!({}) } else { params.clone() };
    let config: Config = serde_json::from_value(params).map_err(|e| refused(e.to_string()))?;
    if config.dim == 0 {
        return Err(refused("dim must be at least 1; found 0".into()));
    }
    Ok(Box::new(config))
}

fn main() -> anyhow::Result<()> {
    let mut known = Registries::new()?;
    known.encoders.add(EncoderEntry {
        name: NAME,
        modality: Modality::Text,
        summary: "counts of letter trigrams in hashed buckets",
        weights: None,
        learn: None,
        build: Arc::new(build),
    })?;
    println!("encoders: {}\n", known.encoders.names().collect::<Vec<_>>().join(", "));

    // From here on, nothing knows that this encoder is not a built-in one.
    let texts = ["guitar lessons for beginners", "a beginner's guitar lesson", "cold soup", "??"];
    let media = texts.map(|t| RawMedia::Text(t.into()));
    let media: Vec<&RawMedia> = media.iter().collect();
    let device = open_device(DeviceChoice::Auto)?.device;
    let spec = (known.encoders.get(NAME)?.build)(&json!({ "dim": 128 }))?;
    let encoder = spec.fit(&media, SeedStream::new(1), &device)?;
    let vectors = encoder.encode(&media, &device);
    let first = vectors[0].as_ref().ok().context("the first text has letters")?;
    let cosine = |v: &[f32]| first.iter().zip(v).map(|(a, b)| a * b).sum::<f32>();
    for (text, vector) in texts.iter().zip(&vectors) {
        match vector {
            Ok(v) => println!("{text:<30} likeness to the first {:.2}", cosine(v)),
            Err(e) => println!("{text:<30} left out, {}: {e}", e.code()),
        }
    }
    let like = |i: usize| vectors[i].as_ref().map_or(0.0, |v| cosine(v));
    anyhow::ensure!(like(1) > 2.0 * like(2) && vectors[3].is_err());
    // The vector of an item does not depend on the items in its batch.
    let alone = encoder.encode(&media[1..2], &device);
    anyhow::ensure!(alone[0].as_ref().ok() == vectors[1].as_ref().ok());
    Ok(())
}
