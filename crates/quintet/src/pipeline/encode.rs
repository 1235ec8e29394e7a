//! Media to feature matrices.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quintet_core::{FeatureSet, Matrix, Modality, ModalityFeatures, SeedStream};
use quintet_data::{
    Dataset, FeatureSpec, ImportReport, ItemError, MediaStatus, Precision, read_feature_info,
};
use quintet_tensor::{Device, MediaEncoder, RawMedia};
use serde::Serialize;
use serde_json::Value;

use super::{EncodeSpec, ForeignFeatures, PipelineError, RunConfig, Workspace};
use crate::Registries;

/// Items encoded between two calls of the progress function.
const CHUNK: usize = 128;

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
    /// One line for each failed item: its id and what was wrong.
    pub errors: Vec<String>,
    /// Whether the features of an earlier run over the same media were taken.
    pub reused: bool,
}

/// Encodes every modality of the run file into the feature store, or takes what is there for
/// the same media and parameters.
///
/// `places` are the data root, which the files of `[[features]]` are relative to, and the run.
/// `progress(modality, done, total)` is called as items are encoded.
///
/// # Errors
/// An encoder is unknown or cannot be fitted, nothing at all could be encoded, a file cannot be
/// written. A single bad item is counted in the report instead.
pub fn encode_stage(
    config: &RunConfig,
    dataset: &Dataset,
    registries: &Registries,
    device: &Device,
    places: (&Path, &Workspace),
    progress: &dyn Fn(Modality, usize, usize),
) -> Result<(FeatureSet, EncodeReport), PipelineError> {
    let (data_root, workspace) = places;
    let mut set = FeatureSet::new(dataset.items.len());
    let mut report = EncodeReport::default();
    for spec in &config.encode {
        let job = Job::new(spec, config, dataset, registries)?;
        let (features, line) = match job.stored(workspace)? {
            Some(found) => found,
            None => job.run(device, workspace, progress)?,
        };
        set.push(features)?;
        report.modalities.push(line);
    }
    for foreign in &config.features {
        let line = foreign.import(data_root, dataset, workspace)?;
        set.push(read_foreign(foreign, dataset, workspace)?)?;
        report.modalities.push(ModalityReport {
            modality: foreign.modality,
            encoder: foreign.name.clone(),
            dim: line.dim,
            items: dataset.items.len(),
            encoded: line.present,
            missing: dataset.items.len() - line.present,
            failed: 0,
            errors: Vec::new(),
            reused: false,
        });
        report.imported.push(line);
    }
    Ok((set, report))
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
        let job = Job::new(spec, config, dataset, registries)?;
        let Some((features, _)) = job.stored(workspace)? else {
            return Err(PipelineError::NotRun {
                path: job.dir(workspace)?.display().to_string(),
                verb: "encode",
            });
        };
        set.push(features)?;
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
    dataset: &'a Dataset,
    media: Vec<Option<RawMedia>>,
    /// Items that ingestion already found broken.
    broken: BTreeMap<usize, String>,
    encoder: Box<dyn quintet_tensor::EncoderSpec>,
    seed: SeedStream,
    /// Everything the vectors depend on.
    info: Value,
    ids: Vec<String>,
}

impl<'a> Job<'a> {
    fn new(
        spec: &'a EncodeSpec,
        config: &RunConfig,
        dataset: &'a Dataset,
        registries: &Registries,
    ) -> Result<Self, PipelineError> {
        let encoder = (spec.entry(registries)?.build)(&spec.params)?;
        let (media, broken, content) = gather(dataset, spec.modality);
        // The same media, parameters, seed and version give the same vectors.
        let info = serde_json::json!({
            "params": encoder.config(),
            "seed": config.seed,
            "version": env!("CARGO_PKG_VERSION"),
            "media": content,
        });
        let ids = dataset.items.iter().map(|i| i.id.clone()).collect();
        let seed = SeedStream::new(config.seed);
        Ok(Self { spec, dataset, media, broken, encoder, seed, info, ids })
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

    fn stored(
        &self,
        workspace: &Workspace,
    ) -> Result<Option<(ModalityFeatures, ModalityReport)>, PipelineError> {
        let dir = self.dir(workspace)?;
        if !dir.is_dir() {
            return Ok(None);
        }
        let features = quintet_data::read_features(&dir, &self.ids)?;
        let errors = read_feature_info(&dir)?.errors;
        let report = self.report(&features, &errors, true);
        Ok(Some((features, report)))
    }

    fn report(
        &self,
        features: &ModalityFeatures,
        errors: &[ItemError],
        reused: bool,
    ) -> ModalityReport {
        ModalityReport {
            modality: self.spec.modality,
            encoder: self.spec.encoder.clone(),
            dim: features.dim(),
            items: self.dataset.items.len(),
            encoded: features.n_present(),
            missing: self.dataset.items.len() - features.n_present() - errors.len(),
            failed: errors.len(),
            errors: errors.iter().map(|e| format!("item {}: {}", e.item, e.error)).collect(),
            reused,
        }
    }

    fn run(
        &self,
        device: &Device,
        workspace: &Workspace,
        progress: &dyn Fn(Modality, usize, usize),
    ) -> Result<(ModalityFeatures, ModalityReport), PipelineError> {
        let present: Vec<usize> =
            (0..self.media.len()).filter(|&i| self.media[i].is_some()).collect();
        let corpus: Vec<&RawMedia> =
            present.iter().filter_map(|&i| self.media[i].as_ref()).collect();
        let fitted = self.encoder.fit(&corpus, self.seed, device)?;
        let mut matrix = Matrix::zeros(self.media.len(), fitted.info().dim);
        let mut mask = vec![false; self.media.len()];
        let mut failed = self.broken.clone();
        for (done, chunk) in present.chunks(CHUNK).enumerate() {
            progress(self.spec.modality, done * CHUNK, present.len());
            self.encode_chunk(fitted.as_ref(), chunk, device, &mut matrix, &mut mask, &mut failed);
        }
        progress(self.spec.modality, present.len(), present.len());
        if !mask.contains(&true) {
            return Err(PipelineError::NothingEncoded {
                modality: self.spec.modality.to_string(),
                encoder: self.spec.encoder.clone(),
                total: present.len() + self.broken.len(),
                first: failed.into_values().next().unwrap_or_else(|| "no item has one".into()),
            });
        }
        let features = ModalityFeatures::new(self.spec.modality, matrix, mask)?;
        let errors: Vec<ItemError> = failed
            .into_iter()
            .map(|(i, error)| ItemError { item: self.ids[i].clone(), error })
            .collect();
        self.store().write(&workspace.features(), &features, &errors)?;
        let report = self.report(&features, &errors, false);
        Ok((features, report))
    }

    fn encode_chunk(
        &self,
        encoder: &dyn MediaEncoder,
        items: &[usize],
        device: &Device,
        matrix: &mut Matrix,
        mask: &mut [bool],
        failed: &mut BTreeMap<usize, String>,
    ) {
        let media: Vec<&RawMedia> = items.iter().filter_map(|&i| self.media[i].as_ref()).collect();
        for (&item, result) in items.iter().zip(encoder.encode(&media, device)) {
            match result {
                Ok(vector) => {
                    matrix.row_mut(item).copy_from_slice(&vector);
                    mask[item] = true;
                }
                Err(e) => {
                    failed.insert(item, e.to_string());
                }
            }
        }
    }
}

/// The media of every item in one modality, the items that are broken, and a hash of all of it.
fn gather(
    dataset: &Dataset,
    modality: Modality,
) -> (Vec<Option<RawMedia>>, BTreeMap<usize, String>, String) {
    let mut media: Vec<Option<RawMedia>> = vec![None; dataset.items.len()];
    let mut broken = BTreeMap::new();
    let mut content = blake3::Hasher::new();
    if modality == Modality::Text {
        for (slot, item) in media.iter_mut().zip(&dataset.items) {
            let text = item.text.as_deref().filter(|t| !t.trim().is_empty());
            content.update(&(text.map_or(0, str::len) as u64).to_le_bytes());
            content.update(text.unwrap_or_default().as_bytes());
            *slot = text.map(|t| RawMedia::Text(t.to_owned()));
        }
    }
    for file in dataset.media.iter().filter(|f| f.modality == modality) {
        content.update(&file.item.0.to_le_bytes());
        content.update(file.blake3.as_bytes());
        let item = file.item.index();
        match file.status {
            MediaStatus::Ok if modality != Modality::Text => {
                media[item] = Some(RawMedia::File(PathBuf::from(&file.path)));
            }
            MediaStatus::Error => {
                let reason = file.error.clone().unwrap_or_else(|| "damaged".to_owned());
                broken.insert(item, reason);
            }
            _ => {}
        }
    }
    // A text that came from a table stands in for a damaged text file.
    broken.retain(|item, _| media[*item].is_none());
    (media, broken, content.finalize().to_hex().to_string())
}
