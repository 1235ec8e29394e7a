//! TF-IDF: how often a term occurs in a text, weighed by how few texts have it.
//!
//! The weights are those of scikit-learn's `TfidfVectorizer` with `sublinear_tf=True,
//! smooth_idf=True, norm="l2"` and the token pattern `[^\W_]+`:
//! `(1 + ln count) · (ln((1 + documents) / (1 + documents with the term)) + 1)`, rows of length 1.
//! Differences: the stop list is our own, and where `max_features` cuts between terms of equal
//! rank the alphabet decides.

use std::collections::HashMap;

use quintet_tensor::EncodeError;
use rayon::prelude::*;

use crate::sparse::SparseVector;
use crate::tokenize::Tokenizer;

/// Which terms of a corpus are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TermChoice {
    /// A term must be in at least this many documents.
    pub min_df: usize,
    /// A term must be in at most this share of the documents.
    pub max_df: f64,
    /// At most this many terms.
    pub most: usize,
    /// Which of them, where there are more; between equals the alphabet decides.
    pub rank: TermRank,
}

/// By what terms are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermRank {
    /// How often they occur in all.
    Occurrences,
    /// In how many documents they are.
    Documents,
}

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
    /// Learns the vocabulary of `documents` for the encoder that errors name. Documents without a
    /// word count as documents.
    ///
    /// # Errors
    /// [`EncodeError::Corpus`] when no term is left after pruning.
    pub fn fit<S: AsRef<str> + Sync>(
        encoder: &str,
        tokenizer: Tokenizer,
        choice: &TermChoice,
        documents: &[S],
    ) -> Result<Self, EncodeError> {
        let tallies = tally(&tokenizer, documents);
        let n_terms = tallies.len();
        // The bound may be a fraction of a document: 2 of 3 documents are above 0.5.
        let most = choice.max_df * documents.len() as f64;
        let mut kept: Vec<(String, Tally)> = tallies
            .into_iter()
            .filter(|(_, t)| t.documents >= choice.min_df as u64 && t.documents as f64 <= most)
            .collect();
        if kept.is_empty() {
            return Err(EncodeError::Corpus {
                encoder: encoder.to_owned(),
                reason: format!(
                    "none of the {n_terms} terms of {} documents is in at least {} documents \
                     (min_df) and in at most {most} (max_df {})",
                    documents.len(),
                    choice.min_df,
                    choice.max_df,
                ),
            });
        }
        let rank = |t: &Tally| match choice.rank {
            TermRank::Occurrences => t.total,
            TermRank::Documents => t.documents,
        };
        kept.sort_by(|(a, x), (b, y)| rank(y).cmp(&rank(x)).then_with(|| a.cmp(b)));
        kept.truncate(choice.most);
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
fn tally<S: AsRef<str> + Sync>(tokenizer: &Tokenizer, documents: &[S]) -> HashMap<String, Tally> {
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
    use crate::tokenize::TokenizerConfig;

    fn fit(choice: &TermChoice, documents: &[&str]) -> Result<Tfidf, EncodeError> {
        let config = TokenizerConfig { stop_words: false, ..TokenizerConfig::default() };
        Tfidf::fit("tfidf", Tokenizer::new(&config).unwrap(), choice, documents)
    }

    fn all() -> TermChoice {
        TermChoice { min_df: 1, max_df: 1.0, most: 100, rank: TermRank::Occurrences }
    }

    #[test]
    fn three_documents_worked_by_hand() {
        let tfidf = fit(&all(), &["cat cat dog", "dog fish", "fish fish fish"]).unwrap();
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
        let kept = |choice: TermChoice| fit(&choice, &docs).unwrap().terms().join("");
        assert_eq!(kept(all()), "abcde");
        assert_eq!(kept(TermChoice { min_df: 2, ..all() }), "abc");
        // a is in 4 of 4 documents, b and c in exactly half.
        assert_eq!(kept(TermChoice { max_df: 0.5, ..all() }), "bcde");
        // Totals: a 4, d 3, b and c 2, e 1; the tie goes to b.
        assert_eq!(kept(TermChoice { most: 3, ..all() }), "abd");
        // By documents d counts once.
        assert_eq!(kept(TermChoice { most: 3, rank: TermRank::Documents, ..all() }), "abc");
        let none = TermChoice { min_df: 5, ..all() };
        let err = fit(&none, &docs).unwrap_err().to_string();
        assert!(err.contains("none of the 5 terms of 4 documents"), "{err}");
    }
}
