//! Bag of embeddings: the mean, or the largest numbers, of the vectors of a text's words.
//!
//! Papers: Iyyer et al., "Deep Unordered Composition Rivals Syntactic Methods for Text
//! Classification", ACL 2015; vectors: Mikolov et al., "Efficient Estimation of Word
//! Representations in Vector Space", 2013, Pennington et al., "GloVe", EMNLP 2014, Bojanowski et
//! al., "Enriching Word Vectors with Subword Information" (fastText), TACL 2017.
//! Cost: parameters O(vocabulary · dim), a text O(words · dim).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::nn::{Embedding, Loader, Params};
use quintet_tensor::{
    EncodeError, EncoderEntry, EncoderSpec, MediaEncoder, RawMedia, WeightFile, index_tensor,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::{WEIGHTS, hash, refused};
use crate::params;
use crate::pooling::Pooling;
use crate::trained::{TextNetwork, TrainedText, needs_weights};
use crate::vocabulary::{TextIds, Vocabulary};
use crate::word_vectors::WordVectors;

/// Registry name.
pub const NAME: &str = "bag";

/// What the weights are.
const FILES: &str = "word vectors as text (word2vec, GloVe, fastText), or a folder with \
                     model.safetensors and vocab.txt or tokenizer.json";

/// Words of a text that count, so that one text cannot take all memory.
const MOST_TOKENS: usize = 1 << 14;

/// How the vectors of words become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BagPooling {
    /// Their mean.
    #[default]
    Mean,
    /// The largest number in each place.
    Max,
}

/// The sizes of a [`Bag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BagConfig {
    /// Tokens that are known.
    pub vocab_size: usize,
    /// Width of a word vector.
    pub embedding_dim: usize,
    /// How the vectors of words become one.
    pub pooling: BagPooling,
}

impl BagConfig {
    /// The network with the array `embedding.weight`.
    pub fn init(&self, params: &Params) -> Bag {
        let table =
            Embedding::of_words(&params.at("embedding"), self.vocab_size, self.embedding_dim);
        Bag { embedding: table, pooling: self.pooling }
    }
}

/// A table of word vectors and their pooling.
#[derive(Debug, Clone)]
pub struct Bag {
    embedding: Embedding,
    pooling: BagPooling,
}

impl Bag {
    /// Vectors of texts that lie one after the other, `[texts, dim]`.
    ///
    /// # Panics
    /// When the lengths do not add up to the number of ids, a text is empty, or an id is not below
    /// the size of the vocabulary.
    pub fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        let words = self.embedding.forward(index_tensor(ids, device)); // [words, dim]
        match self.pooling {
            BagPooling::Mean => Pooling::Mean.forward(words, lengths),
            BagPooling::Max => Pooling::Max.forward(words, lengths),
        }
    }

    /// Width of the vectors.
    pub fn dim(&self) -> usize {
        self.embedding.weight.dims()[1]
    }
}

impl TextNetwork for Bag {
    fn dim(&self) -> usize {
        self.dim()
    }

    fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        self.forward(ids, lengths, device)
    }
}

/// Parameters of the encoder `bag`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BagTextConfig {
    /// A file with word vectors, or a folder with `model.safetensors` and a vocabulary.
    weights: PathBuf,
    /// How the vectors of words become one.
    #[serde(default)]
    pooling: BagPooling,
    /// Whether vectors are brought to length 1.
    #[serde(default)]
    normalise: bool,
    /// At most so many words are read from a file of text, the first ones.
    #[serde(default = "max_words")]
    max_words: usize,
    /// The hash of the file of vectors, where it must be this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights_blake3: Option<String>,
}

fn max_words() -> usize {
    1_000_000
}

impl BagTextConfig {
    /// The file with the numbers.
    fn numbers(&self) -> PathBuf {
        if self.weights.is_dir() { self.weights.join(WEIGHTS) } else { self.weights.clone() }
    }

    fn open(&self, device: &Device) -> Result<TrainedText<Bag>, EncodeError> {
        let (ids, network) = if self.weights.is_dir() {
            self.of_folder(&self.weights, device)?
        } else {
            let vectors = WordVectors::open(&self.weights, self.max_words)?;
            let shape = [vectors.words.len(), vectors.dim];
            let weight = Tensor::from_data(TensorData::new(vectors.numbers, shape), device);
            let ids = TextIds::Words(Vocabulary::new(vectors.words));
            (ids, Bag { embedding: Embedding { weight }, pooling: self.pooling })
        };
        Ok(TrainedText {
            info: TrainedText::<Bag>::info(NAME, network.dim(), MOST_TOKENS),
            ids,
            vocab_size: network.embedding.rows(),
            network,
            device: device.clone(),
            normalise: self.normalise,
            max_tokens: MOST_TOKENS,
        })
    }

    fn of_folder(&self, folder: &Path, device: &Device) -> Result<(TextIds, Bag), EncodeError> {
        let ids = TextIds::open(NAME, folder)?;
        let path = folder.join(WEIGHTS);
        let shape = WeightFile::open(&path)?.shape("embedding.weight").map(<[usize]>::to_vec);
        let [vocab_size, embedding_dim] = match shape.as_deref() {
            Some(&[rows, dim]) if rows > 0 && dim > 0 => [rows, dim],
            found => {
                let found = found.map_or("none".to_owned(), |shape| format!("{shape:?}"));
                let expected = "expected embedding.weight, [words, dim]";
                return Err(refused(NAME, &path, &format!("{expected}, found {found}")));
            }
        };
        if ids.n_ids() > vocab_size {
            let found = format!("{} ids for {vocab_size} vectors", ids.n_ids());
            return Err(refused(NAME, folder, &found));
        }
        let loader = Loader::open(&path, device)?;
        let config = BagConfig { vocab_size, embedding_dim, pooling: self.pooling };
        let network = config.init(&loader.root());
        // What else is there belongs to the network that the vectors were trained in.
        loader.finish(NAME, &[""])?;
        Ok((ids, network))
    }
}

struct Spec(BagTextConfig);

impl Spec {
    fn new(params: &Value) -> Result<Self, EncodeError> {
        needs_weights(NAME, FILES, params)?;
        let mut config: BagTextConfig = serde_json::from_value(params.clone())
            .map_err(|e| params::refused(NAME, e.to_string()))?;
        params::at_least_one(NAME, &[("max_words", config.max_words)])?;
        // Other weights are other features.
        let hash = hash(NAME, &config.numbers(), config.weights_blake3.as_deref())?;
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

    /// There is nothing to fit: the vectors are read.
    fn fit(
        &self,
        _: &[&RawMedia],
        _: SeedStream,
        device: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        Ok(self.0.open(device)?.face())
    }
}

/// The registry entry.
pub(crate) fn entry() -> EncoderEntry {
    EncoderEntry {
        name: NAME,
        modality: Modality::Text,
        summary: "the mean or maximum of trained word vectors (word2vec, GloVe, fastText)",
        weights: Some(FILES),
        learn: None,
        build: Arc::new(|params| Ok(Box::new(Spec::new(params)?))),
    }
}
