//! BERT (Devlin et al., 2019) and the encoders of its form: RoBERTa (Liu et al., 2019), DistilBERT
//! (Sanh et al., 2019), MiniLM (Wang et al., 2020), ELECTRA (Clark et al., 2020).
//!
//! The names of arrays are those of the weights that Hugging Face publishes; `config.json` beside
//! them says which of the four layouts it is.

use burn::prelude::*;
use quintet_tensor::index_tensor;
use quintet_tensor::nn::{
    Activation, AttentionMask, Embedding, LayerNorm, Linear, Params, attention,
};
use serde::{Deserialize, Serialize};

/// More layers than this are no network but a damaged file.
pub(crate) const MOST_LAYERS: usize = 1_000;

/// Which names the arrays have, and where positions begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BertLayout {
    /// `embeddings.*`, `encoder.layer.*`; also of MiniLM.
    Bert,
    /// The same names; positions begin after that of padding.
    Roberta,
    /// `transformer.layer.*`; no segments.
    Distilbert,
    /// The names of BERT; tokens may have a width of their own, from which `embeddings_project`
    /// leads to that of the layers.
    Electra,
}

/// What `config.json` says of the architecture. Keys that do not matter here are passed over:
/// the file is somebody else's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// The layout.
    #[serde(rename = "model_type")]
    pub layout: BertLayout,
    /// Tokens that are known.
    pub vocab_size: usize,
    /// Width of a token.
    #[serde(alias = "dim")]
    pub hidden_size: usize,
    /// Width of a token before the layers, where it is another; ELECTRA alone has it.
    #[serde(default)]
    pub embedding_size: Option<usize>,
    /// Layers.
    #[serde(alias = "n_layers")]
    pub num_hidden_layers: usize,
    /// Heads of attention.
    #[serde(alias = "n_heads")]
    pub num_attention_heads: usize,
    /// Width within the feed-forward part.
    #[serde(alias = "hidden_dim")]
    pub intermediate_size: usize,
    /// Longest sequence; of RoBERTa with the places that are not used.
    pub max_position_embeddings: usize,
    /// Kinds of segments; none in DistilBERT.
    #[serde(default)]
    pub type_vocab_size: usize,
    /// What follows the first half of the feed-forward part: `gelu`, `gelu_new`, `relu`.
    #[serde(alias = "activation", default = "gelu")]
    pub hidden_act: String,
    /// What keeps layer norms from dividing by 0.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f32,
    /// The token of padding.
    #[serde(default)]
    pub pad_token_id: usize,
    /// How positions are known; only `absolute` is read.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn epsilon() -> f32 {
    1e-12
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl BertConfig {
    /// A small BERT, to be trained or for the weights of Turc et al., "Well-Read Students Learn
    /// Better", 2019: widths are multiples of 64, a head each. With 30,522 tokens, 2 layers of 128
    /// are BERT-tiny, 4 of 256 BERT-mini, 4 of 512 BERT-small, 8 of 512 BERT-medium.
    pub fn small(vocab_size: usize, num_hidden_layers: usize, hidden_size: usize) -> Self {
        Self {
            layout: BertLayout::Bert,
            vocab_size,
            hidden_size,
            embedding_size: None,
            num_hidden_layers,
            num_attention_heads: hidden_size / 64,
            intermediate_size: 4 * hidden_size,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            hidden_act: gelu(),
            layer_norm_eps: epsilon(),
            pad_token_id: 0,
            position_embedding_type: absolute(),
        }
    }

    /// Checks what cannot be computed.
    ///
    /// # Errors
    /// What is wrong, by its key.
    pub fn validate(&self) -> Result<(), String> {
        if self.num_attention_heads == 0
            || !self.hidden_size.is_multiple_of(self.num_attention_heads)
        {
            return Err(format!(
                "hidden_size {} is no multiple of num_attention_heads {}",
                self.hidden_size, self.num_attention_heads
            ));
        }
        if self.position_embedding_type != "absolute" {
            let found = &self.position_embedding_type;
            return Err(format!("position_embedding_type: expected \"absolute\", found {found:?}"));
        }
        let sizes = [self.max_tokens(), self.hidden_size, self.vocab_size, self.d_embedding()];
        if sizes.contains(&0) {
            return Err("a size of 0".to_owned());
        }
        if self.num_hidden_layers > MOST_LAYERS {
            let found = self.num_hidden_layers;
            return Err(format!("num_hidden_layers: at most {MOST_LAYERS}, found {found}"));
        }
        let act = Activation::by_name(&self.hidden_act);
        act.map(|_| ()).map_err(|e| format!("hidden_act: {e}"))
    }

    /// The position of the first token.
    fn first_position(&self) -> usize {
        if self.layout == BertLayout::Roberta { self.pad_token_id + 1 } else { 0 }
    }

    /// Width of a token before the layers. What other layouts say of it has no meaning there.
    fn d_embedding(&self) -> usize {
        match (self.layout, self.embedding_size) {
            (BertLayout::Electra, Some(width)) => width,
            _ => self.hidden_size,
        }
    }

    /// The longest sequence in tokens.
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

    /// The names of `init` begin with it where the weights have a head for some task.
    pub fn prefix(&self) -> &'static str {
        match self.layout {
            BertLayout::Bert => "bert",
            BertLayout::Roberta => "roberta",
            BertLayout::Distilbert => "distilbert",
            BertLayout::Electra => "electra",
        }
    }

    /// The network with its arrays.
    pub fn init(&self, params: &Params) -> Bert {
        let names = Names::of(self.layout);
        let embeddings = params.at("embeddings");
        let (dim, d_embedding) = (self.hidden_size, self.d_embedding());
        let table = |name, rows| Embedding::new(&embeddings.at(name), rows, d_embedding);
        let layers = params.at(names.layers);
        Bert {
            words: table("word_embeddings", self.vocab_size),
            positions: table("position_embeddings", self.max_position_embeddings),
            segments: (self.type_vocab_size > 0)
                .then(|| table("token_type_embeddings", self.type_vocab_size)),
            norm: LayerNorm::new(&embeddings.at("LayerNorm"), d_embedding, self.layer_norm_eps),
            project: (d_embedding != dim)
                .then(|| Linear::new(&params.at("embeddings_project"), d_embedding, dim)),
            layers: (0..self.num_hidden_layers)
                .map(|n| BertLayer::new(&layers.at(n), self, &names))
                .collect(),
            heads: self.num_attention_heads,
            first_position: self.first_position(),
        }
    }
}

/// What the parts of a layer are called.
struct Names {
    layers: &'static str,
    qkv: [&'static str; 3],
    attention_out: &'static str,
    attention_norm: &'static str,
    wide: &'static str,
    narrow: &'static str,
    norm: &'static str,
}

impl Names {
    fn of(layout: BertLayout) -> Self {
        match layout {
            BertLayout::Bert | BertLayout::Roberta | BertLayout::Electra => Self {
                layers: "encoder.layer",
                qkv: ["attention.self.query", "attention.self.key", "attention.self.value"],
                attention_out: "attention.output.dense",
                attention_norm: "attention.output.LayerNorm",
                wide: "intermediate.dense",
                narrow: "output.dense",
                norm: "output.LayerNorm",
            },
            BertLayout::Distilbert => Self {
                layers: "transformer.layer",
                qkv: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
                attention_out: "attention.out_lin",
                attention_norm: "sa_layer_norm",
                wide: "ffn.lin1",
                narrow: "ffn.lin2",
                norm: "output_layer_norm",
            },
        }
    }
}

/// One layer: attention, then a feed-forward part, each with its sum and norm.
#[derive(Debug, Clone)]
struct BertLayer {
    /// Queries, keys and values side by side.
    qkv: Linear,
    attention_out: Linear,
    attention_norm: LayerNorm,
    wide: Linear,
    narrow: Linear,
    norm: LayerNorm,
    activation: Activation,
}

impl BertLayer {
    fn new(params: &Params, config: &BertConfig, names: &Names) -> Self {
        let (dim, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |name| LayerNorm::new(&params.at(name), dim, config.layer_norm_eps);
        Self {
            qkv: Linear::joined(params, &names.qkv, dim, dim),
            attention_out: Linear::new(&params.at(names.attention_out), dim, dim),
            attention_norm: norm(names.attention_norm),
            wide: Linear::new(&params.at(names.wide), dim, inner),
            narrow: Linear::new(&params.at(names.narrow), inner, dim),
            norm: norm(names.norm),
            // `BertConfig::validate` lets no other through.
            activation: Activation::by_name(&config.hidden_act).unwrap_or(Activation::Gelu),
        }
    }

    fn forward(&self, x: Tensor<2>, lengths: &[usize], heads: usize) -> Tensor<2> {
        let qkv = self.qkv.forward(x.clone(), Activation::None);
        let mixed = attention(qkv, lengths, heads, AttentionMask::Full);
        let mixed = self.attention_out.forward(mixed, Activation::None);
        let x = self.attention_norm.forward_sum(mixed, x);
        let inner = self.wide.forward(x.clone(), self.activation);
        let inner = self.narrow.forward(inner, Activation::None);
        self.norm.forward_sum(inner, x)
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Bert {
    words: Embedding,
    positions: Embedding,
    segments: Option<Embedding>,
    norm: LayerNorm,
    /// To the width of the layers.
    project: Option<Linear>,
    layers: Vec<BertLayer>,
    heads: usize,
    first_position: usize,
}

impl Bert {
    /// The last hidden state of every token, `[tokens, hidden_size]`, of sequences that lie one
    /// after the other.
    ///
    /// # Panics
    /// When the lengths do not add up to the number of ids, a sequence is longer than
    /// [`BertConfig::max_tokens`], or an id is not below the size of the vocabulary.
    pub fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        let longest = self.positions.rows() - self.first_position;
        assert!(lengths.iter().all(|n| *n <= longest), "a sequence of more than {longest} tokens");
        let vocabulary = self.words.rows();
        assert!(ids.iter().all(|id| (*id as usize) < vocabulary), "an id beyond {vocabulary}");
        let positions: Vec<u32> = lengths
            .iter()
            .flat_map(|n| (0..*n).map(|at| (self.first_position + at) as u32))
            .collect();
        let mut x = self.words.forward(index_tensor(ids, device))
            + self.positions.forward(index_tensor(&positions, device));
        if let Some(segments) = &self.segments {
            let width = x.dims()[1];
            x = x + segments.forward(index_tensor(&[0], device)).expand([ids.len(), width]);
        }
        let mut x = self.norm.forward(x);
        if let Some(project) = &self.project {
            x = project.forward(x, Activation::None);
        }
        for layer in &self.layers {
            x = layer.forward(x, lengths, self.heads);
        }
        x
    }

    /// Width of a token.
    pub fn dim(&self) -> usize {
        let before = &self.words.weight;
        self.project.as_ref().map_or(before.dims()[1], |project| project.weight().dims()[0])
    }
}
