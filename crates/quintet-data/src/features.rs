//! The feature store: one directory for what one encoder made of one modality.
//!
//! `<modality>-<encoder>-<hash>/` holds `features.npy` (`[n_items, dim]`, f32 or f16),
//! `present.npy` (`[n_items]`, bool), `ids.parquet` (the item ids, in order) and `encoder.json`
//! ([`FeatureInfo`]). The hash is of everything that the vectors are made from, so that a stage
//! can see before it works that its work is already done.
//!
//! `FeatureWriter` fills such a directory row by row, `FeatureStore` maps it into memory;
//! [`FeatureSpec::write`] and [`read_features`] do the same with everything in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_schema::DataType;
use half::f16;
use quintet_core::{ItemIdx, Matrix, Modality, ModalityFeatures};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::DataError;
use crate::dataset::ContentHasher;
use crate::dataset_io::{check_hash, hash_file, read_text};
use crate::npy::read_npy;
use crate::parquet_io::{TableReader, required};

/// The file that makes a directory a feature store.
pub(crate) const ENCODER_JSON: &str = "encoder.json";
pub(crate) const FEATURES: &str = "features.npy";
pub(crate) const PRESENT: &str = "present.npy";
pub(crate) const IDS: &str = "ids.parquet";

/// Changes when a reader of the old layout would misread the new one.
pub(crate) const FORMAT: u32 = 1;

/// Largest `encoder.json` that is read, bytes; it may hold an error for every item.
const JSON_LIMIT: u64 = 1 << 30;

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// 4 bytes, exact.
    #[default]
    F32,
    /// 2 bytes, about 3 decimal digits, at most 65504.
    F16,
}

/// Why one item has no vector although it has content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemError {
    /// Id of the item.
    pub item: String,
    /// What went wrong.
    pub error: String,
}

/// What features are made of: the name of their directory follows from it.
#[derive(Debug, Clone, Copy)]
pub struct FeatureSpec<'a> {
    /// Which modality.
    pub modality: Modality,
    /// Ids of all items, in the order of the rows.
    pub ids: &'a [String],
    /// Registry name of the encoder.
    pub encoder: &'a str,
    /// Everything the vectors depend on: options and weights of the encoder, hash of the data.
    pub info: &'a Value,
    /// How numbers are stored.
    pub precision: Precision,
}

impl FeatureSpec<'_> {
    /// BLAKE3, in hex, of modality, encoder, info (whatever the order of its keys), item ids and
    /// precision.
    pub fn key(&self) -> String {
        let mut h = ContentHasher::new("quintet features 1");
        h.text(self.modality.as_str());
        h.text(self.encoder);
        h.text(&sorted(self.info).to_string());
        h.count(self.ids.len());
        self.ids.iter().for_each(|id| h.text(id));
        h.bytes(&[self.precision as u8]);
        h.finish()
    }

    /// Where these features lie below `root`, whether they are there or not.
    ///
    /// # Errors
    /// An encoder name that is no file name: letters, digits and `-_.+` are allowed.
    pub fn dir(&self, root: &Path) -> Result<PathBuf, DataError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        if self.encoder.is_empty() || !self.encoder.chars().all(fits) {
            return Err(DataError::Config {
                key: "encoder",
                expected: "a name of letters, digits and -_.+".into(),
                found: format!("{:?}", self.encoder),
            });
        }
        Ok(root.join(format!("{}-{}-{}", self.modality, self.encoder, &self.key()[..16])))
    }

    /// Writes features into [`FeatureSpec::dir`], which appears whole or not at all, and gives
    /// its path back. `errors` tells which items could not be encoded.
    ///
    /// # Errors
    /// Another modality or number of items, a number that is not finite or that 16 bits cannot
    /// hold when they were asked for, or a file that cannot be written.
    pub fn write(
        &self,
        root: &Path,
        features: &ModalityFeatures,
        errors: &[ItemError],
    ) -> Result<PathBuf, DataError> {
        let dir = self.dir(root)?;
        let content = |expected: String, found: String| {
            Err(DataError::Content { path: dir.clone(), expected, found })
        };
        if features.modality != self.modality {
            return content(format!("{} features", self.modality), features.modality.to_string());
        }
        let n_items = features.matrix.rows();
        if n_items != self.ids.len() {
            return content(format!("{} ids, one a row", n_items), self.ids.len().to_string());
        }
        let mut writer = self.writer(root, features.dim())?;
        for (item, _) in features.present.iter().enumerate().filter(|(_, present)| **present) {
            writer.write_row(ItemIdx::new(item), features.matrix.row(item))?;
        }
        writer.finish(errors)
    }
}

/// `encoder.json`: what is in a feature directory and what made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FeatureInfo {
    /// Version of the layout.
    pub format: u32,
    /// Which modality.
    pub modality: Modality,
    /// Registry name of the encoder.
    pub encoder: String,
    /// See [`FeatureSpec::key`].
    pub key: String,
    /// Rows.
    pub n_items: usize,
    /// Columns.
    pub dim: usize,
    /// Items that have this modality.
    pub n_present: usize,
    /// How numbers are stored.
    pub precision: Precision,
    /// BLAKE3 of each file, by name.
    pub files: BTreeMap<String, String>,
    /// What the writer said about encoder and data.
    pub info: Value,
    /// Items that could not be encoded.
    pub errors: Vec<ItemError>,
}

impl FeatureInfo {
    /// The recorded hash of a file; empty, and so equal to none, for one that is not recorded.
    pub(crate) fn hash(&self, name: &str) -> &str {
        self.files.get(name).map_or("", String::as_str)
    }
}

/// Writes features with 32 bits and without errors of items; see [`FeatureSpec::write`].
///
/// # Errors
/// As [`FeatureSpec::write`].
pub fn write_features(
    root: &Path,
    features: &ModalityFeatures,
    ids: &[String],
    encoder: &str,
    info: &Value,
) -> Result<PathBuf, DataError> {
    let (modality, precision) = (features.modality, Precision::F32);
    FeatureSpec { modality, ids, encoder, info, precision }.write(root, features, &[])
}

/// Reads the features of exactly these items, in this order.
///
/// # Errors
/// Another list of items (the first difference is named), a file that is missing, cut, changed
/// since it was written or of another type or shape, a number that is not finite.
pub fn read_features(dir: &Path, expected_ids: &[String]) -> Result<ModalityFeatures, DataError> {
    let info = read_feature_info(dir)?;
    check_ids(&dir.join(IDS), info.hash(IDS), expected_ids)?;
    let n_items = expected_ids.len();
    let path = dir.join(FEATURES);
    let shape = [n_items, info.dim];
    let (numbers, hash) = match info.precision {
        Precision::F32 => read_npy::<f32>(&path, &shape)?,
        Precision::F16 => {
            let (numbers, hash) = read_npy::<f16>(&path, &shape)?;
            (numbers.into_iter().map(f16::to_f32).collect(), hash)
        }
    };
    check_hash(&path, info.hash(FEATURES), &hash)?;
    let (present, hash) = read_npy::<bool>(&dir.join(PRESENT), &[n_items])?;
    check_hash(&dir.join(PRESENT), info.hash(PRESENT), &hash)?;
    let matrix = Matrix::from_vec(n_items, info.dim, numbers)?;
    Ok(ModalityFeatures::new(info.modality, matrix, present)?)
}

/// Reads `encoder.json` of a feature directory.
///
/// # Errors
/// A file that is missing, is not JSON of this layout, or has another format.
pub fn read_feature_info(dir: &Path) -> Result<FeatureInfo, DataError> {
    let path = dir.join(ENCODER_JSON);
    let json = |source| DataError::Json { path: path.clone(), row: None, source };
    let value: Value = serde_json::from_str(&read_text(&path, JSON_LIMIT)?).map_err(json)?;
    // The format comes first: another format may well have other keys.
    let format = value.get("format");
    if format.and_then(Value::as_u64) != Some(u64::from(FORMAT)) {
        return Err(DataError::Content {
            path,
            expected: format!("features of format {FORMAT}"),
            found: format.map_or("no format".into(), |f| format!("format {f}")),
        });
    }
    serde_json::from_value(value).map_err(json)
}

/// The feature directories below `root`, by name; none when `root` does not exist.
///
/// # Errors
/// A directory or `encoder.json` that cannot be read.
pub fn list_features(root: &Path) -> Result<Vec<(PathBuf, FeatureInfo)>, DataError> {
    let mut found = Vec::new();
    if !root.exists() {
        return Ok(found);
    }
    for entry in fs_err::read_dir(root)? {
        let dir = entry?.path();
        // Names with a dot are half-written directories of a run that was broken off.
        let hidden = dir.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if !hidden && dir.join(ENCODER_JSON).is_file() {
            let info = read_feature_info(&dir)?;
            found.push((dir, info));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

pub(crate) fn check_ids(path: &Path, hash: &str, expected: &[String]) -> Result<(), DataError> {
    check_hash(path, hash, &hash_file(path)?)?;
    let mut table = TableReader::open(path, &[required("id", DataType::Utf8)])?;
    let mut row = 0;
    let differs = |row: usize, found: Option<&str>| {
        let say = |id: Option<&str>| id.map_or("no further item".into(), |id| format!("{id:?}"));
        DataError::Content {
            path: path.to_owned(),
            expected: format!(
                "item {} at row {row}: features of the same items in the same order",
                say(expected.get(row).map(String::as_str))
            ),
            found: say(found),
        }
    };
    while let Some(batch) = table.next_batch()? {
        let ids = batch.text("id")?;
        for at in 0..batch.len() {
            let found = ids.value(at);
            if expected.get(row).map(String::as_str) != Some(found) {
                return Err(differs(row, Some(found)));
            }
            row += 1;
        }
    }
    if row < expected.len() {
        return Err(differs(row, None));
    }
    Ok(())
}

/// The same value with the keys of every object in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(sorted).collect(),
        Value::Object(map) => {
            let ordered: BTreeMap<&String, &Value> = map.iter().collect();
            Value::Object(ordered.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> (ModalityFeatures, Vec<String>) {
        let matrix = Matrix::from_vec(3, 2, vec![1.0, 0.1, 0.0, 0.0, -65504.0, 1e-3]).unwrap();
        let features = ModalityFeatures::new(Modality::Image, matrix, vec![true, false, true]);
        (features.unwrap(), ["a", "b", "c"].map(str::to_owned).to_vec())
    }

    #[test]
    fn features_come_back_and_the_directory_names_what_made_them() {
        let root = tempfile::tempdir().unwrap();
        let (features, ids) = sample();
        let dir = write_features(root.path(), &features, &ids, "hog", &json!({"b": 1, "a": 2}));
        let dir = dir.unwrap();
        let name = dir.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("image-hog-") && name.len() == 10 + 16, "{name}");
        assert_eq!(read_features(&dir, &ids).unwrap(), features);
        let again = write_features(root.path(), &features, &ids, "hog", &json!({"a": 2, "b": 1}));
        assert_eq!(again.unwrap(), dir);
        let other = write_features(root.path(), &features, &ids, "hog", &json!({"a": 2, "b": 3}));
        assert_ne!(other.unwrap(), dir);
        let listed = list_features(root.path()).unwrap();
        assert_eq!(listed.len(), 2);
        let info = read_feature_info(&dir).unwrap();
        assert!(listed.contains(&(dir, info.clone())));
        assert_eq!((info.n_items, info.dim, info.n_present), (3, 2, 2));
        assert!(list_features(&root.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn half_precision_rounds_and_refuses_what_it_cannot_hold() {
        let root = tempfile::tempdir().unwrap();
        let (mut features, ids) = sample();
        let info = json!({});
        let spec = FeatureSpec {
            modality: Modality::Image,
            ids: &ids,
            encoder: "hog",
            info: &info,
            precision: Precision::F16,
        };
        let errors = [ItemError { item: "b".into(), error: "truncated JPEG".into() }];
        let dir = spec.write(root.path(), &features, &errors).unwrap();
        assert_eq!(read_feature_info(&dir).unwrap().errors, errors);
        let back = read_features(&dir, &ids).unwrap();
        for (got, want) in back.matrix.as_slice().iter().zip(features.matrix.as_slice()) {
            assert_eq!(*got, f16::from_f32(*want).to_f32());
        }
        features.matrix.row_mut(2)[0] = 1e5;
        let err = spec.write(root.path(), &features, &[]).unwrap_err().to_string();
        assert!(err.contains("item \"c\" has 100000"), "{err}");
    }

    #[test]
    fn other_items_and_changed_files_are_named() {
        let root = tempfile::tempdir().unwrap();
        let (features, ids) = sample();
        let dir = write_features(root.path(), &features, &ids, "hog", &json!(null)).unwrap();
        let message = |ids: &[&str]| {
            let ids: Vec<String> = ids.iter().map(|&i| i.to_owned()).collect();
            read_features(&dir, &ids).unwrap_err().to_string()
        };
        let text = message(&["a", "x", "c"]);
        assert!(text.contains("item \"x\" at row 1") && text.contains("found \"b\""), "{text}");
        assert!(message(&["a", "b"]).contains("no further item at row 2"));
        assert!(message(&["a", "b", "c", "d"]).contains("found no further item"));
        for name in [FEATURES, PRESENT, IDS] {
            let whole = fs_err::read(dir.join(name)).unwrap();
            let mut bytes = whole.clone();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            for broken in [&bytes[..], &whole[..last], &[]] {
                fs_err::write(dir.join(name), broken).unwrap();
                let err = read_features(&dir, &ids).unwrap_err().to_string();
                assert!(err.contains(name), "{err}");
            }
            fs_err::write(dir.join(name), whole).unwrap();
        }
        assert_eq!(read_features(&dir, &ids).unwrap(), features);
        fs_err::write(dir.join(ENCODER_JSON), "{\"format\": 9}").unwrap();
        assert!(message(&["a"]).contains("expected features of format 1, found format 9"));
    }

    #[test]
    fn an_encoder_name_stays_below_the_root() {
        let (features, ids) = sample();
        for name in ["../up", "a/b", "", "ä"] {
            let err =
                write_features(Path::new("x"), &features, &ids, name, &json!({})).unwrap_err();
            assert!(matches!(err, DataError::Config { key: "encoder", .. }), "{err}");
        }
    }
}
