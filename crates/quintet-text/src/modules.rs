//! What the files of sentence-transformers say comes after a network: pooling, linear layers,
//! vectors of length 1.

use std::path::Path;

use burn::prelude::*;
use quintet_tensor::EncodeError;
use quintet_tensor::nn::{Activation, Linear, Loader, Params};
use serde::Deserialize;

use crate::files::{WEIGHTS, json, refused};
use crate::pooling::{Pooling, PoolingConfig, unit_length};
use crate::pretrained::NAME;
use crate::trained::check_sizes;

/// One module of `modules.json`.
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

/// `tokenizer_config.json`, where newer versions keep the longest sequence. A tokenizer without a
/// limit has 10³⁰.
#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
}

/// `config.json` of a module `Dense`.
#[derive(Debug, Deserialize)]
struct DenseConfig {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    /// The class of PyTorch.
    activation_function: String,
}

fn yes() -> bool {
    true
}

/// What is done to the vector of a text.
#[derive(Debug, Clone)]
pub(crate) enum AfterPooling {
    /// A linear layer and its activation.
    Dense(Box<Linear>, Activation),
    /// Length 1.
    Normalise,
}

impl AfterPooling {
    /// `[texts, d_in] → [texts, d_out]`.
    pub(crate) fn forward(&self, vectors: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(linear, activation) => linear.forward(vectors, *activation),
            Self::Normalise => unit_length(vectors),
        }
    }
}

/// What the files say.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    pub(crate) pooling: Option<Pooling>,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) after: Vec<AfterPooling>,
}

impl Modules {
    /// Reads the files of a folder, and the arrays of linear layers onto a device.
    pub(crate) fn read(folder: &Path, device: &Device) -> Result<Self, EncodeError> {
        let mut said = Self::default();
        let sentence = folder.join("sentence_bert_config.json");
        if sentence.is_file() {
            said.max_tokens = json::<SentenceConfig>(NAME, &sentence)?.max_seq_length;
        }
        let list = folder.join("modules.json");
        if !list.is_file() {
            return Ok(said);
        }
        let tokens = folder.join("tokenizer_config.json");
        if said.max_tokens.is_none() && tokens.is_file() {
            let most = json::<TokenizerConfig>(NAME, &tokens)?.model_max_length;
            said.max_tokens = most.map(|most| most as usize);
        }
        for module in json::<Vec<Module>>(NAME, &list)? {
            let within = Path::new(&module.path);
            let inside = within.components().all(|c| matches!(c, std::path::Component::Normal(_)));
            if !inside {
                let found = format!("expected a path within the folder, found {:?}", module.path);
                return Err(refused(NAME, &list, &found));
            }
            let path = folder.join(within);
            match module.kind.rsplit('.').next() {
                Some("Transformer") => {}
                Some("Normalize") => said.after.push(AfterPooling::Normalise),
                Some("Dense") => said.after.push(dense(&path, device)?),
                Some("Pooling") => {
                    let path = path.join("config.json");
                    let config: PoolingConfig = json(NAME, &path)?;
                    said.pooling = Some(config.pooling().map_err(|e| refused(NAME, &path, &e))?);
                }
                _ => {
                    let found = format!("the module {:?}", module.kind);
                    let expected = "expected Transformer, Pooling, Dense and Normalize, found";
                    return Err(refused(NAME, &list, &format!("{expected} {found}")));
                }
            }
        }
        Ok(said)
    }

    /// Whether vectors end with length 1, as is asked for or as the files have it.
    pub(crate) fn normalise(&mut self, asked: Option<bool>) {
        let is = matches!(self.after.last(), Some(AfterPooling::Normalise));
        match asked {
            Some(true) if !is => self.after.push(AfterPooling::Normalise),
            Some(false) if is => {
                self.after.pop();
            }
            _ => {}
        }
    }

    /// The width of what comes out when `dim` comes in.
    ///
    /// # Errors
    /// A linear layer takes another width.
    pub(crate) fn dim(&self, folder: &Path, dim: usize) -> Result<usize, EncodeError> {
        let mut width = dim;
        for after in &self.after {
            if let AfterPooling::Dense(linear, _) = after {
                let [d_out, d_in] = linear.weight().dims();
                if d_in != width {
                    let found = format!("in_features: expected {width}, found {d_in}");
                    return Err(refused(NAME, folder, &format!("module Dense: {found}")));
                }
                width = d_out;
            }
        }
        Ok(width)
    }
}

fn dense(folder: &Path, device: &Device) -> Result<AfterPooling, EncodeError> {
    let path = folder.join("config.json");
    let config: DenseConfig = json(NAME, &path)?;
    let sizes = [("in_features", config.in_features), ("out_features", config.out_features)];
    check_sizes(&sizes).map_err(|e| refused(NAME, &path, &e))?;
    let activation = match config.activation_function.rsplit('.').next() {
        Some("Identity") => Activation::None,
        Some("Tanh") => Activation::Tanh,
        Some("ReLU") => Activation::Relu,
        Some("GELU") => Activation::Gelu,
        _ => {
            let found = &config.activation_function;
            let expected = "activation_function: expected Identity, Tanh, ReLU or GELU";
            return Err(refused(NAME, &path, &format!("{expected}, found {found:?}")));
        }
    };
    let loader = Loader::open(&folder.join(WEIGHTS), device)?;
    let linear = linear(&loader.root().at("linear"), &config);
    loader.finish("Dense", &[])?;
    Ok(AfterPooling::Dense(Box::new(linear), activation))
}

fn linear(params: &Params, config: &DenseConfig) -> Linear {
    let (d_in, d_out) = (config.in_features, config.out_features);
    if config.bias {
        return Linear::new(params, d_in, d_out);
    }
    let init = quintet_tensor::nn::Init::Normal(0.02);
    Linear::of(params.array("weight", [d_out, d_in], init), None)
}
