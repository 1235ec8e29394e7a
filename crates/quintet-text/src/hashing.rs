//! Feature hashing: every term has a place by its hash, so that there is no vocabulary to fit.
//!
//! Paper: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.
//! <https://arxiv.org/abs/0902.2206>
//! Places and signs are those of scikit-learn's `HashingVectorizer`: the 32-bit MurmurHash3 of the
//! term as a signed number, whose sign is that of the term and whose amount, divided by `dim`,
//! leaves its place.
//! Cost: one pass over the text, no parameters. A text has the same vector in every catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::{
    Device, EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec,
    MediaEncoder, RawMedia,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::open::{MAX_TEXT_BYTES, nothing_known, open_text};
use crate::params::{at_least_one, parse, refused};
use crate::sparse::{SparseVector, to_tensor};
use crate::tokenize::{Tokenizer, TokenizerConfig};

/// Registry name.
pub const NAME: &str = "hashing";

/// Items that go into one tensor at once.
const MICRO_BATCH: usize = 1024;

/// Widest vectors: every item has one, zeros and all.
const WIDEST: usize = 1 << 16;

/// Parameters of [`Hashing`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HashingConfig {
    /// Width of the vectors, at most 65,536.
    pub dim: usize,
    /// 1: words; 2: words and pairs of neighbours.
    pub ngrams: usize,
    /// 0: terms are words; else their pieces of so many characters.
    pub characters: usize,
    /// Leaves out stop words.
    pub stop_words: bool,
    /// The language of the stop words, by its code.
    pub language: String,
    /// Half of the terms count negative, so that terms of one place do not add up on average.
    pub signed: bool,
    /// Scales every vector to length 1.
    pub normalise: bool,
}

impl Default for HashingConfig {
    fn default() -> Self {
        Self {
            dim: 1024,
            ngrams: 1,
            characters: 0,
            stop_words: true,
            language: "en".to_owned(),
            signed: true,
            normalise: true,
        }
    }
}

/// The encoder: any text to the counts of its terms, `[dim]`.
#[derive(Debug, Clone)]
pub struct Hashing {
    info: EncoderInfo,
    tokenizer: Tokenizer,
    config: HashingConfig,
}

impl Hashing {
    /// The encoder of some parameters.
    ///
    /// # Errors
    /// [`EncodeError::Config`] that names the parameter.
    pub fn new(config: &HashingConfig) -> Result<Self, EncodeError> {
        at_least_one(NAME, &[("dim", config.dim)])?;
        if config.dim > WIDEST {
            return Err(refused(NAME, format!("dim is at most {WIDEST}, found {}", config.dim)));
        }
        let tokenizer = Tokenizer::new(&TokenizerConfig {
            stop_words: config.stop_words,
            language: config.language.clone(),
            ngrams: config.ngrams,
            characters: config.characters,
        });
        let info = EncoderInfo {
            name: NAME.to_owned(),
            modality: Modality::Text,
            dim: config.dim,
            limits: format!("UTF-8 text of at most {} MiB", MAX_TEXT_BYTES >> 20),
        };
        let tokenizer = tokenizer.map_err(|e| refused(NAME, e))?;
        Ok(Self { info, tokenizer, config: config.clone() })
    }

    /// The place of a term and what it counts there.
    fn place(&self, term: &str) -> (u32, f64) {
        // A slice is read without errors.
        let hash = murmur3::murmur3_32(&mut term.as_bytes(), 0).unwrap_or_default() as i32;
        let sign = if self.config.signed && hash < 0 { -1.0 } else { 1.0 };
        (hash.unsigned_abs() % self.config.dim as u32, sign)
    }
}

impl Encoder for Hashing {
    type Raw = str;
    type Prepared = SparseVector;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    /// A text without a word has no vector, so that the item counts as one without text.
    fn prepare(&self, text: &str) -> Result<SparseVector, EncodeError> {
        let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
        for term in self.tokenizer.terms(text) {
            let (place, count) = self.place(&term);
            *sums.entry(place).or_default() += count;
        }
        if sums.is_empty() {
            return Err(nothing_known("at least one word", "no word".to_owned()));
        }
        // Terms of one place and of different signs.
        sums.retain(|_, sum| *sum != 0.0);
        if sums.is_empty() {
            let found = "words that cancel each other out".to_owned();
            return Err(nothing_known("words with a sum", found));
        }
        let length = match self.config.normalise {
            true => sums.values().map(|sum| sum * sum).sum::<f64>().sqrt(),
            false => 1.0,
        };
        Ok(SparseVector {
            indices: sums.keys().copied().collect(),
            values: sums.values().map(|sum| (sum / length) as f32).collect(),
        })
    }

    fn forward(&self, batch: &[SparseVector], device: &Device) -> Result<Tensor<2>, EncodeError> {
        to_tensor(batch, self.info.dim, device) // [batch, dim]
    }
}

struct Spec(Hashing);

impl EncoderSpec for Spec {
    fn config(&self) -> Value {
        serde_json::to_value(&self.0.config).unwrap_or(Value::Null)
    }

    fn reads_corpus(&self) -> bool {
        false
    }

    /// There is nothing to fit.
    fn fit(
        &self,
        _: &[&RawMedia],
        _: SeedStream,
        _: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        Ok(Box::new(EncoderFace::new(self.0.clone(), open_text, MICRO_BATCH)))
    }
}

/// The registry entry.
pub(crate) fn entry() -> EncoderEntry {
    EncoderEntry {
        name: NAME,
        modality: Modality::Text,
        summary: "counts of words, word pairs or pieces of words at places given by their hash",
        weights: None,
        learn: None,
        build: Arc::new(|params| Ok(Box::new(Spec(Hashing::new(&parse(NAME, params)?)?)))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_sign_keeps_terms_of_one_place_apart() {
        let of = |signed| {
            let config = HashingConfig { dim: 1, signed, normalise: false, ..Default::default() };
            Hashing::new(&config).unwrap()
        };
        let signs: Vec<f64> = (0..1_000).map(|n| of(true).place(&format!("word{n}")).1).collect();
        let negative = signs.iter().filter(|sign| **sign < 0.0).count();
        assert!((450..550).contains(&negative), "{negative}");
        // Without signs one place counts all words.
        assert_eq!(of(false).prepare("river, lake, sea").unwrap().values, [3.0]);
        // With them some pair of words is nothing.
        let plus = signs.iter().position(|sign| *sign > 0.0).unwrap();
        let minus = signs.iter().position(|sign| *sign < 0.0).unwrap();
        let both = of(true).prepare(&format!("word{plus} word{minus}")).unwrap_err();
        assert!(both.to_string().contains("cancel each other"), "{both}");
    }

    #[test]
    fn a_text_without_a_word_and_bad_parameters_are_errors() {
        let hashing = Hashing::new(&HashingConfig::default()).unwrap();
        assert_eq!(hashing.prepare("the of …").unwrap_err().code(), "empty");
        let refusal = |params: Value| (entry().build)(&params).map(|_| ()).unwrap_err().to_string();
        assert!(refusal(json!({"dim": 1 << 20})).contains("at most 65536, found 1048576"));
        assert!(refusal(json!({"ngrams": 0})).contains("ngrams is 1 or 2, found 0"));
    }
}
