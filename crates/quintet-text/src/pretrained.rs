//! A text encoder from a folder that Hugging Face or sentence-transformers published:
//! `config.json`, `tokenizer.json`, `model.safetensors`, and the modules of pooling where they
//! are there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::nn::Loader;
use quintet_tensor::{
    EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec, MediaEncoder,
    RawMedia,
};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::guarded;
use crate::network::{Network, NetworkConfig};
use crate::open::{TEXT_ORIGIN, open_text};
use crate::pooling::{Pooling, PoolingConfig};

/// Registry name.
pub const NAME: &str = "bert";

/// The arrays.
const WEIGHTS: &str = "model.safetensors";
/// What the folder holds.
const FILES: &str = "config.json, tokenizer.json and model.safetensors";

/// Texts that go through the encoder at once.
const MICRO_BATCH: usize = 64;
/// Texts among which those of like length are looked for.
const WINDOW: usize = 512;
/// Tokens that go through the network at once on a CPU: what a layer needs then stays in the
/// cache, and the groups run side by side.
const GROUP: usize = 256;
/// Tokens at once elsewhere.
const LARGE_GROUP: usize = 16_384;

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
    /// The hash of `model.safetensors`, where it must be this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_blake3: Option<String>,
}

/// Ids of the tokens of a text, a window each.
pub struct TokenIds(Vec<Vec<u32>>);

/// A network with its tokenizer and pooling.
pub struct PretrainedText {
    info: EncoderInfo,
    tokenizer: Tokenizer,
    network: Network,
    /// Where the arrays are.
    device: Device,
    pooling: Pooling,
    normalise: bool,
    max_tokens: usize,
    long: LongText,
}

/// One module of `modules.json` of sentence-transformers.
#[derive(Debug, Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

impl PretrainedText {
    /// Reads the folder and puts the arrays on a device.
    ///
    /// # Errors
    /// A file that is missing or cannot be read, a module or a kind of network that is not known,
    /// or arrays that do not fit; the file and the key are named.
    pub fn open(config: &PretrainedTextConfig, device: &Device) -> Result<Self, EncodeError> {
        let folder = config.weights.as_path();
        let at = folder.join("config.json");
        let network = NetworkConfig::read(json(&at)?).map_err(|e| refused(&at, &e))?;
        let modules = Modules::read(folder)?;
        let longest = network.max_tokens();
        let max_tokens = config.max_tokens.or(modules.max_tokens).unwrap_or(longest).min(longest);
        if max_tokens < 3 {
            let reason = format!("max_tokens is at least 3, found {max_tokens}");
            return Err(EncodeError::Config { encoder: NAME.to_owned(), reason });
        }
        let path = folder.join("tokenizer.json");
        let tokenizer = guarded::tokenizer(&path).map_err(|e| refused(&path, &e))?;
        let known = tokenizer.get_vocab_size(true);
        if known > network.vocab_size() {
            let found = format!("{known} tokens for a network of {}", network.vocab_size());
            return Err(refused(&path, &found));
        }
        Ok(Self {
            info: EncoderInfo {
                name: NAME.to_owned(),
                modality: Modality::Text,
                dim: network.dim(),
                limits: format!("{max_tokens} tokens a window, texts up to 16 MiB"),
            },
            tokenizer,
            network: network.load(Loader::open(&folder.join(WEIGHTS), device)?, NAME)?,
            device: device.clone(),
            pooling: config.pooling.or(modules.pooling).unwrap_or(network.usual_pooling()),
            normalise: config.normalise.unwrap_or(modules.normalise),
            max_tokens,
            long: config.long,
        })
    }

    /// The ids of a text, cut into windows of at most `max_tokens` with the signs of the network
    /// around each.
    fn windows(&self, text: &str) -> Result<Vec<Vec<u32>>, EncodeError> {
        let failed = |e: tokenizers::Error| EncodeError::Decode {
            origin: TEXT_ORIGIN.to_owned(),
            kind: quintet_tensor::DecodeKind::Unsupported,
            expected: "a text that the tokenizer reads".to_owned(),
            found: e.to_string(),
        };
        let bare = guarded::encode(&self.tokenizer, text).map_err(failed)?;
        let whole = |encoding| guarded::with_signs(&self.tokenizer, encoding).map_err(failed);
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
        Ok(windows)
    }

    /// The vectors of windows that lie one after the other, on the CPU in groups side by side.
    fn pooled(&self, windows: &[&[u32]]) -> Vec<Tensor<2>> {
        let most = if quintet_tensor::nn::is_host(&self.device) { GROUP } else { LARGE_GROUP };
        let groups = groups(windows, most);
        groups
            .into_par_iter()
            .map(|group| {
                let lengths: Vec<usize> = group.iter().map(|w| w.len()).collect();
                let tokens = self.network.forward(&group.concat(), &lengths, &self.device);
                self.pooling.forward(tokens, &lengths)
            })
            .collect()
    }
}

/// Cuts windows into groups of about so many tokens.
fn groups<'w, 'i>(windows: &'w [&'i [u32]], most: usize) -> Vec<&'w [&'i [u32]]> {
    let mut groups = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (at, window) in windows.iter().enumerate() {
        if at > start && tokens + window.len() > most {
            groups.push(&windows[start..at]);
            (start, tokens) = (at, 0);
        }
        tokens += window.len();
    }
    groups.push(&windows[start..]);
    groups.retain(|group| !group.is_empty());
    groups
}

/// What the files of sentence-transformers say.
struct Modules {
    pooling: Option<Pooling>,
    normalise: bool,
    max_tokens: Option<usize>,
}

impl Modules {
    fn read(folder: &Path) -> Result<Self, EncodeError> {
        let mut said = Self { pooling: None, normalise: false, max_tokens: None };
        let sentence = folder.join("sentence_bert_config.json");
        if sentence.is_file() {
            said.max_tokens = json::<SentenceConfig>(&sentence)?.max_seq_length;
        }
        let list = folder.join("modules.json");
        if !list.is_file() {
            return Ok(said);
        }
        for module in json::<Vec<Module>>(&list)? {
            match module.kind.rsplit('.').next() {
                Some("Transformer") => {}
                Some("Normalize") => said.normalise = true,
                Some("Pooling") => {
                    let path = folder.join(&module.path).join("config.json");
                    let config: PoolingConfig = json(&path)?;
                    said.pooling = Some(config.pooling().map_err(|e| refused(&path, &e))?);
                }
                _ => {
                    let found = format!("the module {:?}", module.kind);
                    let expected = "expected Transformer, Pooling and Normalize, found";
                    return Err(refused(&list, &format!("{expected} {found}")));
                }
            }
        }
        Ok(said)
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, EncodeError> {
    let unreadable = |source| EncodeError::Read { path: path.display().to_string(), source };
    let file = File::open(path).map_err(unreadable)?;
    serde_json::from_reader(std::io::BufReader::new(file))
        .map_err(|e| refused(path, &e.to_string()))
}

/// The error of a file of the folder.
fn refused(path: &Path, reason: &str) -> EncodeError {
    let reason = format!("{}: {reason}", path.display());
    EncodeError::Config { encoder: NAME.to_owned(), reason }
}

impl Encoder for PretrainedText {
    type Raw = str;
    type Prepared = TokenIds;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn prepare(&self, raw: &str) -> Result<TokenIds, EncodeError> {
        if raw.trim().is_empty() {
            return Err(EncodeError::Decode {
                origin: TEXT_ORIGIN.to_owned(),
                kind: quintet_tensor::DecodeKind::Empty,
                expected: "at least one token".to_owned(),
                found: "no word".to_owned(),
            });
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
                let some = pooled.clone().slice([start..start + n, 0..self.info.dim]);
                start += n;
                (some * Tensor::from_data(weights, &self.device)).sum_dim(0)
            };
            Tensor::cat(batch.iter().map(mean).collect(), 0)
        };
        if !self.normalise {
            return Ok(vectors);
        }
        let length = (vectors.clone() * vectors.clone()).sum_dim(1).sqrt();
        Ok(vectors / length.clamp_min(1e-12))
    }
}

struct Spec(PretrainedTextConfig);

impl Spec {
    fn new(params: &Value) -> Result<Self, EncodeError> {
        let wrong = |reason: String| EncodeError::Config { encoder: NAME.to_owned(), reason };
        if params.is_null() || params.as_object().is_some_and(serde_json::Map::is_empty) {
            return Err(wrong(format!("needs `weights`, a folder with {FILES}")));
        }
        let mut config: PretrainedTextConfig =
            serde_json::from_value(params.clone()).map_err(|e| wrong(e.to_string()))?;
        let path = config.weights.join(WEIGHTS);
        let unreadable = |source| EncodeError::Read { path: path.display().to_string(), source };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(&path).map_err(unreadable)?).map_err(unreadable)?;
        let hash = hasher.finalize().to_hex().to_string();
        if let Some(expected) = config.weights_blake3.filter(|expected| *expected != hash) {
            let reason = format!("expected blake3 {expected}, found {hash}");
            return Err(refused(&path, &reason));
        }
        // Other weights are other features.
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
        summary: "BERT, RoBERTa, DistilBERT, MiniLM, GPT-2 with trained weights and their pooling",
        weights: Some(FILES),
        build: Arc::new(|params| Ok(Box::new(Spec::new(params)?))),
    }
}
