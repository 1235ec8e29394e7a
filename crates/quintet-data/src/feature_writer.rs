//! Features to disk row by row, in any order, without the matrix in memory.
//!
//! Rows that come one after the other are collected to blocks. The hash of the file follows the
//! rows that are complete from the first one on; what came out of order is read back for it,
//! once. Everything happens in a hidden directory beside the place, and `encoder.json`, without
//! which nothing is taken for features, is written last: a writer that is dropped or killed
//! leaves no features behind.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};
use arrow_schema::DataType;
use half::f16;
use quintet_core::{CoreError, ItemIdx, Matrix};

use crate::atomic::DirDraft;
use crate::dataset_io::hash_file;
use crate::features::{ENCODER_JSON, FEATURES, FORMAT, IDS, PRESENT};
use crate::npy::{BLOCK, Element, header_bytes, write_npy};
use crate::parquet_io::{required, write_table};
use crate::{DataError, FeatureInfo, FeatureSpec, ItemError, Precision};

/// Writes the vectors of one modality as they come; [`FeatureSpec::writer`] makes one.
///
/// ```
/// use quintet_core::{ItemIdx, Modality};
/// use quintet_data::{FeatureSpec, FeatureStore, Precision};
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let ids: Vec<String> = ["a", "b", "c"].map(String::from).into();
/// let spec = FeatureSpec {
///     modality: Modality::Image,
///     ids: &ids,
///     encoder: "hog",
///     info: &serde_json::json!({}),
///     precision: Precision::F32,
/// };
/// let mut writer = spec.writer(root, 2)?;
/// writer.write_row(ItemIdx(2), &[3.0, 4.0])?;
/// writer.write_row(ItemIdx(0), &[1.0, 2.0])?;
/// let dir = writer.finish(&[])?;
/// let store = FeatureStore::open(&dir, &ids)?;
/// assert_eq!(store.row(ItemIdx(2)), Some(&[3.0, 4.0][..]));
/// assert!(!store.is_present(ItemIdx(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FeatureWriter<'a> {
    spec: FeatureSpec<'a>,
    dim: usize,
    row_bytes: usize,
    header_len: u64,
    /// Where the file will be, for messages.
    path: PathBuf,
    // Closed before the directory goes: some systems keep what is open.
    file: fs_err::File,
    dir: PathBuf,
    draft: DirDraft,
    /// Which items have a row, on the disk or in `block`.
    written: Vec<bool>,
    /// Rows not yet on the disk, from row `block_first` on.
    block: Vec<u8>,
    block_first: usize,
    hasher: blake3::Hasher,
    /// Rows that the hash has seen.
    hashed: usize,
}

impl<'a> FeatureSpec<'a> {
    /// Begins features of width `dim` that come row by row. Items whose row never comes are
    /// absent.
    ///
    /// # Errors
    /// A bad encoder name, a directory that must not be replaced, a size beyond all files, or a
    /// file that cannot be made.
    pub fn writer(&self, root: &Path, dim: usize) -> Result<FeatureWriter<'a>, DataError> {
        let dir = self.dir(root)?;
        let (dtype, size) = match self.precision {
            Precision::F32 => (f32::DTYPE, f32::SIZE),
            Precision::F16 => (f16::DTYPE, f16::SIZE),
        };
        let n_items = self.ids.len();
        let header = header_bytes(dtype, &[n_items, dim])?;
        let row_bytes = dim.checked_mul(size);
        let len = row_bytes.and_then(|row| row.checked_mul(n_items)?.checked_add(header.len()));
        let Some((row_bytes, len)) = row_bytes.zip(len) else {
            return Err(DataError::Config {
                key: "dim",
                expected: "a width whose matrix a file can hold".into(),
                found: format!("{dim}"),
            });
        };
        let draft = DirDraft::begin(&dir, ENCODER_JSON)?;
        let mut file = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(draft.path().join(FEATURES))?;
        file.write_all(&header)?;
        // Rows that never come read as zeros.
        file.set_len(len as u64)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header);
        Ok(FeatureWriter {
            spec: *self,
            dim,
            row_bytes,
            header_len: header.len() as u64,
            path: dir.join(FEATURES),
            file,
            dir,
            draft,
            written: vec![false; n_items],
            block: Vec::new(),
            block_first: 0,
            hasher,
            hashed: 0,
        })
    }
}

impl FeatureWriter<'_> {
    /// Width of the vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many items have a row already.
    pub fn n_present(&self) -> usize {
        self.written.iter().filter(|w| **w).count()
    }

    /// Writes the vector of one item, which is present from then on. Items may come in any
    /// order; in their own order they are fastest.
    ///
    /// # Errors
    /// An item that is out of range or has its vector already, another width, a number that is
    /// not finite or that 16 bits cannot hold when they were asked for. None of these costs
    /// anything that was written before. Or a file that cannot be written.
    pub fn write_row(&mut self, item: ItemIdx, row: &[f32]) -> Result<(), DataError> {
        let index = item.index();
        self.check_row(index, row)?;
        if self.block_first + self.block_rows() != index || self.block.len() >= BLOCK {
            self.flush()?;
            self.block_first = index;
        }
        match self.spec.precision {
            Precision::F32 => row.iter().for_each(|v| v.put(&mut self.block)),
            Precision::F16 => row.iter().for_each(|v| f16::from_f32(*v).put(&mut self.block)),
        }
        self.written[index] = true;
        Ok(())
    }

    /// Writes the vectors of consecutive items, the first of which is `first`.
    ///
    /// # Errors
    /// As [`FeatureWriter::write_row`]; the rows before the one at fault are written.
    pub fn write_rows(&mut self, first: ItemIdx, rows: &Matrix) -> Result<(), DataError> {
        (0..rows.rows())
            .try_for_each(|at| self.write_row(ItemIdx::new(first.index() + at), rows.row(at)))
    }

    /// Puts the directory in place and gives its path back. `errors` tells which items could not
    /// be encoded.
    ///
    /// # Errors
    /// A file that cannot be written; what stood at the place before is still there then.
    pub fn finish(mut self, errors: &[ItemError]) -> Result<PathBuf, DataError> {
        self.flush()?;
        let n_items = self.written.len();
        self.hash_from_disk(n_items)?;
        let temp = self.draft.path();
        let present = self.written.iter().copied();
        let present = write_npy(&temp.join(PRESENT), &[n_items], present)?;
        let columns = [required("id", DataType::Utf8)];
        write_table(&temp.join(IDS), &columns, self.spec.ids, |ids| {
            Ok(vec![Arc::new(StringArray::from_iter_values(ids)) as ArrayRef])
        })?;
        let ids = hash_file(&temp.join(IDS))?;
        let vectors = self.hasher.finalize().to_hex().to_string();
        let files = [(FEATURES, vectors), (PRESENT, present), (IDS, ids)];
        let info = FeatureInfo {
            format: FORMAT,
            modality: self.spec.modality,
            encoder: self.spec.encoder.to_owned(),
            key: self.spec.key(),
            n_items,
            dim: self.dim,
            n_present: self.n_present(),
            precision: self.spec.precision,
            files: files.into_iter().map(|(name, hash)| (name.to_owned(), hash)).collect(),
            info: self.spec.info.clone(),
            errors: errors.to_vec(),
        };
        let path = temp.join(ENCODER_JSON);
        let text = serde_json::to_string_pretty(&info).map_err(|source| DataError::Json {
            path: path.clone(),
            row: None,
            source,
        })?;
        fs_err::write(path, text + "\n")?;
        drop(self.file);
        self.draft.commit()?;
        Ok(self.dir)
    }

    fn check_row(&self, index: usize, row: &[f32]) -> Result<(), DataError> {
        let Some(written) = self.written.get(index) else {
            let len = self.written.len();
            return Err(CoreError::OutOfRange { what: "item", index, len }.into());
        };
        let item = || self.spec.ids[index].clone();
        if *written {
            return Err(DataError::RowTwice { path: self.path.clone(), item: item() });
        }
        if row.len() != self.dim {
            return Err(DataError::Content {
                path: self.path.clone(),
                expected: format!("{} numbers for item {:?}", self.dim, item()),
                found: row.len().to_string(),
            });
        }
        if let Some(column) = row.iter().position(|v| !v.is_finite()) {
            let (path, value) = (self.path.clone(), row[column]);
            return Err(DataError::FeatureValue { path, row: index, item: item(), column, value });
        }
        let fits = |v: &f32| self.spec.precision == Precision::F32 || f16::from_f32(*v).is_finite();
        match row.iter().find(|v| !fits(v)) {
            None => Ok(()),
            Some(value) => Err(DataError::Config {
                key: "precision",
                expected: "f32, because 16 bits hold numbers up to 65504 only".into(),
                found: format!("f16, and item {:?} has {value}", item()),
            }),
        }
    }

    fn block_rows(&self) -> usize {
        self.block.len().checked_div(self.row_bytes).unwrap_or(0)
    }

    fn seek_row(&mut self, row: usize) -> Result<(), DataError> {
        let at = self.header_len + row as u64 * self.row_bytes as u64;
        self.file.seek(SeekFrom::Start(at))?;
        Ok(())
    }

    /// Writes the collected rows and lets the hash follow.
    fn flush(&mut self) -> Result<(), DataError> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.seek_row(self.block_first)?;
        self.file.write_all(&self.block)?;
        if self.hashed == self.block_first {
            self.hasher.update(&self.block);
            self.hashed += self.block_rows();
        }
        self.block.clear();
        let absent = self.written[self.hashed..].iter().position(|w| !w);
        self.hash_from_disk(absent.map_or(self.written.len(), |n| self.hashed + n))
    }

    /// Hashes up to row `end`, all of which are on the disk.
    fn hash_from_disk(&mut self, end: usize) -> Result<(), DataError> {
        if self.hashed >= end || self.row_bytes == 0 {
            self.hashed = self.hashed.max(end);
            return Ok(());
        }
        self.seek_row(self.hashed)?;
        let mut left = (end - self.hashed) as u64 * self.row_bytes as u64;
        let mut chunk = vec![0; BLOCK.min(usize::try_from(left).unwrap_or(BLOCK))];
        while left > 0 {
            let len = chunk.len().min(usize::try_from(left).unwrap_or(BLOCK));
            self.file.read_exact(&mut chunk[..len])?;
            self.hasher.update(&chunk[..len]);
            left -= len as u64;
        }
        self.hashed = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{list_features, read_feature_info, read_features};
    use proptest::prelude::*;
    use quintet_core::{Modality, ModalityFeatures};
    use serde_json::{Value, json};

    const INFO: Value = Value::Null;

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("item {i}")).collect()
    }

    fn spec(ids: &[String], precision: Precision) -> FeatureSpec<'_> {
        FeatureSpec { modality: Modality::Audio, ids, encoder: "e", info: &INFO, precision }
    }

    fn value(item: usize, column: usize) -> f32 {
        // Below 2048 quarters, which 16 bits hold exactly.
        ((item * 7 + column) % 2048) as f32 * 0.25
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_order_gives_the_files_of_the_whole_matrix(
            n in 1usize..40,
            // Wide rows fill more than a block.
            dim in prop_oneof![0usize..5, Just(9000usize)],
            seed in any::<u64>(),
            half in any::<bool>(),
        ) {
            let root = tempfile::tempdir().unwrap();
            let (ids, info) = (ids(n), json!({"a": 1}));
            let precision = if half { Precision::F16 } else { Precision::F32 };
            let spec = FeatureSpec { info: &info, ..spec(&ids, precision) };
            let mut order: Vec<usize> = (0..n).filter(|i| (seed >> (i % 60)) & 1 == 1).collect();
            order.sort_by_key(|i| (i * 31) ^ (seed as usize % 64));
            let mut writer = spec.writer(root.path(), dim).unwrap();
            let mut matrix = Matrix::zeros(n, dim);
            let mut present = vec![false; n];
            for &item in &order {
                let row: Vec<f32> = (0..dim).map(|c| value(item, c)).collect();
                writer.write_row(ItemIdx::new(item), &row).unwrap();
                matrix.row_mut(item).copy_from_slice(&row);
                present[item] = true;
            }
            let dir = writer.finish(&[]).unwrap();
            let info = read_feature_info(&dir).unwrap();
            prop_assert_eq!(info.hash(FEATURES), hash_file(&dir.join(FEATURES)).unwrap());
            let features = ModalityFeatures::new(Modality::Audio, matrix, present).unwrap();
            prop_assert!(read_features(&dir, &ids).unwrap() == features);
            let whole = spec.write(&root.path().join("whole"), &features, &[]).unwrap();
            for name in [FEATURES, PRESENT, IDS, ENCODER_JSON] {
                let bytes = |dir: &Path| fs_err::read(dir.join(name)).unwrap();
                prop_assert!(bytes(&dir) == bytes(&whole), "{name}");
            }
        }
    }

    #[test]
    fn a_killed_or_dropped_writer_leaves_no_features() {
        let root = tempfile::tempdir().unwrap();
        let ids = ids(3);
        let spec = spec(&ids, Precision::F32);
        let entries = || fs_err::read_dir(root.path()).unwrap().count();
        let mut writer = spec.writer(root.path(), 2).unwrap();
        writer.write_row(ItemIdx(0), &[1.0, 2.0]).unwrap();
        // A killed process runs no destructor.
        std::mem::forget(writer);
        assert_eq!(entries(), 1);
        assert!(list_features(root.path()).unwrap().is_empty());
        assert!(!spec.dir(root.path()).unwrap().exists());
        let left = fs_err::read_dir(root.path()).unwrap().next().unwrap().unwrap().path();
        assert!(read_features(&left, &ids).is_err());
        drop(spec.writer(root.path(), 2).unwrap());
        assert_eq!(entries(), 1);
    }

    #[test]
    fn a_failed_rewrite_keeps_the_old_features() {
        let root = tempfile::tempdir().unwrap();
        let ids = ids(2);
        let spec = spec(&ids, Precision::F32);
        let mut writer = spec.writer(root.path(), 1).unwrap();
        writer.write_rows(ItemIdx(0), &Matrix::from_vec(2, 1, vec![1.0, 2.0]).unwrap()).unwrap();
        let dir = writer.finish(&[]).unwrap();
        let mut writer = spec.writer(root.path(), 1).unwrap();
        writer.write_row(ItemIdx(1), &[9.0]).unwrap();
        drop(writer);
        assert_eq!(read_features(&dir, &ids).unwrap().matrix.as_slice(), [1.0, 2.0]);
    }

    #[test]
    fn bad_rows_are_named_and_cost_nothing() {
        let root = tempfile::tempdir().unwrap();
        let ids = ids(3);
        let spec = spec(&ids, Precision::F16);
        let mut writer = spec.writer(root.path(), 2).unwrap();
        writer.write_row(ItemIdx(1), &[1.0, 2.0]).unwrap();
        let mut says = |item, row: &[f32], text: &str| {
            let err = writer.write_row(ItemIdx(item), row).unwrap_err().to_string();
            assert!(err.contains(text), "{err}");
        };
        says(3, &[0.0; 2], "item index 3 is out of range: there are 3");
        says(1, &[0.0; 2], "item \"item 1\" was written already");
        says(0, &[0.0; 3], "expected 2 numbers for item \"item 0\", found 3");
        says(2, &[0.0, f32::NAN], "row 2 (item \"item 2\"), column 1 is NaN");
        says(2, &[1e5, 0.0], "f16, and item \"item 2\" has 100000");
        assert_eq!(writer.n_present(), 1);
        let dir = writer.finish(&[]).unwrap();
        let back = read_features(&dir, &ids).unwrap();
        assert_eq!((back.matrix.row(1), back.n_present()), (&[1.0, 2.0][..], 1));
        let huge = spec.writer(root.path(), usize::MAX / 4).unwrap_err().to_string();
        assert!(huge.contains("dim is"), "{huge}");
    }
}
