//! The contract of encoders whose weights learn.

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::SeedStream;
use quintet_tensor::nn::Tuning;
use quintet_tensor::{
    Adam, AdamConfig, EncodeError, EncoderEntry, EncoderLearner, Layer, LearnerStart, RawMedia,
    tensor_to_matrix,
};
use serde_json::{Value, json};

use crate::samples::Samples;

/// Two ways to the same vector may differ by so much: training and encoding fuse other steps.
const SAME: f32 = 2e-3;
const STEPS: usize = 30;

struct Case<'a> {
    entry: &'a EncoderEntry,
    /// Parameters of the encoder, and sizes of a network from nothing.
    params: (&'a Value, &'a Value),
    tuning: Tuning,
    device: Device,
    title: String,
    samples: Samples,
}

/// Runs the contract of [`EncoderLearner`] on generated media: vectors by place, a loss that
/// falls, and weights that the encoder reads and makes the same vectors of.
///
/// # Panics
/// When the contract is broken; the message names the encoder, the device and the rule.
pub fn check_learner(
    entry: &EncoderEntry,
    params: (&Value, &Value),
    tuning: Tuning,
    device: &Device,
) {
    let case = Case {
        entry,
        params,
        tuning,
        device: device.clone(),
        title: format!("learner {} on {device:?}, {tuning:?}", entry.name),
        samples: Samples::of(entry.modality),
    };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("deep/weights");
    let mut learner = case.start(&folder, 1).unwrap_or_else(|e| panic!("{}: {e}", case.title));
    case.reads(learner.as_mut());
    case.begins_as_the_encoder(learner.as_ref());
    case.same_seed_same_start(learner.as_ref(), &dir.path().join("again"));
    case.learns(learner.as_mut());
    learner.save().unwrap_or_else(|e| panic!("{}: cannot be saved: {e}", case.title));
    let mut saved = case.params.0.clone();
    if saved.is_null() {
        saved = json!({});
    }
    saved["weights"] = folder.to_string_lossy().into();
    let trained = case.rows(learner.as_ref());
    case.compare(&trained, &case.encoded(&saved), "what was saved makes the same vectors");
    case.nonsense_is_refused();
}

impl Case<'_> {
    fn start(
        &self,
        folder: &std::path::Path,
        seed: u64,
    ) -> Result<Box<dyn EncoderLearner>, EncodeError> {
        let corpus: Vec<&RawMedia> = self.samples.good.iter().collect();
        let learn = self.entry.learn.as_ref();
        let device = self.device.clone().autodiff();
        (learn.unwrap_or_else(|| panic!("{}: it does not learn", self.title)))(&LearnerStart {
            params: self.params.0,
            sizes: self.params.1,
            tuning: self.tuning,
            corpus: &corpus,
            folder,
            seed: SeedStream::new(seed),
            device: &device,
        })
    }

    fn reads(&self, learner: &mut dyn EncoderLearner) {
        let title = &self.title;
        let broken = self.samples.broken.iter().map(|b| &b.media);
        let media: Vec<&RawMedia> = self.samples.good.iter().chain(broken).collect();
        let results = learner.read(&media);
        assert_eq!(results.len(), media.len(), "{title}: one result an input");
        let (good, broken) = results.split_at(self.samples.good.len());
        for result in good {
            assert!(result.is_ok(), "{title}: a good medium was refused: {result:?}");
        }
        for (result, case) in broken.iter().zip(&self.samples.broken) {
            let Err(e) = result else { panic!("{title}: {} was taken", case.why) };
            let origin = case.media.origin();
            assert!(e.to_string().contains(&origin), "{title}: {e} does not name {origin}");
        }
        let unread = self.samples.good.len() as u32;
        for place in [unread, media.len() as u32] {
            assert!(learner.forward(&[0, place]).is_err(), "{title}: place {place} holds nothing");
        }
    }

    /// Vectors of the good media.
    fn rows(&self, learner: &dyn EncoderLearner) -> Vec<Vec<f32>> {
        let places: Vec<u32> = (0..self.samples.good.len() as u32).collect();
        self.of(learner, &places)
    }

    fn of(&self, learner: &dyn EncoderLearner, places: &[u32]) -> Vec<Vec<f32>> {
        let vectors = learner.encode(places).unwrap_or_else(|e| panic!("{}: {e}", self.title));
        assert_eq!(vectors.dims(), [places.len(), learner.dim()], "{}", self.title);
        let rows = |vectors: Tensor<2>| -> Vec<Vec<f32>> {
            let matrix = tensor_to_matrix(vectors).unwrap();
            (0..matrix.rows()).map(|row| matrix.row(row).to_vec()).collect()
        };
        let plain = rows(vectors);
        let tracked = rows(learner.forward(places).unwrap().inner());
        self.compare(&plain, &tracked, "with and without a graph the vectors are the same");
        plain
    }

    fn encoded(&self, params: &Value) -> Vec<Vec<f32>> {
        let media: Vec<&RawMedia> = self.samples.good.iter().collect();
        let title = format!("{}: {params}", self.title);
        let spec = (self.entry.build)(params).unwrap_or_else(|e| panic!("{title}: {e}"));
        let encoder = spec
            .fit(&media, SeedStream::new(1), &self.device)
            .unwrap_or_else(|e| panic!("{title}: {e}"));
        let vectors = encoder.encode(&media, &self.device).into_iter();
        vectors.map(|v| v.unwrap_or_else(|e| panic!("{title}: {e}"))).collect()
    }

    fn compare(&self, left: &[Vec<f32>], right: &[Vec<f32>], rule: &str) {
        assert_eq!(left.len(), right.len(), "{}: {rule}", self.title);
        for (a, b) in left.iter().flatten().zip(right.iter().flatten()) {
            let close = (a - b).abs() <= SAME * (1.0 + a.abs());
            assert!(close && a.is_finite(), "{}: {rule}: {a} and {b}", self.title);
        }
    }

    /// Weights of others give their vectors; batch mates do not matter.
    fn begins_as_the_encoder(&self, learner: &dyn EncoderLearner) {
        let rows = self.rows(learner);
        if self.params.0.get("weights").is_some() {
            let encoded = self.encoded(self.params.0);
            self.compare(&rows, &encoded, "before it learns it gives the encoder's vectors");
        }
        let last = rows.len() as u32 - 1;
        let some = self.of(learner, &[last, 0, last]);
        let same = [rows[last as usize].clone(), rows[0].clone(), rows[last as usize].clone()];
        self.compare(&some, &same, "batch mates do not matter");
    }

    fn same_seed_same_start(&self, learner: &dyn EncoderLearner, folder: &std::path::Path) {
        let media: Vec<&RawMedia> = self.samples.good.iter().collect();
        let mut again = self.start(folder, 1).unwrap();
        again.read(&media);
        let (a, b) = (self.rows(learner), self.rows(again.as_ref()));
        assert_eq!(a, b, "{}: the same seed begins with the same bits", self.title);
        if self.params.0.get("weights").is_none() {
            let mut other = self.start(folder, 2).unwrap();
            other.read(&media);
            assert_ne!(a, self.rows(other.as_ref()), "{}: the seed has no say", self.title);
        }
    }

    /// Towards vectors that were drawn.
    fn learns(&self, learner: &mut dyn EncoderLearner) {
        let n = self.samples.good.len().min(4);
        let places: Vec<u32> = (0..n as u32).collect();
        let start = self.of(learner, &places);
        let drawn = |row: usize, at: usize| ((row * 31 + at * 17) % 7) as f32 / 7.0 - 0.5;
        let target: Vec<f32> = start
            .iter()
            .enumerate()
            .flat_map(|(row, v)| v.iter().enumerate().map(move |(at, x)| x + drawn(row, at)))
            .collect();
        let shape = [n, learner.dim()];
        let target =
            Tensor::<2>::from_data(TensorData::new(target, shape), learner.tuned().device());
        let mut adam = Adam::new(AdamConfig::new(3e-3));
        let mut losses = Vec::new();
        for _ in 0..STEPS {
            let off = learner.forward(&places).unwrap() - target.clone();
            let loss = (off.clone() * off).mean();
            losses.push(loss.clone().inner().into_scalar::<f32>());
            adam.step(learner.tuned_mut(), &mut loss.backward());
        }
        let (first, last) = (losses[0], losses[STEPS - 1]);
        assert!(last < 0.9 * first, "{}: the loss went from {first} to {last}", self.title);
        assert!(learner.tuned().n_parameters() > 0, "{}: nothing learns", self.title);
    }

    fn nonsense_is_refused(&self) {
        let dir = tempfile::tempdir().unwrap();
        let params = json!({ "weights": "/no/such/folder", "no_such_parameter": 1 });
        let case = Case {
            params: (&params, &Value::Null),
            samples: Samples::of(self.entry.modality),
            title: self.title.clone(),
            device: self.device.clone(),
            ..*self
        };
        assert!(case.start(dir.path(), 1).is_err(), "{}: {params} was taken", self.title);
        let sizes = json!({ "no_such_size": 1 });
        let case = Case { params: (self.params.0, &sizes), ..case };
        let Err(e) = case.start(dir.path(), 1).map(drop) else {
            panic!("{}: {sizes} were taken", self.title)
        };
        assert!(e.to_string().contains("sizes"), "{}: {e} does not name sizes", self.title);
    }
}
