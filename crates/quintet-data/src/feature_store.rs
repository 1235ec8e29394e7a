//! Features read where they lie: the matrix is mapped into memory, not copied.

use std::fmt;
use std::path::{Path, PathBuf};

use half::f16;
use memmap2::Mmap;
use quintet_core::{CoreError, ItemIdx, Matrix, ModalityFeatures};

use crate::dataset_io::{check_hash, hash_file};
use crate::features::{FEATURES, IDS, PRESENT, check_ids};
use crate::npy::{Element, check_head, read_npy};
use crate::npy_head::NpyHead;
use crate::{DataError, FeatureInfo, Precision, read_feature_info};

/// A feature directory whose vectors stay on the disk until they are asked for.
///
/// Opening checks ids, mask, header and length of the file, but does not read the numbers;
/// [`FeatureStore::verify`] does, and compares them with the recorded hash.
///
/// The directory must not be changed while it is open. Writers of this crate never do so: they
/// put a new directory in its place, and the mapped file lives on until the store is dropped.
pub struct FeatureStore {
    dir: PathBuf,
    info: FeatureInfo,
    present: Vec<bool>,
    map: Mmap,
    /// Bytes before the first number.
    offset: usize,
    /// Whether the numbers can be borrowed as they lie.
    borrowable: bool,
}

impl FeatureStore {
    /// Opens the features of exactly these items, in this order.
    ///
    /// # Errors
    /// Another list of items, a file that is missing, has another type, shape or length than
    /// `encoder.json` says, or changed ids or mask. Changed numbers are not seen here.
    pub fn open(dir: &Path, expected_ids: &[String]) -> Result<Self, DataError> {
        let info = read_feature_info(dir)?;
        check_ids(&dir.join(IDS), info.hash(IDS), expected_ids)?;
        let n_items = expected_ids.len();
        let (present, hash) = read_npy::<bool>(&dir.join(PRESENT), &[n_items])?;
        check_hash(&dir.join(PRESENT), info.hash(PRESENT), &hash)?;
        let path = dir.join(FEATURES);
        let mut file = fs_err::File::open(&path)?;
        let (head, _) = NpyHead::read(&path, &mut file)?;
        let dtype = match info.precision {
            Precision::F32 => f32::DTYPE,
            Precision::F16 => f16::DTYPE,
        };
        check_head(&path, &head, dtype, &[n_items, info.dim])?;
        let map = map(&file)?;
        // The length that counts is the one that was mapped.
        head.check_len(map.len() as u64)?;
        let mut store = Self {
            dir: dir.to_owned(),
            info,
            present,
            map,
            offset: head.offset,
            borrowable: cfg!(target_endian = "little"),
        };
        // NumPy pads headers to 64 bytes; others may not, and then the numbers lie askew.
        store.borrowable &= store.numbers().is_some();
        Ok(store)
    }

    /// What is in the directory and what made it.
    pub fn info(&self) -> &FeatureInfo {
        &self.info
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.present.len()
    }

    /// Width of the vectors.
    pub fn dim(&self) -> usize {
        self.info.dim
    }

    /// `[n_items]`: whether the item has a vector.
    pub fn present(&self) -> &[bool] {
        &self.present
    }

    /// Whether the item exists and has a vector.
    pub fn is_present(&self, item: ItemIdx) -> bool {
        self.present.get(item.index()) == Some(&true)
    }

    /// Whether [`FeatureStore::row`] gives vectors: they are stored with 32 bits and lie where a
    /// processor can read them.
    pub fn is_borrowable(&self) -> bool {
        self.borrowable
    }

    /// The vector of an item without a copy, `[dim]`; not checked for NaN.
    ///
    /// None for an item that is absent or out of range, and for all of them unless
    /// [`FeatureStore::is_borrowable`]; [`FeatureStore::row_into`] reads those too.
    pub fn row(&self, item: ItemIdx) -> Option<&[f32]> {
        if !self.borrowable || !self.is_present(item) {
            return None;
        }
        let start = item.index() * self.dim();
        self.numbers()?.get(start..start + self.dim())
    }

    /// Copies the vector of an item to `out`, `[dim]`, and tells whether it has one; an absent
    /// item's is zeros.
    ///
    /// # Errors
    /// An item that is out of range, an `out` of another width, a number that is not finite.
    pub fn row_into(&self, item: ItemIdx, out: &mut [f32]) -> Result<bool, DataError> {
        let index = item.index();
        let Some(&present) = self.present.get(index) else {
            let len = self.n_items();
            return Err(CoreError::OutOfRange { what: "item", index, len }.into());
        };
        if out.len() != self.dim() {
            let what = "room for a vector".to_owned();
            return Err(CoreError::Shape { what, expected: self.dim(), found: out.len() }.into());
        }
        if !present {
            out.fill(0.0);
            return Ok(false);
        }
        match self.info.precision {
            Precision::F32 => copy(self.row_bytes(index, f32::SIZE), out, f32::from_le_bytes),
            Precision::F16 => copy(self.row_bytes(index, f16::SIZE), out, |bytes| {
                f16::from_le_bytes(bytes).to_f32()
            }),
        }
        match out.iter().position(|v| !v.is_finite()) {
            None => Ok(true),
            Some(col) => {
                let what = self.dir.join(FEATURES).display().to_string();
                Err(CoreError::NotFinite { what, row: index, col, value: out[col] }.into())
            }
        }
    }

    /// The vectors of some items, `[items.len(), dim]`; those of absent items are zeros.
    ///
    /// # Errors
    /// As [`FeatureStore::row_into`].
    pub fn gather(&self, items: &[ItemIdx]) -> Result<Matrix, DataError> {
        let mut matrix = Matrix::zeros(items.len(), self.dim());
        for (at, &item) in items.iter().enumerate() {
            self.row_into(item, matrix.row_mut(at))?;
        }
        Ok(matrix)
    }

    /// Everything in memory, as [`crate::read_features`] gives it, but without the hash.
    ///
    /// # Errors
    /// As [`FeatureStore::row_into`].
    pub fn to_features(&self) -> Result<ModalityFeatures, DataError> {
        let items: Vec<ItemIdx> = (0..self.n_items()).map(ItemIdx::new).collect();
        let matrix = self.gather(&items)?;
        Ok(ModalityFeatures::new(self.info.modality, matrix, self.present.clone())?)
    }

    /// Reads all numbers and compares them with the hash that the writer recorded.
    ///
    /// # Errors
    /// A file that is cut or changed since it was written, a number that is not finite.
    pub fn verify(&self) -> Result<(), DataError> {
        let path = self.dir.join(FEATURES);
        // Through the file, where a shortened one is an error, and only then through the map.
        check_hash(&path, self.info.hash(FEATURES), &hash_file(&path)?)?;
        let found = blake3::hash(&self.map).to_hex().to_string();
        check_hash(&path, self.info.hash(FEATURES), &found)?;
        let mut row = vec![0.0; self.dim()];
        (0..self.n_items()).try_for_each(|i| self.row_into(ItemIdx::new(i), &mut row).map(drop))
    }

    /// All numbers as they lie, if they can be borrowed.
    fn numbers(&self) -> Option<&[f32]> {
        match self.info.precision {
            Precision::F32 => bytemuck::try_cast_slice(&self.map[self.offset..]).ok(),
            Precision::F16 => None,
        }
    }

    fn row_bytes(&self, index: usize, size: usize) -> &[u8] {
        let len = self.dim() * size;
        &self.map[self.offset + index * len..][..len]
    }
}

impl fmt::Debug for FeatureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeatureStore")
            .field("dir", &self.dir)
            .field("n_items", &self.n_items())
            .field("dim", &self.dim())
            .field("borrowable", &self.borrowable)
            .finish_non_exhaustive()
    }
}

/// Copies little-endian numbers wherever they lie.
fn copy<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = number(*bytes);
    }
}

/// The one piece of `unsafe` in this crate.
#[allow(unsafe_code)]
fn map(file: &fs_err::File) -> Result<Mmap, DataError> {
    // SAFETY: the map is read-only, it is dropped with the store, and what Rust asks for is that
    // nobody changes the bytes meanwhile. Programs of this crate never do: `FeatureWriter`
    // writes another file and renames its directory into place, and a removed or replaced file
    // keeps its content as long as it is mapped. What remains is a foreign program that shortens
    // or overwrites this very file. A shortened one ends the process with a bus error at the
    // next access; overwritten bytes are read as other numbers, which is harmless here, because
    // every pattern of bits is an `f32` and no length or index is read from the map. Against
    // both stand the length, taken from the map itself, `FeatureStore::verify` for what happened
    // before, and the permissions of the directory, which only its owner should be able to write.
    let map = unsafe { Mmap::map(file.file()) };
    Ok(map.map_err(|e| {
        std::io::Error::new(e.kind(), format!("{}: cannot be mapped: {e}", file.path().display()))
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::ENCODER_JSON;
    use crate::{FeatureSpec, read_features};
    use quintet_core::Modality;
    use serde_json::json;

    fn write(root: &Path, precision: Precision) -> (PathBuf, Vec<String>, ModalityFeatures) {
        let ids = ["a", "b", "c"].map(str::to_owned).to_vec();
        let matrix = Matrix::from_vec(3, 2, vec![1.0, 0.1, 0.0, 0.0, -2.5, 1e-3]).unwrap();
        let features = ModalityFeatures::new(Modality::Image, matrix, vec![true, false, true]);
        let features = features.unwrap();
        let (modality, info) = (Modality::Image, json!({}));
        let spec = FeatureSpec { modality, ids: &ids, encoder: "hog", info: &info, precision };
        let dir = spec.write(root, &features, &[]).unwrap();
        (dir, ids, features)
    }

    /// Puts another file of numbers into the directory, with its hash.
    fn replace_numbers(dir: &Path, bytes: &[u8]) {
        fs_err::write(dir.join(FEATURES), bytes).unwrap();
        let mut info = read_feature_info(dir).unwrap();
        info.files.insert(FEATURES.into(), hash_file(&dir.join(FEATURES)).unwrap());
        fs_err::write(dir.join(ENCODER_JSON), serde_json::to_string(&info).unwrap()).unwrap();
    }

    #[test]
    fn rows_are_those_that_were_written() {
        for precision in [Precision::F32, Precision::F16] {
            let root = tempfile::tempdir().unwrap();
            let (dir, ids, features) = write(root.path(), precision);
            let store = FeatureStore::open(&dir, &ids).unwrap();
            store.verify().unwrap();
            assert_eq!((store.n_items(), store.dim()), (3, 2));
            assert_eq!(store.present(), [true, false, true]);
            let whole = read_features(&dir, &ids).unwrap();
            assert_eq!(store.to_features().unwrap(), whole);
            let picked = store.gather(&[ItemIdx(2), ItemIdx(1), ItemIdx(2)]).unwrap();
            assert_eq!(picked.row(0), whole.matrix.row(2));
            assert_eq!(picked.row(1), [0.0, 0.0]);
            assert_eq!(picked.row(2), whole.matrix.row(2));
            assert!(!store.row_into(ItemIdx(1), &mut [7.0, 7.0]).unwrap());
            assert!(store.row_into(ItemIdx(3), &mut [0.0, 0.0]).is_err());
            assert!(store.row_into(ItemIdx(0), &mut [0.0]).is_err());
            assert_eq!(store.is_borrowable(), precision == Precision::F32);
            let row = store.row(ItemIdx(0));
            assert_eq!(row.is_some(), precision == Precision::F32);
            assert!(row.is_none_or(|row| row == features.matrix.row(0)));
            assert_eq!(store.row(ItemIdx(1)), None);
            assert_eq!(store.row(ItemIdx(3)), None);
        }
    }

    #[test]
    fn a_header_that_is_not_padded_is_read_by_copying() {
        let root = tempfile::tempdir().unwrap();
        let (dir, ids, features) = write(root.path(), Precision::F32);
        let numbers: Vec<u8> =
            features.matrix.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
        // Each of the four ways to lie.
        let mut borrowable = 0;
        for pad in 0..4 {
            let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)}".to_owned();
            let header = header + &" ".repeat(pad) + "\n";
            replace_numbers(&dir, &crate::npy_rows::tests::npy(&header, &numbers));
            let store = FeatureStore::open(&dir, &ids).unwrap();
            store.verify().unwrap();
            assert_eq!(store.to_features().unwrap(), features);
            assert_eq!(store.row(ItemIdx(0)).is_some(), store.is_borrowable());
            borrowable += usize::from(store.is_borrowable());
        }
        assert_eq!(borrowable, 1);
    }

    #[test]
    fn broken_files_are_refused_before_they_are_read() {
        let root = tempfile::tempdir().unwrap();
        let (dir, ids, _) = write(root.path(), Precision::F32);
        let message = || FeatureStore::open(&dir, &ids).unwrap_err().to_string();
        let path = dir.join(FEATURES);
        let whole = fs_err::read(&path).unwrap();
        fs_err::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(message().contains("1 of them missing"), "{}", message());
        fs_err::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert!(message().contains("behind the last number"));
        fs_err::write(&path, []).unwrap();
        assert!(message().contains("an .npy file"));
        let mut changed = whole.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        fs_err::write(&path, &changed).unwrap();
        let store = FeatureStore::open(&dir, &ids).unwrap();
        assert!(store.verify().unwrap_err().to_string().contains("BLAKE3"));
        drop(store);
        changed[last - 3..].copy_from_slice(&f32::NAN.to_le_bytes());
        replace_numbers(&dir, &changed);
        let store = FeatureStore::open(&dir, &ids).unwrap();
        let err = store.verify().unwrap_err().to_string();
        assert!(err.contains("row 2, column 1 is NaN"), "{err}");
        fs_err::write(&path, &whole).unwrap();
        let other = FeatureStore::open(&dir, &ids[..2]).unwrap_err().to_string();
        assert!(other.contains("no further item at row 2"), "{other}");
    }

    #[test]
    fn a_store_outlives_its_replacement() {
        let root = tempfile::tempdir().unwrap();
        let (dir, ids, features) = write(root.path(), Precision::F32);
        let store = FeatureStore::open(&dir, &ids).unwrap();
        write(root.path(), Precision::F32);
        assert_eq!(store.to_features().unwrap(), features);
    }
}
