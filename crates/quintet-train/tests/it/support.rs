//! A model whose validation value is written down beforehand, a fit that fails on demand, and
//! the toy world.

use quintet_core::{
    Capability, FeatureSet, Held, Interactions, ItemIdx, Matrix, ModelState, Recommender, Registry,
    ScoreError, SeedStream, Triplet, UserIdx, Valid,
};
use quintet_tensor::{
    DeviceChoice, EpochStats, Fit, FitContext, FitError, Fitting, Trainer, TrainingData,
    open_device,
};
use quintet_testkit::World;
use quintet_train::{
    EpochRecord, Fitted, Progress, RunPlace, Silent, TrainConfig, TrainError, fit_model,
};
use serde_json::Value;

/// Where tests train.
pub(crate) fn context(seed: u64) -> FitContext {
    let device = open_device(DeviceChoice::Flex).unwrap().device;
    FitContext { device, seed: SeedStream::new(seed) }
}

/// Training data with its held-out part.
pub(crate) struct Data {
    pub(crate) train: Interactions,
    pub(crate) features: FeatureSet,
    pub(crate) valid: Held<Valid>,
}

impl Data {
    /// The checkerboard of the contract suites.
    pub(crate) fn world() -> Self {
        let world = World::new();
        let pairs = world.held_out.iter().enumerate().flat_map(|(user, items)| {
            items.iter().map(move |&item| Triplet { user: UserIdx::new(user), item, value: 1.0 })
        });
        let (n_users, n_items) = (world.train.n_users(), world.train.n_items());
        let truth = Interactions::from_triplets(n_users, n_items, pairs).unwrap();
        Self { train: world.train, features: world.features, valid: Held::new(truth) }
    }

    /// Four users who had item 0 and will have item 1; a fifth has item 2, nobody item 3.
    pub(crate) fn scripted() -> Self {
        let train = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 2)];
        Self::of(&train, &[(0, 1), (1, 1), (2, 1), (3, 1)])
    }

    /// Five users, four items.
    pub(crate) fn of(train: &[(usize, usize)], valid: &[(usize, usize)]) -> Self {
        let pairs = |pairs: &[(usize, usize)]| {
            let triplets = pairs.iter().map(|&(user, item)| Triplet {
                user: UserIdx::new(user),
                item: ItemIdx::new(item),
                value: 1.0,
            });
            Interactions::from_triplets(5, 4, triplets).unwrap()
        };
        let (train, valid) = (pairs(train), Held::new(pairs(valid)));
        Self { train, features: FeatureSet::new(4), valid }
    }

    pub(crate) fn training(&self) -> TrainingData<'_> {
        TrainingData::new(&self.train, &self.features)
    }
}

/// Fits, heard by `progress`.
pub(crate) fn fit_heard(
    fit: &dyn Fit,
    data: &Data,
    config: &TrainConfig,
    place: Option<&RunPlace>,
    progress: &mut dyn Progress,
) -> Result<Fitted, TrainError> {
    fit_model(fit, data.training(), &data.valid, &context(7), config, place, progress)
}

/// Fits in silence.
pub(crate) fn fit(
    fit: &dyn Fit,
    data: &Data,
    config: &TrainConfig,
    place: Option<&RunPlace>,
) -> Result<Fitted, TrainError> {
    fit_heard(fit, data, config, place, &mut Silent)
}

/// The error of a fit that must fail.
pub(crate) fn fails(result: Result<Fitted, TrainError>) -> TrainError {
    match result {
        Ok(fitted) => panic!("the fit ends well: {:?}", fitted.report),
        Err(error) => error,
    }
}

/// A collaborative model by name; `None` takes the parameters of the contract suite.
pub(crate) fn model(name: &str, params: Option<Value>) -> Box<dyn Fit> {
    let mut models = Registry::new("model");
    quintet_cf::register(&mut models).unwrap();
    let entry = models.get(name).unwrap();
    let params = params.unwrap_or_else(|| serde_json::from_str(entry.tiny).unwrap());
    (entry.build)(&params).unwrap()
}

/// Settings with patience out of the way.
pub(crate) fn settings(epochs: usize, checkpoint_every: usize) -> TrainConfig {
    TrainConfig { epochs, patience: 1_000, checkpoint_every, ..TrainConfig::default() }
}

/// Everything about a log but its times.
pub(crate) fn timeless(log: &[EpochRecord]) -> Vec<EpochRecord> {
    log.iter()
        .map(|r| EpochRecord { train_seconds: 0.0, valid_seconds: 0.0, ..r.clone() })
        .collect()
}

/// Keeps what it hears.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) begun: Vec<(String, usize)>,
    pub(crate) epochs: Vec<usize>,
    pub(crate) notes: Vec<String>,
    pub(crate) ended: usize,
}

impl Progress for Heard {
    fn begin(&mut self, model: &str, epochs: usize) {
        self.begun.push((model.to_owned(), epochs));
    }

    fn epoch(&mut self, record: &EpochRecord, metric: &str, _: f64) {
        assert!(metric.contains('@'), "{metric}");
        self.epochs.push(record.epoch);
    }

    fn note(&mut self, message: &str) {
        self.notes.push(message.to_owned());
    }

    fn end(&mut self) {
        self.ended += 1;
    }
}

/// A model that, after epoch `e`, ranks right among the used items for `hits[e - 1]` of the four
/// users of [`Data::scripted`]: its NDCG@1 is a quarter of that. The unused item is always first.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) hits: Vec<usize>,
}

impl Fit for Script {
    fn name(&self) -> &str {
        "script"
    }

    fn config(&self) -> Value {
        serde_json::json!({ "hits": self.hits })
    }

    fn start(&self, _: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Epochs(Box::new(ScriptTrainer { script: self.clone(), epoch: 0 })))
    }
}

struct ScriptTrainer {
    script: Script,
    epoch: usize,
}

impl Trainer for ScriptTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        assert_eq!(epoch, self.epoch + 1, "epochs come one after the other");
        self.epoch = epoch;
        Ok(EpochStats { loss: 1.0 / epoch as f64, batches: 1, samples: 4 })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let hits = self.epoch.checked_sub(1).map_or(0, |e| self.script.hits[e]);
        Ok(Box::new(Scripted { hits, epoch: self.epoch }))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new("script");
        state.put_whole("epoch", vec![self.epoch as i64]);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.epoch = state.whole("epoch")?[0] as usize;
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        1
    }
}

struct Scripted {
    hits: usize,
    epoch: usize,
}

impl Recommender for Scripted {
    fn name(&self) -> &str {
        "script"
    }

    fn n_users(&self) -> usize {
        5
    }

    fn n_items(&self) -> usize {
        4
    }

    fn capability(&self) -> Capability {
        Capability::default()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        out.reset(users.len(), 4);
        for (row, user) in users.iter().enumerate() {
            let right = if user.index() < self.hits { 1.0 } else { -1.0 };
            out.row_mut(row).copy_from_slice(&[0.0, right, 0.0, 9.0]);
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new("script");
        state.put_whole("epoch", vec![self.epoch as i64]);
        state
    }
}

/// The epoch whose weights a fitted [`Script`] has.
pub(crate) fn epoch_of(fitted: &Fitted) -> i64 {
    fitted.model.state().whole("epoch").unwrap()[0]
}

/// Another fit that is cut off in the middle of epoch `at`.
pub(crate) struct Interrupted<'a> {
    pub(crate) inner: &'a dyn Fit,
    pub(crate) at: usize,
}

impl Fit for Interrupted<'_> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn config(&self) -> Value {
        self.inner.config()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        Ok(match self.inner.start(data, context)? {
            Fitting::Fitted(model) => Fitting::Fitted(model),
            Fitting::Epochs(inner) => {
                Fitting::Epochs(Box::new(InterruptedTrainer { inner, at: self.at }))
            }
        })
    }
}

struct InterruptedTrainer {
    inner: Box<dyn Trainer>,
    at: usize,
}

impl Trainer for InterruptedTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let stats = self.inner.epoch(epoch)?;
        if epoch == self.at {
            return Err(FitError::Device("the power is gone".into()));
        }
        Ok(stats)
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        self.inner.model()
    }

    fn save(&self) -> Result<ModelState, FitError> {
        self.inner.save()
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.inner.load(state)
    }

    fn n_parameters(&self) -> usize {
        self.inner.n_parameters()
    }
}
