//! The networks that `config.json` can ask for, behind one face.

use burn::prelude::*;
use quintet_tensor::nn::{Loader, Params};
use quintet_tensor::{EncodeError, WeightError};
use serde_json::Value;

use crate::bert::{Bert, BertConfig};
use crate::clip::{ClipText, ClipTextConfig};
use crate::gpt2::{Gpt2, Gpt2Config};
use crate::pooling::Pooling;

/// What a network is, by its `model_type`.
pub(crate) enum NetworkConfig {
    Bert(BertConfig),
    Gpt2(Gpt2Config),
    Clip(ClipTextConfig),
}

impl NetworkConfig {
    /// Reads `config.json`.
    pub(crate) fn read(json: Value) -> Result<Self, String> {
        let kind = json.get("model_type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let said = |e: serde_json::Error| e.to_string();
        let config = match kind.as_str() {
            "bert" | "roberta" | "distilbert" | "electra" => {
                Self::Bert(serde_json::from_value(json).map_err(said)?)
            }
            "gpt2" => Self::Gpt2(serde_json::from_value(json).map_err(said)?),
            "clip" | "clip_text_model" => Self::Clip(ClipTextConfig::of_json(&json)?),
            _ => {
                let known = "bert, roberta, distilbert, electra, gpt2 or clip";
                return Err(format!("model_type: expected {known}, found {kind:?}"));
            }
        };
        match &config {
            Self::Bert(config) => config.validate()?,
            Self::Gpt2(config) => config.validate()?,
            Self::Clip(_) => {}
        }
        Ok(config)
    }

    pub(crate) fn dim(&self) -> usize {
        match self {
            Self::Bert(config) => config.hidden_size,
            Self::Gpt2(config) => config.n_embd,
            Self::Clip(config) => config.projection_dim,
        }
    }

    pub(crate) fn max_tokens(&self) -> usize {
        match self {
            Self::Bert(config) => config.max_tokens(),
            Self::Gpt2(config) => config.n_positions,
            Self::Clip(config) => config.max_position_embeddings,
        }
    }

    pub(crate) fn vocab_size(&self) -> usize {
        match self {
            Self::Bert(config) => config.vocab_size,
            Self::Gpt2(config) => config.vocab_size,
            Self::Clip(config) => config.vocab_size,
        }
    }

    /// How tokens become one vector where nobody says so: the last token of GPT-2 and of CLIP
    /// alone has seen all of them.
    pub(crate) fn usual_pooling(&self) -> Pooling {
        match self {
            Self::Bert(_) => Pooling::Mean,
            Self::Gpt2(_) | Self::Clip(_) => Pooling::Last,
        }
    }

    /// The network with its arrays, whose names may have the prefix of a task.
    pub(crate) fn init(&self, arrays: &Params<'_>) -> Network {
        let below = |prefix: &str, has: &str| {
            let prefixed = arrays.at(prefix);
            if prefixed.has(has) { prefixed } else { arrays.clone() }
        };
        match self {
            Self::Bert(config) => {
                let first = "embeddings.word_embeddings.weight";
                Network::Bert(Box::new(config.init(&below(config.prefix(), first))))
            }
            Self::Gpt2(config) => {
                Network::Gpt2(Box::new(config.init(&below("transformer", "wte.weight"))))
            }
            Self::Clip(config) => Network::Clip(Box::new(config.init(arrays))),
        }
    }

    /// Beginnings of the names of arrays that other tasks need.
    pub(crate) fn ignored(&self) -> &'static [&'static str] {
        const HEADS: [&str; 12] = [
            "pooler.",
            "bert.pooler.",
            "roberta.pooler.",
            "cls.",
            "classifier.",
            "pre_classifier.",
            "lm_head.",
            "vocab_",
            "qa_outputs.",
            "score.",
            "discriminator_predictions.",
            "generator_",
        ];
        match self {
            // The other tower.
            Self::Clip(_) => &["vision_model.", "visual_projection.", "logit_scale"],
            _ => &HEADS,
        }
    }

    /// Closes the account of a file.
    pub(crate) fn finish(&self, loader: Loader, name: &str) -> Result<(), EncodeError> {
        match loader.finish(name, self.ignored()) {
            // Old files of GPT-2 hold the causal mask as an array of each layer.
            Err(WeightError::Keys { unexpected, missing, misshapen, .. })
                if matches!(self, Self::Gpt2(_))
                    && missing.is_empty()
                    && misshapen.is_empty()
                    && unexpected.iter().all(|key| key.contains(".attn.bias")) =>
            {
                Ok(())
            }
            done => Ok(done?),
        }
    }
}

/// A network with its arrays.
pub(crate) enum Network {
    Bert(Box<Bert>),
    Gpt2(Box<Gpt2>),
    Clip(Box<ClipText>),
}

impl Network {
    /// The last hidden state of every token.
    pub(crate) fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        match self {
            Self::Bert(network) => network.forward(ids, lengths, device),
            Self::Gpt2(network) => network.forward(ids, lengths, device),
            Self::Clip(network) => network.forward(ids, lengths, device),
        }
    }
}
