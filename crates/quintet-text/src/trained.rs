//! Small networks over words that somebody trained with PyTorch: a folder with `config.json`,
//! `vocab.txt` or `tokenizer.json`, and `model.safetensors`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::nn::{Loader, Params};
use quintet_tensor::{
    BuildTuned, EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderLearner,
    EncoderSpec, LearnerStart, MediaEncoder, RawMedia, TunedEncoder, files_beside, unwritten,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::files::{WEIGHTS, hash, json, refused};
use crate::open::open_text;
use crate::packed::on_groups;
use crate::params;
use crate::pooling::unit_length;
use crate::segment::words;
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

    /// Sizes of a network from nothing, without `vocab_size`.
    fn usual() -> Value;
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
        let vectors = on_groups(&sequences, &self.device, |ids, lengths| {
            self.network.forward(ids, lengths, &self.device)
        });
        let vectors = Tensor::cat(vectors, 0); // [batch, dim]
        Ok(if self.normalise { unit_length(vectors) } else { vectors })
    }
}

fn open<A: Architecture>(
    params: &TrainedConfig,
    device: &Device,
) -> Result<TrainedText<A::Network>, EncodeError> {
    let folder = params.weights.as_path();
    let loader = Loader::open(&folder.join(WEIGHTS), device)?;
    let encoder = of::<A>(params, &loader.root())?;
    loader.finish(A::NAME, &HEADS)?;
    Ok(encoder)
}

/// The network with these arrays; the folder has the rest.
fn of<A: Architecture>(
    params: &TrainedConfig,
    arrays: &Params<'_>,
) -> Result<TrainedText<A::Network>, EncodeError> {
    let folder = params.weights.as_path();
    let config: A = read_config(&folder.join("config.json"))?;
    let ids = TextIds::open(A::NAME, folder)?;
    if ids.n_ids() > config.vocab_size() {
        let found = format!("{} ids for a network of {}", ids.n_ids(), config.vocab_size());
        return Err(refused(A::NAME, folder, &found));
    }
    let network = config.init(arrays);
    Ok(TrainedText {
        info: TrainedText::<A::Network>::info(A::NAME, network.dim(), params.max_tokens),
        ids,
        network,
        vocab_size: config.vocab_size(),
        device: arrays.device().clone(),
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

/// Most words of a vocabulary that is made of the corpus, where nobody says.
const MOST_WORDS: usize = 30_000;

/// Begins from the folder that the parameters name, or from nothing without any: with the words of
/// the corpus, the frequent ones first, and the sizes that were given.
fn learner<A: Architecture + 'static>(
    start: &LearnerStart<'_>,
) -> Result<Box<dyn EncoderLearner>, EncodeError> {
    let mut params = if start.params.is_object() { start.params.clone() } else { json!({}) };
    let new = params.get("weights").is_none();
    if new {
        params["weights"] = start.folder.to_string_lossy().into();
        begin::<A>(start)?;
    } else {
        start.without_sizes(A::NAME)?;
    }
    let params: TrainedConfig =
        serde_json::from_value(params).map_err(|e| params::refused(A::NAME, e.to_string()))?;
    params::at_least_one(A::NAME, &[("max_tokens", params.max_tokens)])?;
    let loader = match new {
        true => Loader::random(start.seed, start.device),
        false => Loader::open(&params.weights.join(WEIGHTS), start.device)?,
    };
    let beside = if new { Vec::new() } else { files_beside(&params.weights)? };
    let build: BuildTuned<TrainedText<A::Network>> =
        Box::new(move |arrays| of::<A>(&params, arrays));
    let learner = TunedEncoder::new(start, loader, build, (A::NAME, &HEADS), open_text)?;
    Ok(Box::new(learner.with_files(beside)))
}

/// Writes `vocab.txt` and `config.json` of a network from nothing.
fn begin<A: Architecture>(start: &LearnerStart<'_>) -> Result<(), EncodeError> {
    let wrong = |reason: String| params::refused(A::NAME, format!("sizes: {reason}"));
    let mut sizes = if start.sizes.is_object() { start.sizes.clone() } else { json!({}) };
    let most = match sizes.as_object_mut().and_then(|sizes| sizes.remove("max_words")) {
        None => MOST_WORDS,
        Some(said) => said
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| (1..=LARGEST_SIZE).contains(n))
            .ok_or_else(|| {
                wrong(format!("max_words: expected 1 to {LARGEST_SIZE}, found {said}"))
            })?,
    };
    let mut usual = A::usual();
    for (key, value) in sizes.as_object().into_iter().flatten() {
        usual[key] = value.clone();
    }
    let words = frequent_words(start.corpus, most);
    usual["vocab_size"] = words.len().into();
    let config: A = serde_json::from_value(usual.clone()).map_err(|e| wrong(e.to_string()))?;
    config.validate().map_err(wrong)?;
    let (vocabulary, config) = (words.join("\n") + "\n", format!("{usual:#}\n"));
    let folder = start.folder;
    let write = || {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("vocab.txt"), vocabulary)?;
        std::fs::write(folder.join("config.json"), config)
    };
    write().map_err(|e| unwritten(folder, &e))
}

/// The sign of unknown words, then the most frequent words of the texts in small letters, those
/// that are as frequent by the alphabet.
fn frequent_words(corpus: &[&RawMedia], most: usize) -> Vec<String> {
    let mut counts = HashMap::new();
    for media in corpus {
        // A text that cannot be read is told of when it is encoded.
        let Ok(text) = open_text(media) else { continue };
        for word in words(&text.to_lowercase()) {
            *counts.entry(word.to_owned()).or_insert(0u64) += 1;
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    counts.truncate(most);
    let unknown = "[UNK]".to_owned();
    std::iter::once(unknown).chain(counts.into_iter().map(|(word, _)| word)).collect()
}

/// The registry entry of an architecture.
pub(crate) fn entry<A: Architecture + 'static>() -> EncoderEntry {
    EncoderEntry {
        name: A::NAME,
        modality: Modality::Text,
        summary: A::SUMMARY,
        weights: Some(FILES),
        build: Arc::new(|params| Ok(Box::new(Spec::<A>::new(params)?))),
        learn: Some(Arc::new(learner::<A>)),
    }
}
