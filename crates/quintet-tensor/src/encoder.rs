//! From raw media to vectors.

use std::borrow::Borrow;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use quintet_core::{Modality, Named, SeedStream};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use crate::{EncodeError, tensor_to_vec};

/// What the catalogue holds for one item in one modality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawMedia {
    /// Text held in memory.
    Text(String),
    /// A media file, or a folder of frames.
    File(PathBuf),
}

impl RawMedia {
    /// What an error calls it: the path, or `text`.
    pub fn origin(&self) -> String {
        match self {
            RawMedia::Text(_) => "text".to_owned(),
            RawMedia::File(path) => path.display().to_string(),
        }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            RawMedia::Text(_) => "a text",
            RawMedia::File(_) => "a file",
        }
    }
}

/// What an encoder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EncoderInfo {
    /// Registry name.
    pub name: String,
    /// What it reads.
    pub modality: Modality,
    /// Width of its vectors.
    pub dim: usize,
    /// What a person should know of its limits, such as `at most 64 megapixels`.
    pub limits: String,
}

/// An architecture: raw input to a prepared form on the host, prepared forms to vectors.
///
/// `prepare` runs on all cores and uses no tensor; `forward` gets micro-batches. The vector of
/// an item must not depend on its batch mates. Four items to write; everything object-safe
/// comes from [`EncoderFace`].
pub trait Encoder: Send + Sync {
    /// What is encoded: `str`, a decoded image, a waveform, a clip.
    type Raw: ?Sized;
    /// Tokens, resized pixels, log-mel frames …
    type Prepared: Send;

    /// Name, modality, width.
    fn info(&self) -> &EncoderInfo;

    /// Brings one raw input into the form `forward` takes.
    ///
    /// # Errors
    /// The input cannot be encoded.
    fn prepare(&self, raw: &Self::Raw) -> Result<Self::Prepared, EncodeError>;

    /// Vectors of a micro-batch, `[batch, dim]`.
    ///
    /// # Errors
    /// The device failed.
    fn forward(&self, batch: &[Self::Prepared], device: &Device) -> Result<Tensor<2>, EncodeError>;
}

/// The object-safe face of an encoder: media in, vectors out.
pub trait MediaEncoder: Send + Sync {
    /// Name, modality, width.
    fn info(&self) -> &EncoderInfo;

    /// One result for each of `media`, in order: a vector of width `info().dim`, or why not.
    fn encode(&self, media: &[&RawMedia], device: &Device) -> Vec<Result<Vec<f32>, EncodeError>>;
}

/// An encoder with its parameters, before it has seen the corpus.
pub trait EncoderSpec: Send + Sync {
    /// The parameters with all defaults filled in, as written beside the features.
    fn config(&self) -> Value;

    /// Fits what has to be fitted (a vocabulary, a projection), puts what has been trained onto
    /// the device that [`Encoder::forward`] will be called with, and gives the encoder. Encoders
    /// with nothing to fit ignore the corpus, those without arrays the device.
    ///
    /// # Errors
    /// The corpus is not enough, or trained weights do not fit the architecture.
    fn fit(
        &self,
        corpus: &[&RawMedia],
        seed: SeedStream,
        device: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError>;
}

/// Builds a spec from its parameters.
pub type BuildEncoder =
    Arc<dyn Fn(&Value) -> Result<Box<dyn EncoderSpec>, EncodeError> + Send + Sync>;

/// One registered encoder.
#[derive(Clone)]
pub struct EncoderEntry {
    /// Registry name.
    pub name: &'static str,
    /// What it reads.
    pub modality: Modality,
    /// One line for lists.
    pub summary: &'static str,
    /// The files that its parameter `weights` names, for those that others have trained. They
    /// have no defaults.
    pub weights: Option<&'static str>,
    /// Builds it from parameters; `null` means the defaults.
    pub build: BuildEncoder,
}

impl Named for EncoderEntry {
    fn name(&self) -> &str {
        self.name
    }
}

/// How raw media becomes what an encoder reads.
pub type Open<O> = fn(&RawMedia) -> Result<O, EncodeError>;

/// Gives an [`Encoder`] the object-safe face, once for all: decode and prepare on all cores,
/// forward in micro-batches, one result an item.
pub struct EncoderFace<E, O> {
    encoder: E,
    open: Open<O>,
    micro_batch: usize,
}

impl<E, O> EncoderFace<E, O>
where
    E: Encoder,
    O: Borrow<E::Raw>,
{
    /// Wraps `encoder`; `open` decodes the media, `micro_batch` items go through `forward` at
    /// once.
    pub fn new(encoder: E, open: Open<O>, micro_batch: usize) -> Self {
        Self { encoder, open, micro_batch: micro_batch.max(1) }
    }

    fn forward_some(
        &self,
        media: &[&RawMedia],
        prepared: Vec<(usize, E::Prepared)>,
        device: &Device,
        results: &mut [Option<Result<Vec<f32>, EncodeError>>],
    ) {
        let (places, batch): (Vec<usize>, Vec<E::Prepared>) = prepared.into_iter().unzip();
        let dim = self.encoder.info().dim;
        let vectors = self.encoder.forward(&batch, device).and_then(|t| {
            assert_eq!(t.dims(), [batch.len(), dim], "an encoder gives [batch, dim]");
            tensor_to_vec(t).map_err(EncodeError::Device)
        });
        match vectors {
            Ok(flat) => {
                for (row, &place) in flat.chunks_exact(dim).zip(&places) {
                    results[place] = Some(self.checked(row, media[place]));
                }
            }
            Err(e) => {
                let message = e.to_string();
                for place in places {
                    results[place] = Some(Err(EncodeError::Device(message.clone())));
                }
            }
        }
    }

    fn checked(&self, row: &[f32], media: &RawMedia) -> Result<Vec<f32>, EncodeError> {
        if row.iter().all(|v| v.is_finite()) {
            return Ok(row.to_vec());
        }
        Err(EncodeError::NotFinite {
            encoder: self.encoder.info().name.clone(),
            origin: media.origin(),
        })
    }
}

impl<E, O> MediaEncoder for EncoderFace<E, O>
where
    E: Encoder,
    O: Borrow<E::Raw>,
{
    fn info(&self) -> &EncoderInfo {
        self.encoder.info()
    }

    fn encode(&self, media: &[&RawMedia], device: &Device) -> Vec<Result<Vec<f32>, EncodeError>> {
        let mut results: Vec<Option<Result<Vec<f32>, EncodeError>>> = Vec::new();
        results.resize_with(media.len(), || None);
        let prepared: Vec<Result<E::Prepared, EncodeError>> = media
            .par_iter()
            .map(|m| {
                let raw = (self.open)(m)?;
                // `prepare` sees the content alone; the error is to name the file.
                self.encoder.prepare(raw.borrow()).map_err(|e| e.of(&m.origin()))
            })
            .collect();
        let mut good = Vec::new();
        for (place, p) in prepared.into_iter().enumerate() {
            match p {
                Ok(p) => good.push((place, p)),
                Err(e) => results[place] = Some(Err(e)),
            }
        }
        while !good.is_empty() {
            let rest = good.split_off(self.micro_batch.min(good.len()));
            self.forward_some(media, good, device, &mut results);
            good = rest;
        }
        results
            .into_iter()
            .map(|r| r.unwrap_or_else(|| Err(EncodeError::Device("no result was given".into()))))
            .collect()
    }
}
