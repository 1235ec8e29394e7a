//! Agreement with scikit-learn on a committed fixture.

use quintet_core::SeedStream;
use quintet_tensor::Encoder;
use quintet_text::{Hashing, SparseVector, TfidfSvd, TfidfSvdConfig};
use serde::Deserialize;
use serde_json::Value;

const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Fixture {
    documents: Vec<String>,
    queries: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    params: Value,
    terms: Vec<String>,
    idf: Vec<f64>,
    documents: Vec<Row>,
    queries: Vec<Row>,
    singular_values: Vec<f64>,
    gram: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Row {
    indices: Vec<u32>,
    values: Vec<f64>,
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() < TOLERANCE, "{what}: {f} is not {e}");
    }
}

fn assert_row(found: &SparseVector, expected: &Row, what: &str) {
    assert_eq!(found.indices, expected.indices, "{what}");
    let values: Vec<f64> = found.values.iter().map(|&v| f64::from(v)).collect();
    assert_close(&values, &expected.values, what);
}

#[test]
fn weights_and_topics_are_those_of_scikit_learn() {
    let text = include_str!("../fixtures/tfidf_sklearn/tfidf.json");
    let fixture: Fixture = serde_json::from_str(text).unwrap();
    for case in &fixture.cases {
        let config = TfidfSvdConfig::from_value(&case.params).unwrap();
        let encoder = TfidfSvd::fit(&config, &fixture.documents, SeedStream::new(4)).unwrap();
        let name = &case.name;
        assert_eq!(encoder.tfidf().terms(), case.terms, "{name}");
        assert_close(encoder.tfidf().idf(), &case.idf, name);
        let texts = fixture.documents.iter().chain(&fixture.queries);
        let expected = case.documents.iter().chain(&case.queries);
        let mut embedded = Vec::new();
        for (text, row) in texts.zip(expected) {
            let weights = encoder.tfidf().transform(text);
            assert_row(&weights, row, &format!("{name}: {text:?}"));
            embedded.push(encoder.svd().project(&weights));
        }
        assert_close(encoder.svd().singular_values(), &case.singular_values, name);
        // Singular vectors are known up to sign (and rotation between equal values): compare
        // the inner products of the embedded texts.
        for (a, expected) in embedded.iter().zip(&case.gram) {
            let products: Vec<f64> =
                embedded.iter().map(|b| a.iter().zip(b).map(|(x, y)| x * y).sum()).collect();
            assert_close(&products, expected, name);
        }
    }
}

#[derive(Deserialize)]
struct HashingFixture {
    documents: Vec<String>,
    cases: Vec<HashingCase>,
}

#[derive(Deserialize)]
struct HashingCase {
    name: String,
    params: Value,
    rows: Vec<Row>,
}

#[test]
fn hashed_terms_are_those_of_scikit_learn() {
    let text = include_str!("../fixtures/hashing_sklearn/hashing.json");
    let fixture: HashingFixture = serde_json::from_str(text).unwrap();
    for case in &fixture.cases {
        let encoder = Hashing::new(&serde_json::from_value(case.params.clone()).unwrap()).unwrap();
        for (text, expected) in fixture.documents.iter().zip(&case.rows) {
            match encoder.prepare(text) {
                Ok(found) => assert_row(&found, expected, &format!("{}: {text:?}", case.name)),
                // Nothing but stop words.
                Err(_) => assert!(expected.indices.is_empty(), "{}: {text:?}", case.name),
            }
        }
    }
}
