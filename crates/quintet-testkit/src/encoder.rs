//! The contract of encoders.

use burn::tensor::Device;
use quintet_core::SeedStream;
use quintet_tensor::{EncodeError, EncoderEntry, EncoderSpec, MediaEncoder, RawMedia};
use serde_json::{Value, json};

use crate::compare::{CLOSE, assert_bits, assert_close, assert_finite, assert_rerun};
use crate::samples::Samples;

type Encoded = Vec<Result<Vec<f32>, EncodeError>>;

struct Case<'a> {
    entry: &'a EncoderEntry,
    params: &'a Value,
    device: &'a Device,
    title: String,
    samples: Samples,
}

/// Runs the contract of [`MediaEncoder`] with the default parameters on generated media.
///
/// # Panics
/// When the contract is broken; the message names the encoder, the device and the rule.
pub fn check_encoder(entry: &EncoderEntry, device: &Device) {
    check_encoder_with(entry, &Value::Null, device);
}

/// As [`check_encoder`] with parameters.
///
/// # Panics
/// As [`check_encoder`].
pub fn check_encoder_with(entry: &EncoderEntry, params: &Value, device: &Device) {
    let case = Case {
        entry,
        params,
        device,
        title: format!("encoder {} on {device:?}", entry.name),
        samples: Samples::of(entry.modality),
    };
    case.parameters();
    let encoder = case.fitted(1);
    case.info(&*encoder);
    let vectors = case.good_vectors(&*encoder);
    case.vectors_differ(&vectors);
    case.batch_mates_do_not_matter(&*encoder, &vectors);
    case.broken_media_cost_their_item_only(&*encoder, &vectors);
    case.odd_media_are_answered(&*encoder);
    case.same_seed_same_bytes(&vectors);
    case.corpora();
}

impl Case<'_> {
    fn spec(&self, params: &Value) -> Result<Box<dyn EncoderSpec>, EncodeError> {
        (self.entry.build)(params)
    }

    fn fitted(&self, seed: u64) -> Box<dyn MediaEncoder> {
        let corpus: Vec<&RawMedia> = self.samples.good.iter().collect();
        self.spec(self.params)
            .and_then(|spec| spec.fit(&corpus, SeedStream::new(seed), self.device))
            .unwrap_or_else(|e| panic!("{}: cannot be built and fitted: {e}", self.title))
    }

    fn encode(&self, encoder: &dyn MediaEncoder, media: &[&RawMedia]) -> Encoded {
        let results = encoder.encode(media, self.device);
        assert_eq!(results.len(), media.len(), "{}: one result for each medium", self.title);
        results
    }

    fn vector(&self, media: &RawMedia, result: Result<Vec<f32>, EncodeError>) -> Vec<f32> {
        result.unwrap_or_else(|e| {
            panic!("{}: good medium {} was refused: {e}", self.title, media.origin())
        })
    }

    fn parameters(&self) {
        let title = &self.title;
        for defaults in [Value::Null, json!({})] {
            match (self.spec(&defaults), self.entry.weights) {
                (Ok(_), None) => {}
                (Err(e), None) => panic!("{title}: {defaults} must mean the defaults: {e}"),
                (Ok(_), Some(_)) => panic!("{title}: it needs weights and was built without"),
                (Err(e), Some(files)) => assert!(
                    e.to_string().contains("weights") && e.to_string().contains(files),
                    "{title}: without weights the error must name {files:?}, found {e}"
                ),
            }
        }
        match self.spec(&json!({ "no_such_parameter": 1 })) {
            Err(e @ EncodeError::Config { .. }) => assert!(
                e.to_string().contains("no_such_parameter"),
                "{title}: the error for an unknown parameter must name it, found {e}"
            ),
            Err(e) => panic!("{title}: an unknown parameter must be a Config error, found {e:?}"),
            Ok(_) => panic!("{title}: an unknown parameter was accepted"),
        }
        let config = self.spec(self.params).map(|spec| spec.config());
        let config = config.unwrap_or_else(|e| panic!("{title}: cannot be built: {e}"));
        let again = self.spec(&config).map(|spec| spec.config());
        let again = again.unwrap_or_else(|e| panic!("{title}: its own config() is refused: {e}"));
        assert_eq!(config, again, "{title}: built from its config(), it has another config()");
    }

    fn info(&self, encoder: &dyn MediaEncoder) {
        let (info, title) = (encoder.info(), &self.title);
        assert_eq!(info.name, self.entry.name, "{title}: name of the encoder and its entry");
        assert_eq!(info.modality, self.entry.modality, "{title}: modality of encoder and entry");
        assert!(info.dim > 0, "{title}: vectors of width 0");
    }

    /// Vectors of the good media, all at once.
    fn good_vectors(&self, encoder: &dyn MediaEncoder) -> Vec<Vec<f32>> {
        let media: Vec<&RawMedia> = self.samples.good.iter().collect();
        let results = self.encode(encoder, &media);
        let vectors: Vec<Vec<f32>> =
            media.iter().zip(results).map(|(m, r)| self.vector(m, r)).collect();
        for (media, vector) in media.iter().zip(&vectors) {
            self.check_vector(encoder, &media.origin(), vector);
        }
        assert!(self.encode(encoder, &[]).is_empty(), "{}: an empty batch gives one", self.title);
        vectors
    }

    fn check_vector(&self, encoder: &dyn MediaEncoder, origin: &str, vector: &[f32]) {
        let (title, dim) = (&self.title, encoder.info().dim);
        assert_eq!(vector.len(), dim, "{title}: width of the vector of {origin}");
        assert_finite(title, &format!("vector of {origin}"), vector);
    }

    fn vectors_differ(&self, vectors: &[Vec<f32>]) {
        for (i, a) in vectors.iter().enumerate() {
            for (j, b) in vectors[..i].iter().enumerate() {
                let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(
                    apart > 1e-6,
                    "{}: different media have one vector: {} and {}",
                    self.title,
                    describe(&self.samples.good[i]),
                    describe(&self.samples.good[j])
                );
            }
        }
    }

    fn batch_mates_do_not_matter(&self, encoder: &dyn MediaEncoder, vectors: &[Vec<f32>]) {
        let good = &self.samples.good;
        for (media, expected) in good.iter().zip(vectors) {
            let alone = self.encode(encoder, &[media]).swap_remove(0);
            let what = format!("batch mates matter: {} alone", describe(media));
            assert_close(&self.title, &what, expected, &self.vector(media, alone), CLOSE);
        }
        let reversed: Vec<&RawMedia> = good.iter().rev().collect();
        let results = self.encode(encoder, &reversed);
        for ((media, result), expected) in reversed.iter().zip(results).zip(vectors.iter().rev()) {
            let what = format!("batch mates matter: {} in another order", describe(media));
            assert_close(&self.title, &what, expected, &self.vector(media, result), CLOSE);
        }
        let twice = self.encode(encoder, &[&good[0], &good[1], &good[0]]);
        let [first, _, second] = <[_; 3]>::try_from(twice).unwrap();
        let (first, second) = (self.vector(&good[0], first), self.vector(&good[0], second));
        assert_close(&self.title, "the same medium twice in a batch", &first, &second, CLOSE);
    }

    fn broken_media_cost_their_item_only(&self, encoder: &dyn MediaEncoder, vectors: &[Vec<f32>]) {
        let (good, broken) = (&self.samples.good, &self.samples.broken);
        // One broken medium after each good one, and the rest at the end.
        let mut mixed: Vec<(&RawMedia, Option<&'static str>)> = Vec::new();
        for i in 0..good.len().max(broken.len()) {
            mixed.extend(good.get(i).map(|m| (m, None)));
            mixed.extend(broken.get(i).map(|b| (&b.media, Some(b.why))));
        }
        let media: Vec<&RawMedia> = mixed.iter().map(|(m, _)| *m).collect();
        let mut expected = vectors.iter();
        for ((media, why), result) in mixed.iter().zip(self.encode(encoder, &media)) {
            match why {
                Some(why) => self.check_refusal(why, media, result),
                None => {
                    let what = format!("broken media in the batch change {}", describe(media));
                    let found = self.vector(media, result);
                    assert_bits(&self.title, &what, expected.next().unwrap(), &found);
                }
            }
        }
        for b in broken {
            let alone = self.encode(encoder, &[&b.media]).swap_remove(0);
            self.check_refusal(b.why, &b.media, alone);
        }
    }

    fn check_refusal(&self, why: &str, media: &RawMedia, found: Result<Vec<f32>, EncodeError>) {
        let title = &self.title;
        let origin = media.origin();
        let Err(e) = found else { panic!("{title}: {why} ({origin}) was encoded") };
        let general = matches!(
            e,
            EncodeError::Device(_)
                | EncodeError::Config { .. }
                | EncodeError::Corpus { .. }
                | EncodeError::NotFinite { .. }
        );
        assert!(!general, "{title}: the error for {why} does not say what is wrong: {e:?}");
        if why == "a text instead of a file" {
            let right = matches!(e, EncodeError::WrongMedia { .. });
            assert!(right, "{title}: {why} must be WrongMedia, found {e:?}");
        } else if let (RawMedia::File(_), false) =
            (media, matches!(e, EncodeError::WrongMedia { .. }))
        {
            assert!(e.to_string().contains(&origin), "{title}: {why}: no path in {e}");
        }
    }

    fn odd_media_are_answered(&self, encoder: &dyn MediaEncoder) {
        for (what, media) in &self.samples.odd {
            match self.encode(encoder, &[media]).swap_remove(0) {
                Ok(vector) => self.check_vector(encoder, what, &vector),
                Err(e @ (EncodeError::Device(_) | EncodeError::NotFinite { .. })) => {
                    panic!("{}: {what}: must be encoded or refused for what it is: {e}", self.title)
                }
                Err(_) => {}
            }
        }
    }

    fn same_seed_same_bytes(&self, vectors: &[Vec<f32>]) {
        let run = || {
            let encoder = self.fitted(1);
            let media: Vec<&RawMedia> = self.samples.good.iter().collect();
            self.encode(&*encoder, &media)
        };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for (how, results) in [("again", run()), ("on one thread", one.install(run))] {
            for ((media, result), expected) in self.samples.good.iter().zip(results).zip(vectors) {
                let what = format!("fitted {how} with the same seed: {}", describe(media));
                let found = self.vector(media, result);
                assert_rerun(&self.title, &what, expected, &found, self.device);
            }
        }
    }

    /// A broken item in the corpus costs that item; no corpus at all must not crash.
    fn corpora(&self) {
        let fit = |corpus: &[&RawMedia]| {
            self.spec(self.params)
                .and_then(|spec| spec.fit(corpus, SeedStream::new(1), self.device))
        };
        let broken = self.samples.broken.iter().map(|b| &b.media);
        let all: Vec<&RawMedia> = self.samples.good.iter().chain(broken).collect();
        if let Err(e) = fit(&all) {
            panic!("{}: broken media in the corpus stop the fit: {e}", self.title);
        }
        if let Err(e) = fit(&[]) {
            let named = matches!(e, EncodeError::Corpus { .. });
            assert!(named, "{}: an empty corpus must be a Corpus error: {e:?}", self.title);
        }
    }
}

/// The path, or the first words of a text.
fn describe(media: &RawMedia) -> String {
    match media {
        RawMedia::Text(text) => format!("text {:?}", text.chars().take(40).collect::<String>()),
        RawMedia::File(_) => media.origin(),
    }
}
