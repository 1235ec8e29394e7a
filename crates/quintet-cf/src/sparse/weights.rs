//! How much a cell weighs before entities are compared.
//!
//! An entity is a document and a term a word of it: words that are everywhere say little. With
//! `N` entities, `n_t` entities of term `t`, `len_e = Σ_t r_te`:
//!
//! ```text
//! tfidf   w = √r · (ln N − ln(1 + n_t))
//! bm25    w = r (k1 + 1) / (r + k1 (1 − b + b · len_e / mean len)) · (ln N − ln(1 + n_t))
//! ```
//!
//! These are the conventions of the `implicit` library; Robertson & Zaragoza, "The Probabilistic
//! Relevance Framework: BM25 and Beyond", FnTIR 2009, is where BM25 comes from. A term that
//! nearly all entities have weighs 0 or below.

use quintet_core::{Interactions, UserIdx};
use serde::{Deserialize, Serialize};

/// Which weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// The values as they are.
    #[default]
    None,
    /// Term frequency, inverse document frequency.
    Tfidf,
    /// Okapi BM25.
    Bm25,
}

/// Weighs cells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weigher {
    kind: Weighting,
    k1: f64,
    b: f64,
    /// By term.
    idf: Vec<f64>,
    mean_length: f64,
}

impl Weigher {
    /// Learns the frequencies from `by_term`, `[terms, entities]`.
    pub(crate) fn new(by_term: &Interactions, kind: Weighting, k1: f64, b: f64) -> Self {
        let n = by_term.n_items().max(1) as f64;
        let idf = |t: usize| match kind {
            Weighting::None => 1.0,
            _ => n.ln() - (by_term.items(UserIdx::new(t)).len() as f64).ln_1p(),
        };
        let total: f64 = by_term.iter().map(|t| f64::from(t.value)).sum();
        let idf = (0..by_term.n_users()).map(idf).collect();
        Self { kind, k1, b, idf, mean_length: total / n }
    }

    /// The part of a weight that depends on the term alone, when every value is 1.
    pub(crate) fn of_term(&self, term: usize) -> f64 {
        self.idf[term]
    }

    /// The part that depends on the entity alone, when every value is 1.
    pub(crate) fn of_entity(&self, length: f64) -> f64 {
        self.of_value(1.0, length)
    }

    /// The weight of a cell of value `r` in an entity of `length`.
    pub(crate) fn weight(&self, r: f64, length: f64, term: usize) -> f64 {
        self.of_value(r, length) * self.idf[term]
    }

    fn of_value(&self, r: f64, length: f64) -> f64 {
        match self.kind {
            Weighting::None => r,
            Weighting::Tfidf => r.sqrt(),
            Weighting::Bm25 => {
                let mean = if self.mean_length > 0.0 { self.mean_length } else { 1.0 };
                let norm = 1.0 - self.b + self.b * length / mean;
                r * (self.k1 + 1.0) / (r + self.k1 * norm)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_by_hand() {
        // Three entities, two terms: term 0 has two of them, term 1 one.
        let m = Interactions::from_pairs(2, 3, [(0, 0), (0, 1), (1, 0)]).unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        let tfidf = Weigher::new(&m, Weighting::Tfidf, 1.2, 0.75);
        close(tfidf.weight(4.0, 2.0, 0), 2.0 * (3.0f64 / 3.0).ln());
        close(tfidf.weight(4.0, 2.0, 1), 2.0 * (3.0f64 / 2.0).ln());
        let bm25 = Weigher::new(&m, Weighting::Bm25, 1.2, 0.75);
        // Mean length 1, length 2: 1 − 0.75 + 1.5 = 1.75.
        close(bm25.weight(1.0, 2.0, 1), 2.2 / (1.0 + 1.2 * 1.75) * 1.5f64.ln());
        close(bm25.of_entity(2.0) * bm25.of_term(1), bm25.weight(1.0, 2.0, 1));
    }
}
