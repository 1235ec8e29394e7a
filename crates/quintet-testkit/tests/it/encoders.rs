//! Encoders: letter counts of texts and colour grids of pictures, right and with one fault each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use quintet_core::{Modality, SeedStream};
use quintet_tensor::{
    DecodeKind, Device, EncodeError, EncoderEntry, EncoderInfo, EncoderSpec, MediaEncoder, RawMedia,
};
use quintet_testkit::check_encoder;
use serde_json::{Value, json};

use crate::{device, must_find};

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The vector holds the size of the batch.
    BatchMates,
    /// An empty text is a vector of zeros.
    EmptyAccepted,
    /// A refused item shifts the others.
    Crosstalk,
    /// Every fit gives another encoder.
    Seed,
    /// Only the length of the text counts.
    Constant,
    /// Too narrow a vector for long texts.
    Width,
}

const DIM: usize = 64;

struct Letters {
    info: EncoderInfo,
    fault: Fault,
    offset: f32,
}

impl Letters {
    fn vector(&self, text: &str) -> Vec<f32> {
        let mut v = vec![0.0; DIM];
        let mut hash = 7u32;
        for byte in text.bytes() {
            hash = hash.rotate_left(5).wrapping_mul(31) ^ u32::from(byte);
            v[(hash >> 8) as usize % DIM] += 1.0;
        }
        let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
        v.iter_mut().for_each(|x| *x = *x / norm + self.offset);
        match self.fault {
            Fault::Constant => vec![1.0; DIM],
            Fault::Width if text.len() > 100_000 => vec![1.0; 3],
            _ => v,
        }
    }

    fn encode_one(&self, media: &RawMedia) -> Result<Vec<f32>, EncodeError> {
        match media {
            RawMedia::Text(text) if text.trim().is_empty() => {
                if self.fault == Fault::EmptyAccepted {
                    return Ok(vec![0.0; DIM]);
                }
                Err(EncodeError::Decode {
                    origin: media.origin(),
                    kind: DecodeKind::Empty,
                    expected: "at least one letter".into(),
                    found: "none".into(),
                })
            }
            RawMedia::Text(text) => Ok(self.vector(text)),
            RawMedia::File(_) => Err(wrong_media("letters", "a text", media)),
        }
    }
}

fn wrong_media(encoder: &str, expected: &'static str, media: &RawMedia) -> EncodeError {
    EncodeError::WrongMedia { encoder: encoder.into(), expected, found: media.kind() }
}

impl MediaEncoder for Letters {
    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn encode(&self, media: &[&RawMedia], _device: &Device) -> Vec<Result<Vec<f32>, EncodeError>> {
        let mut results: Vec<_> = media.iter().map(|m| self.encode_one(m)).collect();
        let refused = results.iter().filter(|r| r.is_err()).count();
        let shift = match self.fault {
            Fault::BatchMates => media.len() as f32,
            Fault::Crosstalk => refused as f32,
            _ => 0.0,
        };
        results.iter_mut().flatten().flatten().for_each(|v| *v += shift);
        results
    }
}

struct LettersSpec(Fault);

impl EncoderSpec for LettersSpec {
    fn config(&self) -> Value {
        json!({})
    }

    fn fit(
        &self,
        _corpus: &[&RawMedia],
        _seed: SeedStream,
        _: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        static FITS: AtomicU32 = AtomicU32::new(1);
        let offset =
            if self.0 == Fault::Seed { FITS.fetch_add(1, Ordering::Relaxed) as f32 } else { 0.0 };
        let info = info("letters", Modality::Text, DIM);
        Ok(Box::new(Letters { info, fault: self.0, offset }))
    }
}

fn info(name: &str, modality: Modality, dim: usize) -> EncoderInfo {
    EncoderInfo { name: name.into(), modality, dim, limits: "none".into() }
}

/// Accepts no key at all.
fn no_params(encoder: &str, params: &Value) -> Result<(), EncodeError> {
    match params.as_object().and_then(|o| o.keys().next()) {
        None => Ok(()),
        Some(key) => Err(EncodeError::Config {
            encoder: encoder.into(),
            reason: format!("unknown parameter {key}"),
        }),
    }
}

fn letters(fault: Fault) -> EncoderEntry {
    EncoderEntry {
        name: "letters",
        modality: Modality::Text,
        summary: "hashed letters",
        weights: None,
        learn: None,
        build: Arc::new(move |params| {
            no_params("letters", params)?;
            Ok(Box::new(LettersSpec(fault)))
        }),
    }
}

/// Mean colours of a 4 × 4 grid and the size of the picture.
struct Grid(EncoderInfo);

impl Grid {
    fn encode_one(&self, media: &RawMedia) -> Result<Vec<f32>, EncodeError> {
        let RawMedia::File(path) = media else {
            return Err(wrong_media("grid", "a file", media));
        };
        let decode = |kind, found: String| EncodeError::Decode {
            origin: media.origin(),
            kind,
            expected: "a picture".into(),
            found,
        };
        let bytes = std::fs::read(path)
            .map_err(|source| EncodeError::Read { path: media.origin(), source })?;
        // The decoder fills the rest of a JPEG that ends too early with grey.
        if bytes.starts_with(&[0xff, 0xd8]) && !bytes.ends_with(&[0xff, 0xd9]) {
            return Err(decode(DecodeKind::Truncated, "no end marker".into()));
        }
        let picture = image::load_from_memory(&bytes)
            .map_err(|e| decode(DecodeKind::Corrupt, e.to_string()))?
            .to_rgb8();
        let small = image::imageops::resize(&picture, 4, 4, image::imageops::FilterType::Triangle);
        let mut v: Vec<f32> = small.as_raw().iter().map(|c| f32::from(*c) / 255.0).collect();
        v.extend([picture.width() as f32, picture.height() as f32]);
        Ok(v)
    }
}

impl MediaEncoder for Grid {
    fn info(&self) -> &EncoderInfo {
        &self.0
    }

    fn encode(&self, media: &[&RawMedia], _device: &Device) -> Vec<Result<Vec<f32>, EncodeError>> {
        media.iter().map(|m| self.encode_one(m)).collect()
    }
}

struct GridSpec;

impl EncoderSpec for GridSpec {
    fn config(&self) -> Value {
        json!({})
    }

    fn fit(
        &self,
        _corpus: &[&RawMedia],
        _seed: SeedStream,
        _: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        Ok(Box::new(Grid(info("grid", Modality::Image, 50))))
    }
}

#[test]
fn right_encoders_pass() {
    let grid = EncoderEntry {
        name: "grid",
        modality: Modality::Image,
        summary: "a colour grid",
        weights: None,
        learn: None,
        build: Arc::new(|params| {
            no_params("grid", params)?;
            Ok(Box::new(GridSpec))
        }),
    };
    for device in quintet_testkit::devices() {
        check_encoder(&letters(Fault::None), &device);
        check_encoder(&grid, &device);
    }
}

#[test]
fn every_fault_is_found() {
    let d = device();
    for (fault, name, says) in [
        (Fault::BatchMates, "reads batch mates", "batch mates matter"),
        (Fault::EmptyAccepted, "encodes nothing", "an empty text (text) was encoded"),
        (Fault::Crosstalk, "errors shift the rest", "broken media in the batch change"),
        (Fault::Seed, "ignores the seed", "with the same seed"),
        (Fault::Constant, "one vector for all", "different media have one vector"),
        (Fault::Width, "another width", "width of the vector of 200,000 letters"),
    ] {
        must_find(name, || check_encoder(&letters(fault), &d), says);
    }
}
