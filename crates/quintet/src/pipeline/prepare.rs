//! Dataset and features to training data and held-out data.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use quintet_core::{
    Behaviours, CoreError, FeatureSet, Interactions, Modality, Newcomers, Recommender, SeedStream,
    Sequences, SparseFeatures,
};
use quintet_data::{
    Dataset, Event, Events, ImputeReport, Part, ShapeReport, Shaped, Split, SplitConfig,
    SplitReport, impute, shape, split,
};
use quintet_ingest::DataReport;
use quintet_tensor::{Fit, TrainingData};
use quintet_train::Validation;
use serde::Serialize;

use super::behaviours::{Later, Rule};
use super::stages::Groups;
use super::{PipelineError, RunConfig, Workspace, attributes};

/// Everything models are fitted and evaluated on.
pub struct Prepared {
    /// The dataset.
    pub dataset: Dataset,
    /// Item features.
    pub features: FeatureSet,
    /// Training data and the two held-out parts.
    pub split: Split,
    /// The training interactions in the order of time, where every one of them has a time. Of
    /// several events of a user and item there is the one that shaping kept, at the earliest time,
    /// so that a sequence holds what `split.train` holds. At one moment the later item of the
    /// catalogue counts as later, as in splits by time.
    pub sequences: Option<Sequences>,
    /// The known history of brand-new users in the same way; none without such users.
    pub history_order: Option<Sequences>,
    /// Attributes of the users that models may read.
    pub user_attributes: Option<SparseFeatures>,
    /// Attributes of the items that models may read.
    pub item_attributes: Option<SparseFeatures>,
    /// What shaping did.
    pub shape_report: ShapeReport,
    /// What was done about items without a modality.
    pub imputed: BTreeMap<Modality, ImputeReport>,
    /// How many vectors `[complete]` made up from the other modalities of their items.
    pub completed: BTreeMap<Modality, usize>,
    /// Hash of the dataset and of everything that decided the split.
    pub data_hash: String,
    /// Hash of the features and attributes that models may read.
    pub features_hash: String,
    /// Which events models may read kind by kind.
    rule: Rule,
    /// Those events, made for the first model that reads them.
    behaviours: OnceLock<Behaviours>,
}

/// What `data.json` holds.
#[derive(Debug, Clone, Serialize)]
pub struct DataSummary<'a> {
    /// Name of the dataset.
    pub name: &'a str,
    /// Content hash of the dataset.
    pub hash: &'a str,
    /// Number of users in the catalogue.
    pub n_users: usize,
    /// Number of items in the catalogue.
    pub n_items: usize,
    /// What shaping did.
    pub shape: &'a ShapeReport,
    /// What splitting did.
    pub split: &'a SplitReport,
    /// Modality, width and number of items that have it, made-up vectors among them.
    pub features: Vec<(String, usize, usize)>,
    /// How many vectors were made up, and from what.
    pub imputed: &'a BTreeMap<Modality, ImputeReport>,
    /// How many vectors were made up from the other modalities of their items.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub completed: &'a BTreeMap<Modality, usize>,
    /// Whether the order of time is known of all training interactions.
    pub ordered: bool,
    /// Number of features from the attributes of the users.
    pub user_attributes: usize,
    /// Number of features from the attributes of the items.
    pub item_attributes: usize,
}

/// Shapes and splits the dataset, and fills the gaps in its features where the run file asks for
/// it. `duplicates` are groups of items that show the same, for the leakage check.
///
/// # Errors
/// The settings do not fit the data, or leave a part empty.
pub fn prepare(
    config: &RunConfig,
    dataset: Dataset,
    features: FeatureSet,
    duplicates: Option<&Groups>,
) -> Result<Prepared, PipelineError> {
    let shaped = shape(&dataset, &config.shape)?;
    let seed = SeedStream::new(config.seed);
    let (n_users, n_items) = (dataset.users.len(), dataset.items.len());
    let split = split(&shaped.events, n_users, n_items, &config.split, seed)?;
    finish(config, dataset, features, duplicates, (shaped, split), ("", Later::HeldOut))
}

/// As [`prepare`], with another division: `parts` has the part of every event that shaping left.
/// `name` says which one, in the account and in the hash of the data; `later`, which parts still lie
/// after training in time.
///
/// # Errors
/// As [`prepare`].
pub(super) fn prepare_parts(
    config: &RunConfig,
    dataset: Dataset,
    features: FeatureSet,
    parts: &[Part],
    (name, later): (&str, Later),
) -> Result<Prepared, PipelineError> {
    let shaped = shape(&dataset, &config.shape)?;
    let events = shaped.events.iter().zip(parts);
    let events: Events = events.map(|(e, part)| Event { part: Some(*part), ..e }).collect();
    let (n_users, n_items) = (dataset.users.len(), dataset.items.len());
    let seed = SeedStream::new(config.seed);
    let mut split = split(&events, n_users, n_items, &SplitConfig::Predefined {}, seed)?;
    split.report.strategy = name.to_owned();
    finish(config, dataset, features, None, (shaped, split), (name, later))
}

/// What follows from a division.
fn finish(
    config: &RunConfig,
    dataset: Dataset,
    features: FeatureSet,
    duplicates: Option<&Groups>,
    (shaped, mut split): (Shaped, Split),
    (name, later): (&str, Later),
) -> Result<Prepared, PipelineError> {
    let seed = SeedStream::new(config.seed);
    split.report.duplicate_leaks = duplicates.map(|groups| split.duplicate_leaks(groups));
    let empty = |part, hint: &str| Err(PipelineError::EmptyPart { part, hint: hint.to_owned() });
    if split.train.nnz() == 0 {
        return empty("train", "lower the shares in [split] or the limits in [shape]");
    }
    if split.valid.truth().nnz() == 0 {
        return empty("valid", "raise `valid` in [split]; early stopping needs it");
    }
    if split.test.truth().nnz() == 0 {
        return empty("test", "raise `test` in [split]");
    }
    let (features, imputed) = fill_gaps(config, features, &split)?;
    let (features, completed) = match &config.complete {
        Some(complete) => complete.fill(&features, &split.train, seed)?,
        None => (features, BTreeMap::new()),
    };
    let decisions = serde_json::to_string(&(&config.shape, &config.split, config.seed))?;
    let data_hash =
        blake3::hash(format!("{}{decisions}{name}", dataset.content_hash()).as_bytes()).to_hex();
    let user_attributes = config.attributes.of_users(&dataset.users)?;
    let item_attributes = config.attributes.of_items(&dataset.items)?;
    let attributes = [user_attributes.as_ref(), item_attributes.as_ref()];
    Ok(Prepared {
        data_hash: data_hash.to_string(),
        features_hash: features_hash(&features, attributes),
        sequences: in_order(&shaped.events, &split.train)?,
        history_order: in_order(&shaped.events, &split.history)?,
        user_attributes,
        item_attributes,
        shape_report: shaped.report,
        imputed,
        completed,
        dataset,
        features,
        split,
        rule: Rule::new(&config.shape, &config.split, later),
        behaviours: OnceLock::new(),
    })
}

/// Adds what shaping and splitting did to the report beside the dataset.
///
/// # Errors
/// The report is damaged or cannot be written.
pub fn report_stage(prepared: &Prepared, workspace: &Workspace) -> Result<(), PipelineError> {
    let mut report = DataReport::read(&workspace.dataset())?;
    report.shape = Some(prepared.shape_report.clone());
    report.split = Some(prepared.split.report.clone());
    Ok(report.write(&workspace.dataset())?)
}

impl Prepared {
    /// What a model may learn from: with [`TrainingData::behaviours`] if it reads them.
    ///
    /// # Errors
    /// None that a dataset and its own split can cause.
    pub fn training_data_for(&self, fit: &dyn Fit) -> Result<TrainingData<'_>, CoreError> {
        let data = self.training_data();
        if !fit.reads_behaviours() {
            return Ok(data);
        }
        let behaviours = match self.behaviours.get() {
            Some(known) => known,
            None => {
                let made = self.rule.apply(&self.dataset, &self.split)?;
                self.behaviours.get_or_init(|| made)
            }
        };
        Ok(data.with_behaviours(behaviours))
    }

    /// What any model may learn from.
    pub fn training_data(&self) -> TrainingData<'_> {
        let mut data = TrainingData::new(&self.split.train, &self.features);
        if let Some(sequences) = &self.sequences {
            data = data.with_sequences(sequences);
        }
        if let Some(attributes) = &self.user_attributes {
            data = data.with_user_attributes(attributes);
        }
        if let Some(attributes) = &self.item_attributes {
            data = data.with_item_attributes(attributes);
        }
        data
    }

    /// What choices look at, with the known history of brand-new users.
    pub fn validation(&self) -> Validation<'_> {
        let order = self.history_order.as_ref();
        Validation::from(&self.split.valid).with_history(&self.split.history, order)
    }

    /// A model that folds in brand-new users where it can.
    pub fn with_newcomers<'a>(&'a self, model: &'a dyn Recommender) -> Newcomers<'a> {
        Newcomers::new(model, &self.split.history, self.history_order.as_ref())
    }

    /// What `data.json` holds.
    pub fn summary(&self) -> DataSummary<'_> {
        DataSummary {
            name: &self.dataset.name,
            hash: &self.data_hash,
            n_users: self.dataset.users.len(),
            n_items: self.dataset.items.len(),
            shape: &self.shape_report,
            split: &self.split.report,
            imputed: &self.imputed,
            completed: &self.completed,
            ordered: self.sequences.is_some(),
            user_attributes: self.user_attributes.as_ref().map_or(0, SparseFeatures::n_features),
            item_attributes: self.item_attributes.as_ref().map_or(0, SparseFeatures::n_features),
            features: self
                .features
                .iter()
                .map(|f| (f.modality.to_string(), f.dim(), f.n_present()))
                .collect(),
        }
    }
}

/// Features with their gaps filled as the run file asks, from training data alone.
fn fill_gaps(
    config: &RunConfig,
    features: FeatureSet,
    split: &Split,
) -> Result<(FeatureSet, BTreeMap<Modality, ImputeReport>), PipelineError> {
    if config.missing.is_empty() {
        return Ok((features, BTreeMap::new()));
    }
    let mut filled = FeatureSet::new(features.n_items());
    let mut reports = BTreeMap::new();
    for own in features.iter() {
        let Some(strategy) = config.missing.get(&own.modality) else {
            filled.push(own.clone())?;
            continue;
        };
        // The modality that most items have stands in where the graph does not reach.
        let others = features.iter().filter(|other| other.modality != own.modality);
        let fallback = others.max_by_key(|other| other.n_present());
        let done = impute(own, &split.train, strategy, fallback)?;
        filled.push(done.features)?;
        reports.insert(own.modality, done.report);
    }
    Ok((filled, reports))
}

/// The pairs of `part` in the order of time; none without pairs, or where one has no time.
fn in_order(events: &Events, part: &Interactions) -> Result<Option<Sequences>, PipelineError> {
    if part.nnz() == 0 {
        return Ok(None);
    }
    // Shaping gives events by user, then item, and sequences keep that order within a moment.
    let rows =
        (0..events.len()).filter(|&row| part.contains(events.users()[row], events.items()[row]));
    let timed: Option<Vec<_>> = rows
        .map(|row| Some((events.users()[row], events.items()[row], events.timestamp(row)?)))
        .collect();
    let of_part = |timed| Sequences::from_events(part.n_users(), part.n_items(), timed);
    Ok(timed.map(of_part).transpose()?)
}

/// Hash of the features and attributes that models may read: a checkpoint over others is another
/// run.
fn features_hash(features: &FeatureSet, attributes: [Option<&SparseFeatures>; 2]) -> String {
    let mut hasher = blake3::Hasher::new();
    for f in features.iter() {
        hasher.update(f.modality.as_str().as_bytes());
        hasher.update(&(f.dim() as u64).to_le_bytes());
        for v in f.matrix.as_slice() {
            hasher.update(&v.to_le_bytes());
        }
        f.present.iter().for_each(|&p| {
            hasher.update(&[u8::from(p)]);
        });
    }
    for of in attributes {
        // Those of users and of items are told apart where only one of them is there.
        hasher.update(&[u8::from(of.is_some())]);
        attributes::hash(of, &mut hasher);
    }
    hasher.finalize().to_hex().to_string()
}
