//! From raw media to vectors.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use quintet_core::{Modality, Named, SeedStream};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use crate::{EncodeError, StartLearner};

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
/// comes from [`crate::EncoderFace`].
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

    /// How much work `forward` has with an input, such as its length; only compared. Inputs of
    /// like cost share a micro-batch, so that none is filled up to the length of another.
    fn cost(&self, _prepared: &Self::Prepared) -> usize {
        0
    }
}

/// Gives the medium of an item when its turn comes; called on many threads.
pub type FetchMedia<'a> = dyn Fn(usize) -> Result<RawMedia, EncodeError> + Sync + 'a;

/// Takes the number of a window and its results, one an item; `false` ends the encoding.
pub type TakeVectors<'a> = dyn FnMut(usize, Vec<Result<Vec<f32>, EncodeError>>) -> bool + 'a;

/// Items that are encoded together where an encoder says nothing else.
const WINDOW: usize = 128;

/// The object-safe face of an encoder: media in, vectors out.
pub trait MediaEncoder: Send + Sync {
    /// Name, modality, width.
    fn info(&self) -> &EncoderInfo;

    /// One result for each of `media`, in order: a vector of width `info().dim`, or why not.
    fn encode(&self, media: &[&RawMedia], device: &Device) -> Vec<Result<Vec<f32>, EncodeError>>;

    /// How many items [`MediaEncoder::encode_windows`] should get at once.
    fn window(&self) -> usize {
        WINDOW
    }

    /// Encodes windows of items one after the other, so that neither the media nor the vectors
    /// of all items are ever in memory. `fetch` gives the medium of an item, `take` gets the
    /// results of each window in order. Which items share a window changes no vector by more
    /// than rounding; the same windows give the same bits.
    fn encode_windows(
        &self,
        windows: &[Vec<usize>],
        fetch: &FetchMedia<'_>,
        device: &Device,
        take: &mut TakeVectors<'_>,
    ) {
        for (at, window) in windows.iter().enumerate() {
            let fetched: Vec<_> = window.par_iter().map(|&item| fetch(item)).collect();
            let media: Vec<&RawMedia> = fetched.iter().flatten().collect();
            let mut vectors = self.encode(&media, device).into_iter();
            let none = || Err(EncodeError::Device("no result was given".to_owned()));
            let results = fetched
                .into_iter()
                .map(|medium| medium.and_then(|_| vectors.next().unwrap_or_else(none)));
            if !take(at, results.collect()) {
                return;
            }
        }
    }
}

/// An encoder with its parameters, before it has seen the corpus.
pub trait EncoderSpec: Send + Sync {
    /// The parameters with all defaults filled in, as written beside the features.
    fn config(&self) -> Value;

    /// Whether [`EncoderSpec::fit`] learns anything from the corpus or the seed. Vectors of an
    /// encoder that does not are good for other catalogues too, so say `false` where it is so.
    fn reads_corpus(&self) -> bool {
        true
    }

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
    /// Has its weights learn; none for an encoder without weights that could.
    pub learn: Option<StartLearner>,
}

impl Named for EncoderEntry {
    fn name(&self) -> &str {
        self.name
    }
}
