//! Feature matrices that others made, taken into the feature store in one call.

use std::path::{Path, PathBuf};

use quintet_core::{ItemIdx, Modality};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dataset_io::{check_hash, hash_file};
use crate::feature_ids::ImportIds;
use crate::npy_rows::NpyRows;
use crate::{DataError, FeatureSpec, Precision};

/// What to take in, and as what.
#[derive(Debug, Clone)]
pub struct ImportSpec<'a> {
    /// What the vectors show the items as.
    pub modality: Modality,
    /// The matrix: a two-dimensional `.npy` file of plain numbers.
    pub npy: &'a Path,
    /// Which row is which item.
    pub ids: ImportIds,
    /// What stands for the encoder in the name of the directory: letters, digits and `-_.+`.
    pub name: &'a str,
    /// How numbers are stored.
    pub precision: Precision,
    /// Whether a row of nothing but zeros or nothing but NaN means that the item has no vector.
    /// Otherwise zeros are a vector like any other and NaN is an error.
    pub zero_is_missing: bool,
}

/// What came of an import: `items = present + blank_items + missing_items`, and
/// `rows = matched_rows + unmatched_rows`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ImportReport {
    /// Rows of the matrix.
    pub rows: usize,
    /// Its columns.
    pub dim: usize,
    /// The type of its numbers in the words of NumPy.
    pub dtype: String,
    /// BLAKE3 of its file.
    pub source_blake3: String,
    /// Items of the dataset.
    pub items: usize,
    /// Items that have a vector now.
    pub present: usize,
    /// Items whose row is blank and means that there is nothing.
    pub blank_items: usize,
    /// Items without a row.
    pub missing_items: usize,
    /// Rows that belong to an item.
    pub matched_rows: usize,
    /// Rows that belong to no item of the dataset; what they hold was not looked at.
    pub unmatched_rows: usize,
    /// Ids of the id file that the dataset does not have.
    pub unknown_ids: usize,
}

/// Takes a foreign matrix into the feature store below `root`, for exactly the items `item_ids`,
/// and gives back the directory and the account, which stands in its `encoder.json` too.
///
/// The matrix is read twice: once to check and to count it, once to write it.
///
/// # Errors
/// A file that is not a matrix (see [`crate::read_npy_matrix`]), ids that do not fit to it, no
/// item at all with a row, a number of an item that is NaN, infinite or too large (row, item and
/// column are named), a file that changed meanwhile or cannot be written.
pub fn import_features(
    root: &Path,
    spec: &ImportSpec,
    item_ids: &[String],
) -> Result<(PathBuf, ImportReport), DataError> {
    let plan = Plan::new(spec, item_ids)?;
    let info = plan.info()?;
    let features = FeatureSpec {
        modality: spec.modality,
        ids: item_ids,
        encoder: spec.name,
        info: &info,
        precision: spec.precision,
    };
    let mut writer = features.writer(root, plan.report.dim)?;
    let hash = NpyRows::open(spec.npy)?.for_each(|row, numbers| {
        if spec.zero_is_missing && is_blank(numbers) {
            return Ok(());
        }
        plan.items(row).iter().try_for_each(|&(_, item)| writer.write_row(item, numbers))
    })?;
    check_hash(spec.npy, &plan.report.source_blake3, &hash)?;
    Ok((writer.finish(&[])?, plan.report))
}

/// An import whose source was read and found good.
struct Plan<'a> {
    spec: &'a ImportSpec<'a>,
    /// Items by their row, for the rows that have any.
    by_row: Vec<(usize, ItemIdx)>,
    report: ImportReport,
}

impl<'a> Plan<'a> {
    fn new(spec: &'a ImportSpec<'a>, item_ids: &[String]) -> Result<Self, DataError> {
        let source = NpyRows::open(spec.npy)?;
        let mut report = ImportReport {
            rows: source.rows(),
            dim: source.cols(),
            dtype: source.dtype().to_owned(),
            items: item_ids.len(),
            ..ImportReport::default()
        };
        let map = spec.ids.rows(spec.npy, report.rows, item_ids)?;
        let rows = map.row_of.iter().enumerate();
        let mut by_row: Vec<(usize, ItemIdx)> =
            rows.filter_map(|(item, row)| Some(((*row)?, ItemIdx::new(item)))).collect();
        by_row.sort_unstable();
        report.unknown_ids = map.unknown_ids;
        report.missing_items = report.items - by_row.len();
        report.matched_rows = by_row.chunk_by(|a, b| a.0 == b.0).count();
        report.unmatched_rows = report.rows - report.matched_rows;
        if by_row.is_empty() {
            return Err(DataError::Content {
                path: spec.npy.to_owned(),
                expected: format!("a row for at least one of {} items", report.items),
                found: format!("{} rows, of none of them", report.rows),
            });
        }
        let mut plan = Self { spec, by_row, report };
        plan.scan(source, item_ids)?;
        Ok(plan)
    }

    /// Reads all rows once: finds what cannot be stored, counts what is blank, takes the hash.
    fn scan(
        &mut self,
        source: NpyRows<fs_err::File>,
        item_ids: &[String],
    ) -> Result<(), DataError> {
        let mut blank = 0;
        let hash = source.for_each(|row, numbers| {
            let items = self.items(row);
            let Some((_, first)) = items.first() else {
                return Ok(());
            };
            if self.spec.zero_is_missing && is_blank(numbers) {
                blank += items.len();
                return Ok(());
            }
            match numbers.iter().position(|v| !v.is_finite()) {
                None => Ok(()),
                Some(column) => Err(DataError::FeatureValue {
                    path: self.spec.npy.to_owned(),
                    row,
                    item: item_ids[first.index()].clone(),
                    column,
                    value: numbers[column],
                }),
            }
        })?;
        self.report.source_blake3 = hash;
        self.report.blank_items = blank;
        self.report.present = self.by_row.len() - blank;
        Ok(())
    }

    /// The items of a row.
    fn items(&self, row: usize) -> &[(usize, ItemIdx)] {
        let start = self.by_row.partition_point(|(r, _)| *r < row);
        let end = self.by_row.partition_point(|(r, _)| *r <= row);
        &self.by_row[start..end]
    }

    /// What `encoder.json` says: names without the folders of this machine, hashes, the account.
    fn info(&self) -> Result<Value, DataError> {
        let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let mut ids = json!({ "from": self.spec.ids.kind() });
        if let Some(path) = self.spec.ids.path() {
            ids["file"] = json!(name(path));
            ids["blake3"] = json!(hash_file(path)?);
        }
        let report = serde_json::to_value(&self.report).map_err(|source| DataError::Json {
            path: self.spec.npy.to_owned(),
            row: None,
            source,
        })?;
        Ok(json!({
            "import": {
                "file": name(self.spec.npy),
                "blake3": self.report.source_blake3,
                "ids": ids,
                "zero_is_missing": self.spec.zero_is_missing,
            },
            "report": report,
        }))
    }
}

/// Nothing but zeros or nothing but NaN.
fn is_blank(row: &[f32]) -> bool {
    row.iter().all(|v| *v == 0.0) || row.iter().all(|v| v.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read_feature_info, read_features};

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    /// Writes a `<f4` matrix and takes it in.
    fn import(
        rows: &[[f32; 2]],
        lines: &str,
        items: &[&str],
        zero_is_missing: bool,
    ) -> Result<(tempfile::TempDir, PathBuf, ImportReport), String> {
        let root = tempfile::tempdir().unwrap();
        let npy = root.path().join("image_feat.npy");
        let numbers = rows.iter().flatten().copied();
        crate::npy::write_npy(&npy, &[rows.len(), 2], numbers).unwrap();
        let path = root.path().join("ids.txt");
        fs_err::write(&path, lines).unwrap();
        let spec = ImportSpec {
            modality: Modality::Image,
            npy: &npy,
            ids: ImportIds::List { path, column: None, header: false },
            name: "mmrec",
            precision: Precision::F32,
            zero_is_missing,
        };
        let done = import_features(&root.path().join("features"), &spec, &ids(items));
        let (dir, report) = done.map_err(|e| e.to_string())?;
        Ok((root, dir, report))
    }

    #[test]
    fn rows_find_their_items_and_everything_is_counted() {
        let nan = f32::NAN;
        let rows = [[1.0, 2.0], [nan, 1.0], [0.0, 0.0], [nan, nan], [3.0, 4.0]];
        // Row 1 is of no item, so that its NaN does no harm.
        let (_root, dir, report) =
            import(&rows, "c\nx\nb\ne\na\n", &["a", "b", "c", "d", "e"], true).unwrap();
        let want = ImportReport {
            rows: 5,
            dim: 2,
            dtype: "<f4".into(),
            source_blake3: report.source_blake3.clone(),
            items: 5,
            present: 2,
            blank_items: 2,
            missing_items: 1,
            matched_rows: 4,
            unmatched_rows: 1,
            unknown_ids: 1,
        };
        assert_eq!(report, want);
        let back = read_features(&dir, &ids(&["a", "b", "c", "d", "e"])).unwrap();
        assert_eq!(back.present, [true, false, true, false, false]);
        assert_eq!((back.matrix.row(0), back.matrix.row(2)), (&[3.0, 4.0][..], &[1.0, 2.0][..]));
        let info = read_feature_info(&dir).unwrap();
        assert_eq!(info.info["report"], serde_json::to_value(&report).unwrap());
        assert_eq!(info.info["import"]["file"], "image_feat.npy");
        assert_eq!(info.info["import"]["blake3"], report.source_blake3.as_str());
        assert_eq!(info.info["import"]["ids"]["file"], "ids.txt");
        assert_eq!(info.encoder, "mmrec");
    }

    #[test]
    fn zeros_are_a_vector_and_nan_is_an_error_unless_they_mean_nothing() {
        let (_root, _, report) = import(&[[0.0, 0.0]], "a", &["a"], false).unwrap();
        assert_eq!((report.present, report.blank_items), (1, 0));
        let nan = [[1.0, 1.0], [f32::NAN, f32::NAN]];
        let err = import(&nan, "a\nb", &["a", "b"], false).unwrap_err();
        assert!(err.contains("image_feat.npy: row 1 (item \"b\"), column 0 is NaN"), "{err}");
        let half = [[1.0, f32::INFINITY]];
        let err = import(&half, "b", &["a", "b"], true).unwrap_err();
        assert!(err.contains("row 0 (item \"b\"), column 1 is inf"), "{err}");
    }

    #[test]
    fn a_matrix_of_other_items_is_refused() {
        let err = import(&[[1.0, 1.0]], "x", &["a", "b"], true).unwrap_err();
        assert!(err.contains("a row for at least one of 2 items, found 1 rows"), "{err}");
    }
}
