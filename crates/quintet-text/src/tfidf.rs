//! TF-IDF: how often a term occurs in a text, weighed by how few texts have it.
//!
//! The weights are those of scikit-learn's `TfidfVectorizer` with `sublinear_tf=True,
//! smooth_idf=True, norm="l2"` and the token pattern `[^\W_]+`:
//! `(1 + ln count) · (ln((1 + documents) / (1 + documents with the term)) + 1)`, rows of length 1.
//! Differences: the stop list is our own, and where `max_features` cuts between terms of equal
//! count the alphabet decides.

use std::collections::HashMap;

use quintet_tensor::EncodeError;
use rayon::prelude::*;

use crate::sparse::SparseVector;
use crate::tfidf_svd::{NAME, TfidfSvdConfig};
use crate::tokenize::Tokenizer;

/// A vocabulary and its weights, fitted on a corpus.
#[derive(Debug, Clone)]
pub struct Tfidf {
    tokenizer: Tokenizer,
    terms: Vec<String>,
    position: HashMap<String, u32>,
    idf: Vec<f64>,
}

/// In how many documents a term occurs, and how often in all.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    documents: u64,
    total: u64,
}

impl Tfidf {
    /// Learns the vocabulary of `documents`. Documents without a word count as documents.
    ///
    /// # Errors
    /// [`EncodeError::Corpus`] when no term is left after pruning.
    pub fn fit<S: AsRef<str> + Sync>(
        config: &TfidfSvdConfig,
        documents: &[S],
    ) -> Result<Self, EncodeError> {
        let tokenizer = Tokenizer { stop_words: config.stop_words, ngrams: config.ngrams };
        let tallies = tally(tokenizer, documents);
        let n_terms = tallies.len();
        // The bound may be a fraction of a document: 2 of 3 documents are above 0.5.
        let most = config.max_df * documents.len() as f64;
        let mut kept: Vec<(String, Tally)> = tallies
            .into_iter()
            .filter(|(_, t)| t.documents >= config.min_df as u64 && t.documents as f64 <= most)
            .collect();
        if kept.is_empty() {
            return Err(EncodeError::Corpus {
                encoder: NAME.to_owned(),
                reason: format!(
                    "none of the {n_terms} terms of {} documents is in at least {} documents \
                     (min_df) and in at most {most} (max_df {})",
                    documents.len(),
                    config.min_df,
                    config.max_df,
                ),
            });
        }
        kept.sort_by(|(a, x), (b, y)| y.total.cmp(&x.total).then_with(|| a.cmp(b)));
        kept.truncate(config.max_features);
        kept.sort_by(|(a, _), (b, _)| a.cmp(b));
        let n = documents.len() as f64;
        let idf = kept.iter().map(|(_, t)| ((1.0 + n) / (1.0 + t.documents as f64)).ln() + 1.0);
        let idf = idf.collect();
        let terms: Vec<String> = kept.into_iter().map(|(term, _)| term).collect();
        let position = terms.iter().cloned().zip(0u32..).collect();
        Ok(Self { tokenizer, terms, position, idf })
    }

    /// The terms, in alphabetical order of their code points.
    pub fn terms(&self) -> &[String] {
        &self.terms
    }

    /// The inverse document frequencies, by term.
    pub fn idf(&self) -> &[f64] {
        &self.idf
    }

    /// The weights of `text`, a vector of length 1; without a known term it has no entry.
    pub fn transform(&self, text: &str) -> SparseVector {
        let counts = self.tokenizer.counts(text);
        let mut known: Vec<(u32, f64)> = counts
            .iter()
            .filter_map(|(term, &count)| {
                let at = *self.position.get(term)?;
                Some((at, (1.0 + f64::from(count).ln()) * self.idf[at as usize]))
            })
            .collect();
        known.sort_unstable_by_key(|&(at, _)| at);
        let norm = known.iter().map(|(_, w)| w * w).sum::<f64>().sqrt();
        SparseVector {
            indices: known.iter().map(|&(at, _)| at).collect(),
            values: known.iter().map(|&(_, w)| (w / norm) as f32).collect(),
        }
    }

    /// Number of words in `text` that are not stop words, known or not.
    pub fn n_words(&self, text: &str) -> usize {
        self.tokenizer.words(text).len()
    }
}

/// Counts are whole numbers, so the order in which threads add them does not matter.
fn tally<S: AsRef<str> + Sync>(tokenizer: Tokenizer, documents: &[S]) -> HashMap<String, Tally> {
    let merge = |mut all: HashMap<String, Tally>, more: HashMap<String, Tally>| {
        for (term, t) in more {
            let sum: &mut Tally = all.entry(term).or_default();
            sum.documents += t.documents;
            sum.total += t.total;
        }
        all
    };
    documents
        .par_iter()
        .fold(HashMap::new, |mut all: HashMap<String, Tally>, text| {
            for (term, count) in tokenizer.counts(text.as_ref()) {
                let sum = all.entry(term).or_default();
                sum.documents += 1;
                sum.total += u64::from(count);
            }
            all
        })
        .reduce(HashMap::new, |a, b| if a.len() < b.len() { merge(b, a) } else { merge(a, b) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TfidfSvdConfig {
        TfidfSvdConfig { min_df: 1, max_df: 1.0, stop_words: false, ..TfidfSvdConfig::default() }
    }

    #[test]
    fn three_documents_worked_by_hand() {
        let tfidf = Tfidf::fit(&config(), &["cat cat dog", "dog fish", "fish fish fish"]).unwrap();
        assert_eq!(tfidf.terms(), ["cat", "dog", "fish"]);
        // n = 3: ln(4/2) + 1 for cat (1 document), ln(4/3) + 1 for dog and fish (2 documents).
        let (rare, common) = (2f64.ln() + 1.0, (4f64 / 3.0).ln() + 1.0);
        assert_eq!(tfidf.idf(), [rare, common, common]);
        // "cat cat dog": cat (1 + ln 2) · rare, dog common; then length 1.
        let (cat, dog) = ((1.0 + 2f64.ln()) * rare, common);
        let norm = (cat * cat + dog * dog).sqrt();
        let v = tfidf.transform("cat cat dog");
        assert_eq!(v.indices, [0, 1]);
        assert!((f64::from(v.values[0]) - cat / norm).abs() < 1e-7);
        assert!((f64::from(v.values[1]) - dog / norm).abs() < 1e-7);
        // One term alone has weight 1, however often it occurs.
        assert_eq!(tfidf.transform("fish fish fish").values, [1.0]);
        // Unknown words weigh nothing.
        assert_eq!(tfidf.transform("cat bird cat dog horse"), v);
        assert_eq!(tfidf.transform("bird"), SparseVector::default());
    }

    #[test]
    fn pruning_by_documents_and_by_count() {
        let docs = ["a b c", "a b", "a c d d d", "a e"];
        let kept = |c: TfidfSvdConfig| Tfidf::fit(&c, &docs).unwrap().terms().join("");
        assert_eq!(kept(config()), "abcde");
        assert_eq!(kept(TfidfSvdConfig { min_df: 2, ..config() }), "abc");
        // a is in 4 of 4 documents, b and c in exactly half.
        assert_eq!(kept(TfidfSvdConfig { max_df: 0.5, ..config() }), "bcde");
        // Totals: a 4, d 3, b and c 2, e 1; the tie goes to b.
        assert_eq!(kept(TfidfSvdConfig { max_features: 3, ..config() }), "abd");
        let none = TfidfSvdConfig { min_df: 5, ..config() };
        let err = Tfidf::fit(&none, &docs).unwrap_err().to_string();
        assert!(err.contains("none of the 5 terms of 4 documents"), "{err}");
    }
}
