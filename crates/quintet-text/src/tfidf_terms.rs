//! TF-IDF weights of the terms that most texts have, without a projection.
//!
//! Paper: Salton and Buckley, "Term-weighting approaches in automatic text retrieval", Information
//! Processing & Management 24 (1988). Weights: see [`crate::Tfidf`].
//! Every place of a vector is a term, so that a person can read it.
//! Cost: one pass over the text; vectors as wide as the vocabulary.

use std::sync::Arc;

use burn::tensor::Tensor;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::{
    Device, EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec,
    MediaEncoder, RawMedia,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::open::{MAX_TEXT_BYTES, nothing_known, open_corpus, open_text, unknown_words};
use crate::params::{at_least_one, parse, refused};
use crate::sparse::{SparseVector, to_tensor};
use crate::tfidf::{TermChoice, TermRank, Tfidf};
use crate::tokenize::{Tokenizer, TokenizerConfig};

/// Registry name.
pub const NAME: &str = "tfidf";

/// Items that go into one tensor at once.
const MICRO_BATCH: usize = 1024;

/// Widest vectors: every item has one, zeros and all.
const WIDEST: usize = 1 << 16;

/// Parameters of [`TfidfTerms`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TfidfTermsConfig {
    /// At most this many terms, those of most documents; a smaller vocabulary gives narrower
    /// vectors. At most 65,536.
    pub dim: usize,
    /// 1: words; 2: words and pairs of neighbours.
    pub ngrams: usize,
    /// 0: terms are words; else their pieces of so many characters.
    pub characters: usize,
    /// Leaves out stop words.
    pub stop_words: bool,
    /// The language of the stop words, by its code.
    pub language: String,
    /// A term must be in at least this many documents.
    pub min_df: usize,
    /// A term must be in at most this share of the documents, above 0, at most 1.
    pub max_df: f64,
}

impl Default for TfidfTermsConfig {
    fn default() -> Self {
        Self {
            dim: 512,
            ngrams: 1,
            characters: 0,
            stop_words: true,
            language: "en".to_owned(),
            min_df: 2,
            max_df: 0.5,
        }
    }
}

impl TfidfTermsConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`EncodeError::Config`] that names the parameter.
    pub fn validate(&self) -> Result<(), EncodeError> {
        at_least_one(NAME, &[("dim", self.dim), ("min_df", self.min_df)])?;
        if self.dim > WIDEST {
            return Err(refused(NAME, format!("dim is at most {WIDEST}, found {}", self.dim)));
        }
        if !(self.max_df > 0.0 && self.max_df <= 1.0) {
            let found = self.max_df;
            return Err(refused(NAME, format!("max_df is above 0 and at most 1, found {found}")));
        }
        self.tokenizer().validate().map_err(|e| refused(NAME, e))
    }

    fn tokenizer(&self) -> TokenizerConfig {
        TokenizerConfig {
            stop_words: self.stop_words,
            language: self.language.clone(),
            ngrams: self.ngrams,
            characters: self.characters,
        }
    }
}

/// The fitted encoder: any text to the weights of the terms, `[dim]`.
#[derive(Debug, Clone)]
pub struct TfidfTerms {
    info: EncoderInfo,
    tfidf: Tfidf,
}

impl TfidfTerms {
    /// Learns the vocabulary from `documents`.
    ///
    /// # Errors
    /// [`EncodeError::Config`] for a parameter out of range, [`EncodeError::Corpus`] when no
    /// term is left after pruning.
    pub fn fit<S: AsRef<str> + Sync>(
        config: &TfidfTermsConfig,
        documents: &[S],
    ) -> Result<Self, EncodeError> {
        config.validate()?;
        let tokenizer = Tokenizer::new(&config.tokenizer()).map_err(|e| refused(NAME, e))?;
        let choice = TermChoice {
            min_df: config.min_df,
            max_df: config.max_df,
            most: config.dim,
            rank: TermRank::Documents,
        };
        let tfidf = Tfidf::fit(NAME, tokenizer, &choice, documents)?;
        let info = EncoderInfo {
            name: NAME.to_owned(),
            modality: Modality::Text,
            dim: tfidf.terms().len(),
            limits: format!("UTF-8 text of at most {} MiB", MAX_TEXT_BYTES >> 20),
        };
        Ok(Self { info, tfidf })
    }

    /// The vocabulary, a place of the vectors each, and its weights.
    pub fn tfidf(&self) -> &Tfidf {
        &self.tfidf
    }
}

impl Encoder for TfidfTerms {
    type Raw = str;
    type Prepared = SparseVector;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    /// A text without a known term has no vector, so that the item counts as one without text.
    fn prepare(&self, text: &str) -> Result<SparseVector, EncodeError> {
        let row = self.tfidf.transform(text);
        if row.indices.is_empty() {
            let found = unknown_words(self.tfidf.n_words(text));
            return Err(nothing_known("at least one known word", found));
        }
        Ok(row)
    }

    fn forward(&self, batch: &[SparseVector], device: &Device) -> Result<Tensor<2>, EncodeError> {
        to_tensor(batch, self.info.dim, device) // [batch, dim]
    }
}

struct Spec(TfidfTermsConfig);

impl EncoderSpec for Spec {
    fn config(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or(Value::Null)
    }

    fn fit(
        &self,
        corpus: &[&RawMedia],
        _: SeedStream,
        _: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        let encoder = TfidfTerms::fit(&self.0, &open_corpus(NAME, corpus)?)?;
        Ok(Box::new(EncoderFace::new(encoder, open_text, MICRO_BATCH)))
    }
}

/// The registry entry.
pub(crate) fn entry() -> EncoderEntry {
    EncoderEntry {
        name: NAME,
        modality: Modality::Text,
        summary: "TF-IDF of the words, word pairs or pieces of words that most texts have",
        weights: None,
        learn: None,
        build: Arc::new(|params| {
            let config: TfidfTermsConfig = parse(NAME, params)?;
            config.validate()?;
            Ok(Box::new(Spec(config)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_a_term_of_many_documents() {
        let docs = ["red rose", "red tulip", "rose tulip rose", "red lily lily lily"];
        let config = TfidfTermsConfig { dim: 2, max_df: 1.0, ..TfidfTermsConfig::default() };
        let encoder = TfidfTerms::fit(&config, &docs).unwrap();
        // red is in 3 documents, rose and tulip in 2 (the alphabet decides), lily in 1.
        assert_eq!(encoder.tfidf().terms(), ["red", "rose"]);
        let batch = ["rose, a rose", "red rose"].map(|text| encoder.prepare(text).unwrap());
        let rows = encoder.forward(&batch, &Device::flex()).unwrap().into_data();
        let rows = rows.try_to_vec::<f32>().unwrap();
        // idf: red ln(5/4) + 1 = 1.2231, rose ln(5/3) + 1 = 1.5108; length 1.9439.
        let expected = [0.0, 1.0, 1.2231 / 1.9439, 1.5108 / 1.9439];
        assert!(rows.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-4), "{rows:?}");
        let message = encoder.prepare("tulip").unwrap_err().to_string();
        assert!(message.contains("1 word that is not in the vocabulary"), "{message}");
    }

    #[test]
    fn bad_parameters_are_named() {
        let refusal = |params: Value| (entry().build)(&params).map(|_| ()).unwrap_err().to_string();
        assert!(refusal(json!({"dim": 70_000})).contains("dim is at most 65536, found 70000"));
        assert!(refusal(json!({"dim": 0})).contains("dim is at least 1"));
        assert!(refusal(json!({"max_df": 0.0})).contains("max_df"));
        assert!(refusal(json!({"language": "xx"})).contains("\"xx\""));
        assert!(refusal(json!({"characters": 3, "ngrams": 2})).contains("ask for one"));
    }
}
