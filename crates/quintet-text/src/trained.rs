//! Small networks over words that somebody trained with PyTorch: a folder with `config.json`,
//! `vocab.txt` or `tokenizer.json`, and `model.safetensors`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::nn::{Loader, Params};
use quintet_tensor::{
    EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec, MediaEncoder,
    RawMedia,
};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::{WEIGHTS, hash, json, refused};
use crate::open::open_text;
use crate::packed::groups;
use crate::params;
use crate::pooling::unit_length;
use crate::vocabulary::TextIds;

/// What the folder holds.
const FILES: &str = "config.json, model.safetensors, and vocab.txt or tokenizer.json";

/// Layers for the task that a network was trained on, which features do not need.
pub(crate) const HEADS: [&str; 3] = ["fc.", "classifier.", "head."];

/// Texts that go through an encoder at once.
const MICRO_BATCH: usize = 64;

/// More than this is no size of an array but a damaged file.
const LARGEST_SIZE: usize = 1 << 24;

/// A network that makes one vector of the ids of a text.
pub(crate) trait TextNetwork: Send + Sync {
    /// Width of the vectors.
    fn dim(&self) -> usize;

    /// Vectors of sequences that lie one after the other, `[sequences, dim]`.
    fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2>;
}

/// What `config.json` says of a network.
pub(crate) trait Architecture: DeserializeOwned {
    /// Registry name and `model_type`.
    const NAME: &'static str;
    /// One line for lists.
    const SUMMARY: &'static str;
    /// The network.
    type Network: TextNetwork + 'static;

    /// What cannot be computed.
    fn validate(&self) -> Result<(), String>;
    /// Ids that are known.
    fn vocab_size(&self) -> usize;
    /// The network with its arrays.
    fn init(&self, params: &Params) -> Self::Network;
}

/// Sizes are at least 1, and such that products of them do not overflow.
pub(crate) fn check_sizes(sizes: &[(&str, usize)]) -> Result<(), String> {
    match sizes.iter().find(|(_, size)| !(1..=LARGEST_SIZE).contains(size)) {
        Some((name, size)) => Err(format!("{name} is 1 to {LARGEST_SIZE}, found {size}")),
        None => Ok(()),
    }
}

/// Parameters of the encoders with such a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainedConfig {
    /// The folder.
    weights: PathBuf,
    /// Whether vectors are brought to length 1.
    #[serde(default)]
    normalise: bool,
    /// Longest text in tokens; what is longer is cut.
    #[serde(default = "max_tokens")]
    max_tokens: usize,
    /// The hash of `model.safetensors`, where it must be this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights_blake3: Option<String>,
}

fn max_tokens() -> usize {
    512
}

/// A network with what turns texts into its ids.
pub(crate) struct TrainedText<N> {
    pub(crate) info: EncoderInfo,
    pub(crate) ids: TextIds,
    pub(crate) network: N,
    /// Ids that the network knows.
    pub(crate) vocab_size: usize,
    /// Where the arrays are.
    pub(crate) device: Device,
    pub(crate) normalise: bool,
    pub(crate) max_tokens: usize,
}

impl<N: TextNetwork + 'static> TrainedText<N> {
    /// What is said of an encoder.
    pub(crate) fn info(name: &str, dim: usize, max_tokens: usize) -> EncoderInfo {
        EncoderInfo {
            name: name.to_owned(),
            modality: Modality::Text,
            dim,
            limits: format!("{max_tokens} tokens, texts up to 16 MiB"),
        }
    }

    pub(crate) fn face(self) -> Box<dyn MediaEncoder> {
        Box::new(EncoderFace::new(self, open_text, MICRO_BATCH))
    }
}

impl<N: TextNetwork> Encoder for TrainedText<N> {
    type Raw = str;
    type Prepared = Vec<u32>;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn prepare(&self, raw: &str) -> Result<Vec<u32>, EncodeError> {
        let mut ids = self.ids.encode(raw)?;
        ids.truncate(self.max_tokens);
        // A tokenizer may have ids in its templates that are not in its vocabulary.
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.vocab_size) {
            let expected = format!("ids below {}", self.vocab_size);
            return Err(refused(
                &self.info.name,
                Path::new("tokenizer.json"),
                &format!("expected {expected}, found {id}"),
            ));
        }
        Ok(ids)
    }

    fn forward(&self, batch: &[Vec<u32>], _: &Device) -> Result<Tensor<2>, EncodeError> {
        let sequences: Vec<&[u32]> = batch.iter().map(Vec::as_slice).collect();
        let vectors = groups(&sequences, &self.device)
            .into_par_iter()
            .map(|group| {
                let lengths: Vec<usize> = group.iter().map(|ids| ids.len()).collect();
                self.network.forward(&group.concat(), &lengths, &self.device)
            })
            .collect();
        let vectors = Tensor::cat(vectors, 0); // [batch, dim]
        Ok(if self.normalise { unit_length(vectors) } else { vectors })
    }
}

fn open<A: Architecture>(
    params: &TrainedConfig,
    device: &Device,
) -> Result<TrainedText<A::Network>, EncodeError> {
    let folder = params.weights.as_path();
    let config: A = read_config(&folder.join("config.json"))?;
    let ids = TextIds::open(A::NAME, folder)?;
    if ids.n_ids() > config.vocab_size() {
        let found = format!("{} ids for a network of {}", ids.n_ids(), config.vocab_size());
        return Err(refused(A::NAME, folder, &found));
    }
    let loader = Loader::open(&folder.join(WEIGHTS), device)?;
    let network = config.init(&loader.root());
    loader.finish(A::NAME, &HEADS)?;
    Ok(TrainedText {
        info: TrainedText::<A::Network>::info(A::NAME, network.dim(), params.max_tokens),
        ids,
        network,
        vocab_size: config.vocab_size(),
        device: device.clone(),
        normalise: params.normalise,
        max_tokens: params.max_tokens,
    })
}

/// `config.json`; a `model_type` is not needed, but has to be right.
fn read_config<A: Architecture>(path: &Path) -> Result<A, EncodeError> {
    let wrong = |reason: String| refused(A::NAME, path, &reason);
    let mut said: Value = json(A::NAME, path)?;
    let kind = said.as_object_mut().and_then(|keys| keys.remove("model_type"));
    if let Some(kind) = kind.filter(|kind| kind != A::NAME) {
        return Err(wrong(format!("model_type: expected {:?}, found {kind}", A::NAME)));
    }
    let config: A = serde_json::from_value(said).map_err(|e| wrong(e.to_string()))?;
    config.validate().map_err(wrong)?;
    Ok(config)
}

struct Spec<A> {
    params: TrainedConfig,
    architecture: std::marker::PhantomData<fn() -> A>,
}

impl<A: Architecture> Spec<A> {
    fn new(params: &Value) -> Result<Self, EncodeError> {
        needs_weights(A::NAME, FILES, params)?;
        let mut params: TrainedConfig = serde_json::from_value(params.clone())
            .map_err(|e| params::refused(A::NAME, e.to_string()))?;
        params::at_least_one(A::NAME, &[("max_tokens", params.max_tokens)])?;
        // Other weights are other features.
        let hash = hash(A::NAME, &params.weights.join(WEIGHTS), params.weights_blake3.as_deref())?;
        params.weights_blake3 = Some(hash);
        Ok(Self { params, architecture: std::marker::PhantomData })
    }
}

/// The error of parameters without weights.
pub(crate) fn needs_weights(encoder: &str, files: &str, params: &Value) -> Result<(), EncodeError> {
    if params.is_null() || params.as_object().is_some_and(serde_json::Map::is_empty) {
        return Err(params::refused(encoder, format!("needs `weights`: {files}")));
    }
    Ok(())
}

impl<A: Architecture> EncoderSpec for Spec<A> {
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
        Ok(open::<A>(&self.params, device)?.face())
    }
}

/// The registry entry of an architecture.
pub(crate) fn entry<A: Architecture + 'static>() -> EncoderEntry {
    EncoderEntry {
        name: A::NAME,
        modality: Modality::Text,
        summary: A::SUMMARY,
        weights: Some(FILES),
        build: Arc::new(|params| Ok(Box::new(Spec::<A>::new(params)?))),
    }
}
