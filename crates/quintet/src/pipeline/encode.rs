//! Media to feature matrices.
//!
//! Contents that the vector cache does not have go through the encoder in windows: decoding and
//! preparing run ahead on all cores while the device works, and each finished window is added to
//! the cache as a whole. Then the features are written row by row from the cache. A run that is
//! killed loses the windows that were not finished; the windows are those of the whole catalogue,
//! so the next run makes the same vectors, to the bit, as one that was not killed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use quintet_core::{FeatureSet, ItemIdx, Modality, ModalityFeatures, SeedStream};
use quintet_data::{
    ContentHash, Dataset, FeatureSpec, FeatureStore, ImportReport, ItemError, Precision,
    VectorCache, read_feature_info,
};
use quintet_tensor::{Device, RawMedia};
use serde::Serialize;
use serde_json::{Value, json};

use super::media::Media;
use super::weights::weights_hash;
use super::{EncodeSpec, ForeignFeatures, PipelineError, RunConfig, Workspace};
use crate::Registries;

/// Changes when the same encoder and content give other vectors than before.
const CODE: u32 = 1;

/// Where encoding reads and writes.
#[derive(Debug, Clone, Copy)]
pub struct EncodePlaces<'a> {
    /// What the files of `[[features]]` are relative to.
    pub data_root: &'a Path,
    /// The run.
    pub workspace: &'a Workspace,
    /// Vectors by content, which runs may share; a folder an encoder.
    pub cache: &'a Path,
}

/// What was encoded.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EncodeReport {
    /// One entry a modality.
    pub modalities: Vec<ModalityReport>,
    /// The account of every matrix that was imported.
    pub imported: Vec<ImportReport>,
}

/// What was encoded in one modality: `items = encoded + missing + failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModalityReport {
    /// The modality.
    pub modality: Modality,
    /// The encoder.
    pub encoder: String,
    /// Width of its vectors.
    pub dim: usize,
    /// Items in the catalogue.
    pub items: usize,
    /// Items with a vector.
    pub encoded: usize,
    /// Items that have nothing in this modality.
    pub missing: usize,
    /// Items whose media could not be encoded, by the ingest stage's or the encoder's word.
    pub failed: usize,
    /// Contents that went through the encoder in this run. Items with the same content count
    /// once, and those whose vector was known not at all. Or rows that were imported.
    pub computed: usize,
    /// One line for each failed item: its id and what was wrong.
    pub errors: Vec<String>,
    /// Whether the features of an earlier run over the same media were taken.
    pub reused: bool,
}

/// Encodes every modality of the run file into the feature store, or takes what is there for
/// the same media and parameters. [`read_features_stage`] reads the result.
///
/// `progress(modality, done, total)` is called as contents are encoded.
///
/// # Errors
/// An encoder is unknown or cannot be fitted, nothing at all could be encoded, a file cannot be
/// written. A single bad item is counted in the report instead.
pub fn encode_stage(
    config: &RunConfig,
    dataset: &Dataset,
    registries: &Registries,
    device: &Device,
    places: EncodePlaces<'_>,
    progress: &dyn Fn(Modality, usize, usize),
) -> Result<EncodeReport, PipelineError> {
    let mut report = EncodeReport::default();
    for spec in &config.encode {
        let spec = spec.ready(places.workspace)?;
        let job = Job::new(&spec, config, dataset, registries)?;
        let stored = job.stored(places.workspace)?;
        let computed = match stored {
            true => 0,
            false => job.run(device, places, progress)?,
        };
        report.modalities.push(job.report(places.workspace, computed, stored)?);
    }
    for foreign in &config.features {
        let line = foreign.import(places.data_root, dataset, places.workspace)?;
        report.modalities.push(ModalityReport {
            modality: foreign.modality,
            encoder: foreign.name.clone(),
            dim: line.dim,
            items: dataset.items.len(),
            encoded: line.present,
            missing: dataset.items.len() - line.present,
            failed: 0,
            computed: line.present,
            errors: Vec::new(),
            reused: false,
        });
        report.imported.push(line);
    }
    Ok(report)
}

/// The features of an earlier [`encode_stage`].
///
/// # Errors
/// A modality of the run file has not been encoded, or its files are damaged.
pub fn read_features_stage(
    config: &RunConfig,
    dataset: &Dataset,
    registries: &Registries,
    workspace: &Workspace,
) -> Result<FeatureSet, PipelineError> {
    let mut set = FeatureSet::new(dataset.items.len());
    for spec in &config.encode {
        let spec = spec.ready(workspace)?;
        let job = Job::new(&spec, config, dataset, registries)?;
        let dir = job.dir(workspace)?;
        if !dir.is_dir() {
            return Err(PipelineError::NotRun { path: dir.display().to_string(), verb: "encode" });
        }
        set.push(quintet_data::read_features(&dir, &job.ids)?)?;
    }
    for foreign in &config.features {
        set.push(read_foreign(foreign, dataset, workspace)?)?;
    }
    Ok(set)
}

fn read_foreign(
    foreign: &ForeignFeatures,
    dataset: &Dataset,
    workspace: &Workspace,
) -> Result<ModalityFeatures, PipelineError> {
    let ids: Vec<String> = dataset.items.iter().map(|i| i.id.clone()).collect();
    Ok(quintet_data::read_features(&foreign.dir(workspace)?, &ids)?)
}

/// One modality to encode.
struct Job<'a> {
    spec: &'a EncodeSpec,
    media: Media<'a>,
    encoder: Box<dyn quintet_tensor::EncoderSpec>,
    seed: SeedStream,
    /// Everything the matrix depends on, apart from the ids.
    info: Value,
    /// Everything the vector of one content depends on.
    maker: Value,
    ids: Vec<String>,
}

impl<'a> Job<'a> {
    fn new(
        spec: &'a EncodeSpec,
        config: &RunConfig,
        dataset: &'a Dataset,
        registries: &Registries,
    ) -> Result<Self, PipelineError> {
        let entry = spec.entry(registries)?;
        let encoder = (entry.build)(&spec.params)?;
        let media = Media::of(dataset, spec.modality);
        let mut maker = json!({
            "params": encoder.config(),
            "version": env!("CARGO_PKG_VERSION"),
            "code": CODE,
        });
        // Weights count by what is in them, wherever they lie.
        if entry.weights.is_some()
            && let Some(params) = maker["params"].as_object_mut()
            && let Some(Value::String(path)) = params.remove("weights")
        {
            maker["weights"] = weights_hash(Path::new(&path))?.into();
        }
        let mut info = maker.clone();
        info["seed"] = config.seed.into();
        info["media"] = media.hash.as_str().into();
        if encoder.reads_corpus() {
            maker = info.clone();
        }
        let ids = dataset.items.iter().map(|i| i.id.clone()).collect();
        let seed = SeedStream::new(config.seed);
        Ok(Self { spec, media, encoder, seed, info, maker, ids })
    }

    fn store(&self) -> FeatureSpec<'_> {
        FeatureSpec {
            modality: self.spec.modality,
            ids: &self.ids,
            encoder: &self.spec.encoder,
            info: &self.info,
            precision: Precision::F32,
        }
    }

    fn dir(&self, workspace: &Workspace) -> Result<PathBuf, PipelineError> {
        Ok(self.store().dir(&workspace.features())?)
    }

    /// Whether the features are there already, and whole.
    fn stored(&self, workspace: &Workspace) -> Result<bool, PipelineError> {
        let dir = self.dir(workspace)?;
        if !dir.is_dir() {
            return Ok(false);
        }
        FeatureStore::open(&dir, &self.ids)?.verify()?;
        Ok(true)
    }

    fn report(
        &self,
        workspace: &Workspace,
        computed: usize,
        reused: bool,
    ) -> Result<ModalityReport, PipelineError> {
        let info = read_feature_info(&self.dir(workspace)?)?;
        let failed = info.errors.len();
        Ok(ModalityReport {
            modality: self.spec.modality,
            encoder: self.spec.encoder.clone(),
            dim: info.dim,
            items: info.n_items,
            encoded: info.n_present,
            missing: info.n_items - info.n_present - failed,
            failed,
            computed,
            errors: info.errors.iter().map(|e| format!("item {}: {}", e.item, e.error)).collect(),
            reused,
        })
    }

    /// Encodes what the cache lacks, writes the features and tells how many contents that were.
    fn run(
        &self,
        device: &Device,
        places: EncodePlaces<'_>,
        progress: &dyn Fn(Modality, usize, usize),
    ) -> Result<usize, PipelineError> {
        let maker = FeatureSpec { ids: &[], info: &self.maker, ..self.store() };
        let mut cache = VectorCache::open(&maker.dir(places.cache)?)?;
        let known = |item: &usize| self.media.content(*item).is_some_and(|c| cache.contains(c));
        let distinct = self.media.distinct();
        let missing = distinct.iter().filter(|item| !known(item)).count();
        let mut failed = HashMap::new();
        if missing > 0 {
            let progress = |done| progress(self.spec.modality, done, distinct.len());
            failed = self.encode(&distinct, device, &mut cache, &progress)?;
        }
        self.write(&mut cache, &failed, places.workspace)?;
        Ok(missing)
    }

    /// Puts the vectors that the cache lacks there; gives the contents that have none, and why.
    fn encode(
        &self,
        distinct: &[usize],
        device: &Device,
        cache: &mut VectorCache,
        progress: &dyn Fn(usize),
    ) -> Result<HashMap<ContentHash, String>, PipelineError> {
        let corpus = if self.encoder.reads_corpus() { self.media.corpus() } else { Vec::new() };
        let corpus: Vec<&RawMedia> = corpus.iter().collect();
        let encoder = self.encoder.fit(&corpus, self.seed, device)?;
        drop(corpus);
        // Windows of the whole catalogue, whatever is known of it: an item that a killed run did
        // not get to meets the same others again.
        let lacking = |item: &usize| self.media.content(*item).is_some_and(|c| !cache.contains(c));
        let windows: Vec<Vec<usize>> = distinct
            .chunks(encoder.window())
            .map(|window| window.iter().copied().filter(lacking).collect::<Vec<_>>())
            .filter(|window| !window.is_empty())
            .collect();
        let mut done = distinct.len() - windows.iter().map(Vec::len).sum::<usize>();
        progress(done);
        let (mut failed, mut written) = (HashMap::new(), Ok(()));
        let dim = encoder.info().dim;
        encoder.encode_windows(&windows, &|item| self.media.fetch(item), device, &mut |at, all| {
            let mut vectors = Vec::with_capacity(all.len());
            let contents = windows[at].iter().filter_map(|&item| self.media.content(item));
            for (&content, result) in contents.zip(all) {
                match result {
                    Ok(vector) => vectors.push((content, vector)),
                    Err(e) => drop(failed.insert(content, e.to_string())),
                }
            }
            written = cache.append(dim, &vectors);
            done += windows[at].len();
            progress(done);
            written.is_ok()
        });
        written?;
        Ok(failed)
    }

    /// Writes the features, one row after the other from the cache.
    fn write(
        &self,
        cache: &mut VectorCache,
        failed: &HashMap<ContentHash, String>,
        workspace: &Workspace,
    ) -> Result<(), PipelineError> {
        let mut errors = self.media.broken.clone();
        let (dim, mut row) = (cache.dim().unwrap_or(0), Vec::new());
        let store = self.store();
        let mut writer = store.writer(&workspace.features(), dim)?;
        let mut present = 0;
        for item in 0..self.media.n_items() {
            let Some(content) = self.media.content(item) else { continue };
            present += 1;
            if cache.read(content, &mut row)? {
                writer.write_row(ItemIdx::new(item), &row)?;
            } else if let Some(error) = failed.get(content) {
                errors.insert(item, error.clone());
            }
        }
        if writer.n_present() == 0 {
            return Err(PipelineError::NothingEncoded {
                modality: self.spec.modality.to_string(),
                encoder: self.spec.encoder.clone(),
                total: present + self.media.broken.len(),
                first: errors.into_values().next().unwrap_or_else(|| "no item has one".into()),
            });
        }
        writer.finish(&self.item_errors(errors))?;
        Ok(())
    }

    fn item_errors(&self, errors: BTreeMap<usize, String>) -> Vec<ItemError> {
        let named = |(i, error): (usize, String)| ItemError { item: self.ids[i].clone(), error };
        errors.into_iter().map(named).collect()
    }
}
