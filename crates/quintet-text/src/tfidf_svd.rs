//! TF-IDF with truncated SVD, also called latent semantic analysis.
//!
//! Paper: Deerwester et al., "Indexing by Latent Semantic Analysis", JASIS 41 (1990).
//! Weights: see [`crate::Tfidf`]; decomposition: see [`crate::TruncatedSvd`].
//! Needs no downloaded weights: vocabulary and topics are fitted on the catalogue itself.
//! Cost: one pass over the text; parameters O(terms · dim).

use std::sync::Arc;

use burn::tensor::Tensor;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{
    Device, EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec,
    MediaEncoder, RawMedia, matrix_to_tensor,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::open::{MAX_TEXT_BYTES, nothing_known, open_corpus, open_text, unknown_words};
use crate::params::{at_least_one, parse, refused};
use crate::sparse::SparseRows;
use crate::svd::TruncatedSvd;
use crate::tfidf::{TermChoice, TermRank, Tfidf};
use crate::tokenize::{Tokenizer, TokenizerConfig};

/// Registry name.
pub const NAME: &str = "tfidf-svd";

/// Items that go into one tensor at once.
const MICRO_BATCH: usize = 1024;

/// More iterations than this change nothing but the waiting time.
const MAX_POWER_ITERATIONS: usize = 100;

/// A projection shorter than this (the text itself has length 1) is rounding.
const SHORTEST: f64 = 1e-5;

/// Parameters of [`TfidfSvd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TfidfSvdConfig {
    /// Width of the vectors asked for; a corpus of lower rank gives narrower ones.
    pub dim: usize,
    /// 1: words; 2: words and pairs of neighbours.
    pub ngrams: usize,
    /// Leaves out stop words.
    pub stop_words: bool,
    /// The language of the stop words, by its code.
    pub language: String,
    /// 0: terms are words; else their pieces of so many characters.
    pub characters: usize,
    /// A term must be in at least this many documents.
    pub min_df: usize,
    /// A term must be in at most this share of the documents, above 0, at most 1.
    pub max_df: f64,
    /// At most this many terms, those that occur most often.
    pub max_features: usize,
    /// Power iterations of the randomised decomposition, at most 100; more are more exact.
    pub power_iterations: usize,
    /// Scales every vector to length 1.
    pub normalise: bool,
}

impl Default for TfidfSvdConfig {
    fn default() -> Self {
        Self {
            dim: 128,
            ngrams: 1,
            stop_words: true,
            language: "en".to_owned(),
            characters: 0,
            min_df: 2,
            max_df: 0.5,
            max_features: 20_000,
            power_iterations: 4,
            normalise: true,
        }
    }
}

impl TfidfSvdConfig {
    /// Reads parameters; `null` gives the defaults.
    ///
    /// # Errors
    /// [`EncodeError::Config`] for an unknown key, a wrong type or a value out of range.
    pub fn from_value(params: &Value) -> Result<Self, EncodeError> {
        let config: Self = parse(NAME, params)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`EncodeError::Config`] that names the parameter.
    pub fn validate(&self) -> Result<(), EncodeError> {
        let sizes =
            [("dim", self.dim), ("min_df", self.min_df), ("max_features", self.max_features)];
        at_least_one(NAME, &sizes)?;
        self.tokenizer().validate().map_err(|e| refused(NAME, e))?;
        if self.power_iterations > MAX_POWER_ITERATIONS {
            let found = self.power_iterations;
            let expected = format!("power_iterations is at most {MAX_POWER_ITERATIONS}");
            return Err(refused(NAME, format!("{expected}, found {found}")));
        }
        if !(self.max_df > 0.0 && self.max_df <= 1.0) {
            let found = self.max_df;
            return Err(refused(NAME, format!("max_df is above 0 and at most 1, found {found}")));
        }
        if self.max_features > u32::MAX as usize {
            let found = self.max_features;
            return Err(refused(NAME, format!("max_features is below 2^32, found {found}")));
        }
        Ok(())
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

/// The fitted encoder: any text to `[dim]`.
#[derive(Debug, Clone)]
pub struct TfidfSvd {
    info: EncoderInfo,
    tfidf: Tfidf,
    svd: TruncatedSvd,
    normalise: bool,
}

impl TfidfSvd {
    /// Learns vocabulary and topics from `documents`. The width is `config.dim` or the rank of
    /// the corpus if that is smaller; [`EncoderInfo::dim`] has what came out.
    ///
    /// # Errors
    /// [`EncodeError::Config`] for a parameter out of range, [`EncodeError::Corpus`] when no
    /// term is left after pruning.
    pub fn fit<S: AsRef<str> + Sync>(
        config: &TfidfSvdConfig,
        documents: &[S],
        seed: SeedStream,
    ) -> Result<Self, EncodeError> {
        config.validate()?;
        let tokenizer = Tokenizer::new(&config.tokenizer()).map_err(|e| refused(NAME, e))?;
        let choice = TermChoice {
            min_df: config.min_df,
            max_df: config.max_df,
            most: config.max_features,
            rank: TermRank::Occurrences,
        };
        let tfidf = Tfidf::fit(NAME, tokenizer, &choice, documents)?;
        let rows: Vec<_> = documents.par_iter().map(|d| tfidf.transform(d.as_ref())).collect();
        let matrix = SparseRows::from_rows(tfidf.terms().len(), &rows);
        let svd = TruncatedSvd::fit(&matrix, config.dim, config.power_iterations, seed)?;
        let info = EncoderInfo {
            name: NAME.to_owned(),
            modality: Modality::Text,
            dim: svd.dim(),
            limits: format!("UTF-8 text of at most {} MiB", MAX_TEXT_BYTES >> 20),
        };
        Ok(Self { info, tfidf, svd, normalise: config.normalise })
    }

    /// The vocabulary and its weights.
    pub fn tfidf(&self) -> &Tfidf {
        &self.tfidf
    }

    /// The topics.
    pub fn svd(&self) -> &TruncatedSvd {
        &self.svd
    }
}

impl Encoder for TfidfSvd {
    type Raw = str;
    /// Coordinates along the topics, `[dim]`.
    type Prepared = Vec<f32>;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    /// A text that the encoder knows nothing of has no vector, so that the item counts as one
    /// without text, not as one at the origin.
    fn prepare(&self, text: &str) -> Result<Vec<f32>, EncodeError> {
        let row = self.tfidf.transform(text);
        if row.indices.is_empty() {
            let found = unknown_words(self.tfidf.n_words(text));
            return Err(nothing_known("at least one known word", found));
        }
        let mut coordinates = self.svd.project(&row);
        let length = coordinates.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length < SHORTEST {
            let found = format!("a projection of length {length:.1e}");
            return Err(nothing_known("words that the fitted topics cover", found));
        }
        if self.normalise {
            coordinates.iter_mut().for_each(|v| *v /= length);
        }
        Ok(coordinates.into_iter().map(|v| v as f32).collect())
    }

    fn forward(&self, batch: &[Vec<f32>], device: &Device) -> Result<Tensor<2>, EncodeError> {
        let matrix = Matrix::from_vec(batch.len(), self.info.dim, batch.concat())
            .map_err(|e| EncodeError::Device(e.to_string()))?;
        Ok(matrix_to_tensor(&matrix, device)) // [batch, dim]
    }
}

struct Spec(TfidfSvdConfig);

impl EncoderSpec for Spec {
    fn config(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or(Value::Null)
    }

    fn fit(
        &self,
        corpus: &[&RawMedia],
        seed: SeedStream,
        _: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        let texts = open_corpus(NAME, corpus)?;
        let encoder = TfidfSvd::fit(&self.0, &texts, seed)?;
        Ok(Box::new(EncoderFace::new(encoder, open_text, MICRO_BATCH)))
    }
}

/// The registry entry.
pub(crate) fn entry() -> EncoderEntry {
    EncoderEntry {
        name: NAME,
        modality: Modality::Text,
        summary: "TF-IDF of words or word pairs, projected by a truncated SVD of the catalogue",
        weights: None,
        learn: None,
        build: Arc::new(|params| Ok(Box::new(Spec(TfidfSvdConfig::from_value(params)?)))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DOCS: [&str; 6] = [
        "silver guitar strings and a loud guitar amplifier",
        "guitar amplifier with strings",
        "amplifier strings guitar silver",
        "red garden roses and tulips",
        "tulips in the garden",
        "garden roses red tulips",
    ];

    fn config() -> TfidfSvdConfig {
        TfidfSvdConfig { dim: 2, ..TfidfSvdConfig::default() }
    }

    fn fitted(params: &Value) -> Box<dyn MediaEncoder> {
        let corpus: Vec<RawMedia> = DOCS.iter().map(|d| RawMedia::Text((*d).into())).collect();
        let spec = (entry().build)(params).unwrap();
        spec.fit(&corpus.iter().collect::<Vec<_>>(), SeedStream::new(1), &Device::flex()).unwrap()
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn texts_of_one_theme_are_alike_and_of_two_are_not() {
        let encoder = TfidfSvd::fit(&config(), &DOCS, SeedStream::new(1)).unwrap();
        let vector = |text| encoder.prepare(text).unwrap();
        // Neither text is in the corpus; they share no word with each other.
        let (silver, guitar) = (vector("SILVER, unknown"), vector("guitar"));
        assert!(dot(&silver, &guitar) > 0.95);
        assert!(dot(&silver, &vector("roses")).abs() < 1e-4);
        assert!((dot(&silver, &silver) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_text_without_a_known_word_is_an_error_not_a_zero() {
        let encoder = TfidfSvd::fit(&config(), &DOCS, SeedStream::new(1)).unwrap();
        let message = |text| encoder.prepare(text).unwrap_err().to_string();
        let expected = "text: empty: expected at least one known word, found ";
        assert_eq!(message(""), format!("{expected}no word"));
        assert_eq!(message("the of and"), format!("{expected}no word"));
        let unknown = format!("{expected}2 words that are not in the vocabulary");
        assert_eq!(message("submarine periscope"), unknown);
        assert_eq!(encoder.prepare("").unwrap_err().code(), "empty");
    }

    #[test]
    fn the_width_is_clipped_to_the_rank_and_the_config_keeps_what_was_asked() {
        let spec = (entry().build)(&json!({"dim": 50})).unwrap();
        assert_eq!(spec.config()["dim"], 50);
        assert_eq!(spec.config()["min_df"], 2);
        // All 8 themed words are kept. The 3 rows on guitars are independent (the first has
        // "guitar" twice, the second lacks "silver"); of the 3 on
        // gardens the first and the last are equal: rank 3 + 2.
        let encoder = fitted(&json!({"dim": 50}));
        assert_eq!(encoder.info().dim, 5);
        assert_eq!(encoder.info().modality, Modality::Text);
    }

    #[test]
    fn the_face_gives_one_result_an_item_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plot.txt");
        std::fs::write(&path, "periscope").unwrap();
        let encoder = fitted(&json!({"dim": 2}));
        let texts = [RawMedia::Text("red guitar".into()), RawMedia::File(path.clone())];
        let media = [&texts[0], &texts[1], &texts[0]];
        let results = encoder.encode(&media, &Device::flex());
        assert_eq!(results.len(), 3);
        assert_eq!(results[0].as_ref().unwrap(), results[2].as_ref().unwrap());
        let message = results[1].as_ref().unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: empty", path.display())), "{message}");
        // Alone, the item has the same vector.
        let alone = encoder.encode(&[&texts[0]], &Device::flex());
        assert_eq!(alone[0].as_ref().unwrap(), results[0].as_ref().unwrap());
        assert!(encoder.encode(&[], &Device::flex()).is_empty());
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let encode = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let encoder = TfidfSvd::fit(&config(), &DOCS, SeedStream::new(3)).unwrap();
                DOCS.map(|d| encoder.prepare(d).unwrap())
            })
        };
        assert_eq!(encode(1), encode(4));
    }

    #[test]
    fn bad_parameters_are_named() {
        let refusal = |params: Value| match (entry().build)(&params) {
            Ok(_) => panic!("{params} was taken"),
            Err(e) => e.to_string(),
        };
        let unknown = refusal(json!({"dmi": 3}));
        assert!(unknown.contains("unknown field `dmi`") && unknown.contains("`dim`"), "{unknown}");
        assert!(refusal(json!({"dim": 0})).contains("dim is at least 1, found 0"));
        assert!(refusal(json!({"ngrams": 3})).contains("ngrams is 1 or 2, found 3"));
        assert!(refusal(json!({"power_iterations": 101})).contains("at most 100, found 101"));
        assert!(refusal(json!({"max_df": 1.5})).contains("max_df"));
        assert!(refusal(json!({"dim": -1})).contains("-1"));
        assert!(refusal(json!([128])).contains("expected a table"));
    }

    #[test]
    fn an_unreadable_corpus_is_refused_with_its_first_reason() {
        let spec = (entry().build)(&Value::Null).unwrap();
        let missing = RawMedia::File("no/such.txt".into());
        let reason =
            |corpus: &[&RawMedia]| match spec.fit(corpus, SeedStream::new(1), &Device::flex()) {
                Ok(_) => panic!("a corpus without text was taken"),
                Err(e) => e.to_string(),
            };
        assert!(reason(&[]).contains("the corpus is empty"));
        let message = reason(&[&missing]);
        assert!(message.contains("none of 1 texts") && message.contains("no/such.txt"));
    }
}
