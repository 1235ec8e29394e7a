//! An encoder of texts that writes down what it is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use burn::tensor::{Device, Tensor};
use quintet::Registries;
use quintet::core::{Matrix, Modality, SeedStream};
use quintet::tensor::{
    DecodeKind, EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec,
    MediaEncoder, RawMedia, matrix_to_tensor,
};
use serde_json::{Value, json};

/// What all encoders of a [`Registries`] did.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Number of texts in each call of `forward`.
    pub(crate) calls: Mutex<Vec<usize>>,
    /// How often the encoder was fitted.
    pub(crate) fits: AtomicUsize,
    /// The process ends in the call of this number, from 1.
    pub(crate) abort_at: Option<usize>,
}

impl Log {
    /// Number of texts that went through `forward` since the last time.
    pub(crate) fn take(&self) -> usize {
        self.calls.lock().unwrap().drain(..).sum()
    }
}

/// Length, hash and the number of batch mates of a text. The last one is against the rules: it
/// shows whether a run that goes on makes the same batches again.
struct Counting {
    info: EncoderInfo,
    log: Arc<Log>,
}

impl Encoder for Counting {
    type Raw = str;
    type Prepared = [f32; 2];

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn prepare(&self, text: &str) -> Result<[f32; 2], EncodeError> {
        if text.contains("unreadable") {
            return Err(EncodeError::Decode {
                origin: "text".to_owned(),
                kind: DecodeKind::Corrupt,
                expected: "a text".to_owned(),
                found: "another".to_owned(),
            });
        }
        let hash = text.bytes().fold(7u16, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
        Ok([text.len() as f32, f32::from(hash)])
    }

    fn forward(&self, batch: &[[f32; 2]], device: &Device) -> Result<Tensor<2>, EncodeError> {
        let mut calls = self.log.calls.lock().unwrap();
        calls.push(batch.len());
        if self.log.abort_at == Some(calls.len()) {
            std::process::abort();
        }
        let rows = batch.iter().flat_map(|[len, hash]| [*len, *hash, batch.len() as f32]);
        let matrix = Matrix::from_vec(batch.len(), 3, rows.collect()).unwrap();
        Ok(matrix_to_tensor(&matrix, device))
    }

    fn cost(&self, prepared: &[f32; 2]) -> usize {
        prepared[0] as usize
    }
}

struct Spec {
    reads_corpus: bool,
    log: Arc<Log>,
}

impl EncoderSpec for Spec {
    fn config(&self) -> Value {
        json!({ "reads_corpus": self.reads_corpus })
    }

    fn reads_corpus(&self) -> bool {
        self.reads_corpus
    }

    fn fit(
        &self,
        corpus: &[&RawMedia],
        _: SeedStream,
        _: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        assert_eq!(corpus.is_empty(), !self.reads_corpus);
        self.log.fits.fetch_add(1, Ordering::SeqCst);
        let info = EncoderInfo {
            name: "counting".to_owned(),
            modality: Modality::Text,
            dim: 3,
            limits: String::new(),
        };
        let open = |media: &RawMedia| match media {
            RawMedia::Text(text) => Ok(text.clone()),
            RawMedia::File(_) => panic!("only texts are tested"),
        };
        let encoder = Counting { info, log: self.log.clone() };
        Ok(Box::new(EncoderFace::new(encoder, open, 3).with_window(10)))
    }
}

/// Registries with this encoder.
pub(crate) fn registries(log: &Arc<Log>) -> Registries {
    let mut known = Registries::new().unwrap();
    let log = log.clone();
    let entry = EncoderEntry {
        name: "counting",
        modality: Modality::Text,
        summary: "counts",
        weights: None,
        learn: None,
        build: Arc::new(move |params| {
            let reads_corpus = params["reads_corpus"].as_bool().unwrap_or(false);
            Ok(Box::new(Spec { reads_corpus, log: log.clone() }))
        }),
    };
    known.encoders.add(entry).unwrap();
    known
}
