//! The encoder of every network over pixels: what an architecture gives is its arrays and one
//! pass.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::prelude::*;
use image::DynamicImage;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::nn::{Loader, Maps, Params, Precision, is_host};
use quintet_tensor::{
    EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec, MediaEncoder,
    RawMedia, weights_hash,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::open::{MAX_FILE_BYTES, MAX_PIXELS, open_image};
use crate::preprocess::{Filter, Pixels, Preprocessing, Resize};

/// The arrays, where `weights` is a folder.
const WEIGHTS: &str = "model.safetensors";
/// Images that go through the encoder at once.
const MICRO_BATCH: usize = 32;
/// Images that one thread takes through the network at a time: weights are read once for them.
const GROUP: usize = 4;

/// A network from pixels to vectors.
pub trait Network: Send + Sync {
    /// Width of the vectors.
    fn dim(&self) -> usize;

    /// Maps of three channels, scaled by mean and deviation, to `[batch, dim]`.
    fn forward(&self, images: Maps) -> Tensor<2>;
}

/// An architecture that the registry knows: one of these, and one line in `lib.rs`.
pub(crate) struct Architecture {
    /// Registry name.
    pub(crate) name: &'static str,
    /// One line for lists.
    pub(crate) summary: &'static str,
    /// The files that `weights` names.
    pub(crate) files: &'static str,
    /// The vectors it can give; the first one unless `output` says another.
    pub(crate) outputs: &'static [&'static str],
    /// Builds it.
    pub(crate) open: fn(&Request) -> Result<Built, String>,
}

/// What an architecture is built from.
pub(crate) struct Request<'a> {
    /// The arrays.
    pub(crate) params: Params<'a>,
    /// `config.json` beside them, where it is there.
    pub(crate) config: Option<Value>,
    /// `preprocessor_config.json`, where it is there.
    pub(crate) processor: Option<Value>,
    /// One of [`Architecture::outputs`].
    pub(crate) output: &'a str,
    /// What the parameters ask for.
    pub(crate) wanted: &'a NetworkParams,
    /// Sizes of a network from nothing; none where the arrays say them.
    pub(crate) sizes: Option<&'a Value>,
}

/// What an architecture gives.
pub(crate) struct Built {
    pub(crate) network: Box<dyn Network>,
    pub(crate) preprocessing: Preprocessing,
    /// Beginnings of the names of arrays that other tasks need.
    pub(crate) ignored: &'static [&'static str],
}

impl Request<'_> {
    /// The arrays, which may all be below a name of their own; then there is one that begins so.
    pub(crate) fn below(&self, prefix: &str, first: &str) -> Params<'_> {
        let below = self.params.at(prefix);
        if below.has_any(first) { below } else { self.params.clone() }
    }

    /// `config.json`, for those that cannot do without.
    pub(crate) fn config(&self) -> Result<&Value, String> {
        let missing = || "config.json: expected beside the weights, found none".to_owned();
        self.config.as_ref().ok_or_else(missing)
    }

    /// The usual preparation, or what the files beside the weights say, or the parameters.
    pub(crate) fn preprocessing(&self, usual: Preprocessing) -> Result<Preprocessing, String> {
        let timm = self.config.as_ref().and_then(|c| c.get("pretrained_cfg"));
        let said = match (&self.processor, timm) {
            (Some(json), _) => usual.huggingface(json),
            (None, Some(json)) => usual.timm(json),
            (None, None) => Ok(usual),
        };
        let wanted = self.wanted.over(said?);
        wanted.validate()?;
        Ok(wanted)
    }
}

/// Parameters of the networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkParams {
    /// A safetensors file, or a folder with `model.safetensors` and, where they were published
    /// so, `config.json` and `preprocessor_config.json`.
    pub weights: PathBuf,
    /// Which of its vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Whether vectors are brought to length 1.
    #[serde(default)]
    pub normalise: bool,
    /// The shorter side after resizing; as the files say, else as the architecture was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// The square that is cut from the middle, in pixels; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// How pixels between pixels are computed; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// What is taken from red, green and blue (0 to 1); likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f32; 3]>,
    /// What they are divided by then; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<[f32; 3]>,
    /// In what precision the linear layers of a transformer compute; all but `f32` on the
    /// CPU alone.
    #[serde(default)]
    pub precision: Precision,
    /// The hash of the arrays' file, where it must be this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_blake3: Option<String>,
}

impl NetworkParams {
    pub(crate) fn file(&self) -> PathBuf {
        if self.weights.is_dir() { self.weights.join(WEIGHTS) } else { self.weights.clone() }
    }

    /// A file beside the arrays of a folder.
    fn beside(&self, name: &str, encoder: &'static str) -> Result<Option<Value>, EncodeError> {
        let path = self.weights.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let unreadable = |source| EncodeError::Read { path: path.display().to_string(), source };
        let file = File::open(&path).map_err(unreadable)?;
        let read = serde_json::from_reader(std::io::BufReader::new(file));
        read.map(Some).map_err(|e| refused(encoder, &path, &e.to_string()))
    }

    /// With what was asked for in place of what is usual.
    fn over(&self, mut usual: Preprocessing) -> Preprocessing {
        if let Some(crop) = self.crop {
            usual.crop = crop;
        }
        usual.resize = match (self.resize, self.crop, usual.resize) {
            (Some(side), ..) => Resize::Shortest(side),
            (None, Some(crop), Resize::Square(_)) => Resize::Square(crop),
            (None, _, resize) => resize,
        };
        usual.filter = self.filter.unwrap_or(usual.filter);
        usual.mean = self.mean.unwrap_or(usual.mean);
        usual.std = self.std.unwrap_or(usual.std);
        usual
    }
}

/// Checks the kind of network that a `config.json` is for.
pub(crate) fn expect_kind(json: &Value, kind: &str) -> Result<(), String> {
    let found = json.get("model_type").and_then(Value::as_str).unwrap_or_default();
    match found == kind {
        true => Ok(()),
        false => Err(format!("model_type: expected {kind}, found {found:?}")),
    }
}

/// A number for each stage of a network, from `config.json`.
pub(crate) fn stages_of(json: &Value, key: &str) -> Result<Vec<usize>, String> {
    let found = json.get(key).cloned().unwrap_or_default();
    let read: Result<Vec<usize>, _> = serde_json::from_value(found.clone());
    let list = read.unwrap_or_default();
    match (1..=8).contains(&list.len()) && list.iter().all(|n| (1..=8192).contains(n)) {
        true => Ok(list),
        false => Err(format!("{key}: expected 1 to 8 numbers up to 8192, found {found}")),
    }
}

/// The error of a file.
pub(crate) fn refused(encoder: &str, path: &Path, reason: &str) -> EncodeError {
    let reason = format!("{}: {reason}", path.display());
    EncodeError::Config { encoder: encoder.to_owned(), reason }
}

/// A network with its preparation.
pub struct NetworkEncoder {
    info: EncoderInfo,
    network: Box<dyn Network>,
    preprocessing: Preprocessing,
    normalise: bool,
    /// Where the arrays are.
    device: Device,
}

impl NetworkEncoder {
    /// Reads the arrays onto a device.
    ///
    /// # Errors
    /// A file that is missing or cannot be read, a parameter out of range, or arrays that do not
    /// fit; the file and the key are named.
    pub(crate) fn open(
        architecture: &Architecture,
        params: &NetworkParams,
        device: &Device,
    ) -> Result<Self, EncodeError> {
        let name = architecture.name;
        let loader = Loader::open(&params.file(), device)?.with_precision(params.precision);
        let (encoder, ignored) = Self::of(architecture, params, &loader.root(), None)?;
        loader.finish(name, ignored)?;
        Ok(encoder)
    }

    /// The network with these arrays, and the beginnings of names that it does not ask for;
    /// `sizes` are those of a network from nothing.
    pub(crate) fn of(
        architecture: &Architecture,
        params: &NetworkParams,
        arrays: &Params<'_>,
        sizes: Option<&Value>,
    ) -> Result<(Self, &'static [&'static str]), EncodeError> {
        let (name, device) = (architecture.name, arrays.device());
        if params.precision != Precision::F32 && !is_host(device) {
            let reason =
                "precision: only \"f32\" computes on another device than the CPU".to_owned();
            return Err(EncodeError::Config { encoder: name.to_owned(), reason });
        }
        let output = params.output.as_deref().unwrap_or(architecture.outputs[0]);
        let request = Request {
            params: arrays.clone(),
            config: params.beside("config.json", name)?,
            processor: params.beside("preprocessor_config.json", name)?,
            output,
            wanted: params,
            sizes,
        };
        let built =
            (architecture.open)(&request).map_err(|e| refused(name, &params.weights, &e))?;
        let limits = format!(
            "PNG, JPEG, GIF (first frame), WebP, BMP, TIFF (first page), ICO, PNM, QOI; at most \
             {} MiB and {} megapixels; seen as {side} × {side}",
            MAX_FILE_BYTES >> 20,
            MAX_PIXELS / 1_000_000,
            side = built.preprocessing.crop,
        );
        let dim = built.network.dim();
        let info = EncoderInfo { name: name.to_owned(), modality: Modality::Image, dim, limits };
        let Built { network, preprocessing, ignored } = built;
        let (normalise, device) = (params.normalise, device.clone());
        Ok((Self { info, network, preprocessing, normalise, device }, ignored))
    }

    /// The steps from an image to its pixels.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    fn of_some(&self, images: &[Pixels]) -> Tensor<2> {
        let side = self.preprocessing.crop;
        let numbers: Vec<f32> =
            images.iter().flat_map(|image| self.preprocessing.normalised(image)).collect();
        let shape = [images.len() * side * side, 3];
        let x = Tensor::from_data(TensorData::new(numbers, shape), &self.device);
        self.network.forward(Maps::new(x, [images.len(), side, side]))
    }
}

impl Encoder for NetworkEncoder {
    type Raw = DynamicImage;
    type Prepared = Pixels;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn prepare(&self, image: &DynamicImage) -> Result<Pixels, EncodeError> {
        self.preprocessing.prepare(image)
    }

    fn forward(&self, batch: &[Pixels], _: &Device) -> Result<Tensor<2>, EncodeError> {
        // A graph of gradients is built by one thread alone: parts that share arrays and are built
        // side by side lose nodes.
        let side_by_side = is_host(&self.device) && !self.device.is_autodiff();
        let vectors = match side_by_side {
            true => {
                let groups = batch.par_chunks(GROUP).map(|images| self.of_some(images));
                Tensor::cat(groups.collect(), 0)
            }
            false => self.of_some(batch),
        };
        if !self.normalise {
            return Ok(vectors);
        }
        let length = (vectors.clone() * vectors.clone()).sum_dim(1).sqrt();
        Ok(vectors / length.clamp_min(1e-12))
    }
}

struct Spec {
    architecture: &'static Architecture,
    params: NetworkParams,
}

impl Spec {
    fn new(architecture: &'static Architecture, params: &Value) -> Result<Self, EncodeError> {
        let Architecture { name, files, outputs, .. } = *architecture;
        let wrong = |reason: String| EncodeError::Config { encoder: name.to_owned(), reason };
        if params.is_null() || params.as_object().is_some_and(serde_json::Map::is_empty) {
            return Err(wrong(format!("needs `weights`, {files}")));
        }
        let mut params = NetworkParams::deserialize(params).map_err(|e| wrong(e.to_string()))?;
        if let Some(output) = params.output.as_deref().filter(|o| !outputs.contains(o)) {
            let expected = outputs.join(", ");
            return Err(wrong(format!("output: expected one of {expected}, found {output:?}")));
        }
        let path = params.file();
        let hash = weights_hash(&path)?;
        if let Some(expected) = params.weights_blake3.filter(|expected| *expected != hash) {
            return Err(refused(name, &path, &format!("expected blake3 {expected}, found {hash}")));
        }
        // Other weights are other features.
        params.weights_blake3 = Some(hash);
        Ok(Self { architecture, params })
    }
}

impl EncoderSpec for Spec {
    fn config(&self) -> Value {
        serde_json::to_value(&self.params).unwrap_or(Value::Null)
    }

    fn reads_corpus(&self) -> bool {
        false
    }

    /// There is nothing to fit: the arrays are read.
    fn fit(
        &self,
        _: &[&RawMedia],
        _: SeedStream,
        device: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        let encoder = NetworkEncoder::open(self.architecture, &self.params, device)?;
        Ok(Box::new(EncoderFace::new(encoder, open_image, MICRO_BATCH)))
    }
}

/// The registry entry.
pub(crate) fn entry(architecture: &'static Architecture) -> EncoderEntry {
    EncoderEntry {
        name: architecture.name,
        modality: Modality::Image,
        summary: architecture.summary,
        weights: Some(architecture.files),
        build: Arc::new(move |params| Ok(Box::new(Spec::new(architecture, params)?))),
        learn: Some(Arc::new(move |start| crate::learner::learner(architecture, start))),
    }
}
