//! A text encoder from a folder that Hugging Face or sentence-transformers published:
//! `config.json`, `tokenizer.json`, `model.safetensors`, and the modules of pooling where they
//! are there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::nn::{Loader, Params, Precision, is_host};
use quintet_tensor::{
    BuildTuned, EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderLearner,
    EncoderSpec, LearnerStart, MediaEncoder, RawMedia, TunedEncoder, files_beside,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::files::{WEIGHTS, hash, json, refused};
use crate::guarded;
use crate::modules::{AfterPooling, Modules};
use crate::network::{Network, NetworkConfig};
use crate::open::{nothing_known, open_text};
use crate::packed::on_groups;
use crate::params;
use crate::pooling::Pooling;
use crate::trained::needs_weights;
use crate::vocabulary::{tokenizer, unreadable_text};

/// Registry name.
pub const NAME: &str = "bert";

/// What the folder holds.
const FILES: &str = "config.json, tokenizer.json and model.safetensors";

/// Texts that go through the encoder at once.
const MICRO_BATCH: usize = 64;
/// Texts among which those of like length are looked for.
const WINDOW: usize = 512;

/// What to do with a text of more tokens than the network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongText {
    /// The first tokens count, as with sentence-transformers.
    #[default]
    Truncate,
    /// The text is read in windows one after the other; its vector is the mean of theirs, each
    /// counted by its tokens.
    Windows,
}

/// Parameters of the encoder `bert`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainedTextConfig {
    /// The folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    pub weights: PathBuf,
    /// How tokens become one vector; as the folder says, else the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Whether vectors are brought to length 1; as the folder says, else not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalise: Option<bool>,
    /// Longest text in tokens, the first and last sign of the network included; as the folder
    /// says, else what the network takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// What to do with longer texts.
    #[serde(default)]
    pub long: LongText,
    /// In what precision the network computes; all but `f32` on the CPU
    /// alone.
    #[serde(default)]
    pub precision: Precision,
    /// The hash of `model.safetensors`, where it must be this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_blake3: Option<String>,
}

/// Ids of the tokens of a text, a window each.
#[derive(Debug, Clone)]
pub struct TokenIds(Vec<Vec<u32>>);

/// A network with its tokenizer and pooling.
pub struct PretrainedText {
    info: EncoderInfo,
    tokenizer: Tokenizer,
    network: Network,
    /// Ids that the network knows.
    vocab_size: usize,
    /// Where the arrays are.
    device: Device,
    pooling: Pooling,
    after: Vec<AfterPooling>,
    max_tokens: usize,
    long: LongText,
}

impl PretrainedText {
    /// Reads the folder and puts the arrays on a device.
    ///
    /// # Errors
    /// A file that is missing or cannot be read, a module or a kind of network that is not known,
    /// or arrays that do not fit; the file and the key are named.
    pub fn open(config: &PretrainedTextConfig, device: &Device) -> Result<Self, EncodeError> {
        let file = config.weights.join(WEIGHTS);
        let loader = Loader::open(&file, device)?.with_precision(config.precision);
        let network = network(&config.weights)?;
        let encoder = Self::of(config, &network, &loader.root())?;
        network.finish(loader, NAME)?;
        Ok(encoder)
    }

    /// The network with these arrays; the folder has the rest.
    fn of(
        config: &PretrainedTextConfig,
        network: &NetworkConfig,
        arrays: &Params<'_>,
    ) -> Result<Self, EncodeError> {
        let device = arrays.device();
        let folder = config.weights.as_path();
        let mut modules = Modules::read(folder, device)?;
        modules.normalise(config.normalise);
        let longest = network.max_tokens();
        let max_tokens = config.max_tokens.or(modules.max_tokens).unwrap_or(longest).min(longest);
        if max_tokens < 3 {
            let reason = format!("max_tokens is at least 3, found {max_tokens}");
            return Err(params::refused(NAME, reason));
        }
        if config.precision != Precision::F32 && !is_host(device) {
            let reason =
                "precision: only \"f32\" computes on another device than the CPU".to_owned();
            return Err(params::refused(NAME, reason));
        }
        let path = folder.join("tokenizer.json");
        // Lengths are cut and filled up here, not there.
        let tokenizer = tokenizer(NAME, &path)?;
        let known = tokenizer.get_vocab_size(true);
        if known > network.vocab_size() {
            let found = format!("{known} tokens for a network of {}", network.vocab_size());
            return Err(refused(NAME, &path, &found));
        }
        Ok(Self {
            info: EncoderInfo {
                name: NAME.to_owned(),
                modality: Modality::Text,
                dim: modules.dim(folder, network.dim())?,
                limits: format!("{max_tokens} tokens a window, texts up to 16 MiB"),
            },
            tokenizer,
            vocab_size: network.vocab_size(),
            network: network.init(arrays),
            device: device.clone(),
            pooling: config.pooling.or(modules.pooling).unwrap_or(network.usual_pooling()),
            after: modules.after,
            max_tokens,
            long: config.long,
        })
    }

    /// The ids of a text, cut into windows of at most `max_tokens` with the signs of the network
    /// around each.
    fn windows(&self, text: &str) -> Result<Vec<Vec<u32>>, EncodeError> {
        let bare = guarded::encode(&self.tokenizer, text).map_err(unreadable_text)?;
        let whole =
            |encoding| guarded::with_signs(&self.tokenizer, encoding).map_err(unreadable_text);
        let signs = whole(tokenizers::Encoding::default())?.len();
        let room = self.max_tokens.saturating_sub(signs).max(1);
        let mut windows = Vec::new();
        let mut bare = bare;
        // What is cut off becomes the further windows, without overlap.
        bare.truncate(room, 0, tokenizers::TruncationDirection::Right);
        let rest = bare.take_overflowing();
        windows.push(whole(bare)?.get_ids().to_vec());
        if self.long == LongText::Windows {
            for window in rest {
                windows.push(whole(window)?.get_ids().to_vec());
            }
        }
        // A tokenizer may have ids in its templates that are not in its vocabulary.
        match windows.iter().flatten().find(|id| **id as usize >= self.vocab_size) {
            Some(id) => {
                let expected = format!("ids below {}", self.vocab_size);
                Err(params::refused(NAME, format!("tokenizer: expected {expected}, found {id}")))
            }
            None => Ok(windows),
        }
    }

    /// The vectors of windows that lie one after the other, on the CPU in groups side by side.
    fn pooled(&self, windows: &[&[u32]]) -> Vec<Tensor<2>> {
        on_groups(windows, &self.device, |ids, lengths| {
            let tokens = self.network.forward(ids, lengths, &self.device);
            self.pooling.forward(tokens, lengths)
        })
    }
}

impl Encoder for PretrainedText {
    type Raw = str;
    type Prepared = TokenIds;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn prepare(&self, raw: &str) -> Result<TokenIds, EncodeError> {
        if raw.trim().is_empty() {
            return Err(nothing_known("at least one token", "no word".to_owned()));
        }
        self.windows(raw).map(TokenIds)
    }

    fn cost(&self, text: &TokenIds) -> usize {
        text.0.iter().map(Vec::len).sum()
    }

    fn forward(&self, batch: &[TokenIds], _: &Device) -> Result<Tensor<2>, EncodeError> {
        let windows: Vec<&[u32]> =
            batch.iter().flat_map(|text| text.0.iter().map(Vec::as_slice)).collect();
        let pooled = Tensor::cat(self.pooled(&windows), 0);
        let vectors = if windows.len() == batch.len() {
            pooled
        } else {
            let mut start = 0;
            let mean = |text: &TokenIds| {
                let n = text.0.len();
                let tokens: Vec<f32> = text.0.iter().map(|w| w.len() as f32).collect();
                let total: f32 = tokens.iter().sum();
                let weights: Vec<f32> = tokens.iter().map(|t| t / total).collect();
                let weights = TensorData::new(weights, [n, 1]);
                let some = pooled.clone().narrow(0, start, n);
                start += n;
                (some * Tensor::from_data(weights, &self.device)).sum_dim(0)
            };
            Tensor::cat(batch.iter().map(mean).collect(), 0)
        };
        Ok(self.after.iter().fold(vectors, |vectors, after| after.forward(vectors)))
    }
}

/// What `config.json` of a folder says.
fn network(folder: &Path) -> Result<NetworkConfig, EncodeError> {
    let at = folder.join("config.json");
    NetworkConfig::read(json(NAME, &at)?).map_err(|e| refused(NAME, &at, &e))
}

/// Begins from the folder that the parameters name.
fn learner(start: &LearnerStart<'_>) -> Result<Box<dyn EncoderLearner>, EncodeError> {
    needs_weights(NAME, FILES, start.params)?;
    let config: PretrainedTextConfig = serde_json::from_value(start.params.clone())
        .map_err(|e| params::refused(NAME, e.to_string()))?;
    start.without_sizes(NAME)?;
    if config.precision != Precision::F32 {
        let reason = "precision: weights learn in \"f32\" alone";
        return Err(params::refused(NAME, reason.to_owned()));
    }
    let network = network(&config.weights)?;
    let loader = Loader::open(&config.weights.join(WEIGHTS), start.device)?;
    let beside = files_beside(&config.weights)?;
    let ignored = network.ignored();
    let build: BuildTuned<PretrainedText> =
        Box::new(move |arrays| PretrainedText::of(&config, &network, arrays));
    let learner = TunedEncoder::new(start, loader, build, (NAME, ignored), open_text)?;
    Ok(Box::new(learner.with_files(beside)))
}

struct Spec(PretrainedTextConfig);

impl Spec {
    fn new(params: &Value) -> Result<Self, EncodeError> {
        needs_weights(NAME, FILES, params)?;
        let mut config: PretrainedTextConfig = serde_json::from_value(params.clone())
            .map_err(|e| params::refused(NAME, e.to_string()))?;
        // Other weights are other features.
        let hash = hash(NAME, &config.weights.join(WEIGHTS), config.weights_blake3.as_deref())?;
        config.weights_blake3 = Some(hash);
        Ok(Self(config))
    }
}

impl EncoderSpec for Spec {
    fn config(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or(Value::Null)
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
        let encoder = PretrainedText::open(&self.0, device)?;
        Ok(Box::new(EncoderFace::new(encoder, open_text, MICRO_BATCH).with_window(WINDOW)))
    }
}

/// The registry entry.
pub(crate) fn entry() -> EncoderEntry {
    EncoderEntry {
        name: NAME,
        modality: Modality::Text,
        summary: "BERT, ELECTRA, MiniLM, GPT-2, the text tower of CLIP: trained weights with their pooling",
        weights: Some(FILES),
        build: Arc::new(|params| Ok(Box::new(Spec::new(params)?))),
        learn: Some(Arc::new(learner)),
    }
}
