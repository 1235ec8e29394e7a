//! The `.npy` files of the feature store: types and shapes that are known beforehand.
//!
//! `npyz` writes the header; the numbers are written and read here in large blocks. What others
//! wrote is read by `npy_rows`.

use std::io::{self, Read, Write};
use std::path::Path;

use npyz::{DType, WriteOptions, WriterBuilder};

use crate::DataError;
use crate::npy_head::NpyHead;

/// Bytes of numbers that are converted at a time; a multiple of every element size.
pub(crate) const BLOCK: usize = 1 << 16;

/// A type of number with a fixed size in a file.
pub(crate) trait Element: Sized + Copy {
    /// The type in the words of NumPy, such as `<f4`.
    const DTYPE: &'static str;
    /// Bytes of one element.
    const SIZE: usize;
    /// Adds the bytes of one element.
    fn put(self, out: &mut Vec<u8>);
    /// Takes one element from exactly [`Element::SIZE`] bytes; none when they are no such value.
    fn take(bytes: &[u8]) -> Option<Self>;
}

impl Element for f32 {
    const DTYPE: &'static str = "<f4";
    const SIZE: usize = 4;

    fn put(self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        Some(f32::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl Element for half::f16 {
    const DTYPE: &'static str = "<f2";
    const SIZE: usize = 2;

    fn put(self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        Some(half::f16::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl Element for bool {
    const DTYPE: &'static str = "|b1";
    const SIZE: usize = 1;

    fn put(self, out: &mut Vec<u8>) {
        out.push(u8::from(self));
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

/// The bytes before the first number of an array in C order.
pub(crate) fn header_bytes(dtype: &str, shape: &[usize]) -> Result<Vec<u8>, DataError> {
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    let dtype: npyz::TypeStr = dtype.parse().map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    WriteOptions::new_header_only()
        .dtype(DType::new_scalar(dtype))
        .shape(&shape)
        .writer(&mut bytes)
        .write_header_only()?;
    Ok(bytes)
}

/// Writes an array in C order and gives back the BLAKE3 of the file.
pub(crate) fn write_npy<T: Element>(
    path: &Path,
    shape: &[usize],
    values: impl Iterator<Item = T>,
) -> Result<String, DataError> {
    let mut block = header_bytes(T::DTYPE, shape)?;
    let mut file = fs_err::File::create(path)?;
    let mut hasher = blake3::Hasher::new();
    for value in values {
        value.put(&mut block);
        if block.len() >= BLOCK {
            hasher.update(&block);
            file.write_all(&block)?;
            block.clear();
        }
    }
    hasher.update(&block);
    file.write_all(&block)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Checks that a header is of the type, shape and order that the store writes.
pub(crate) fn check_head(
    path: &Path,
    head: &NpyHead,
    dtype: &str,
    shape: &[usize],
) -> Result<(), DataError> {
    let content = |expected: String, found: String| {
        Err(DataError::Content { path: path.to_owned(), expected, found })
    };
    if head.descr != dtype {
        return content(format!("numbers of type '{dtype}'"), format!("'{}'", head.descr));
    }
    if head.shape != shape {
        return content(format!("shape {shape:?}"), format!("{:?}", head.shape));
    }
    if head.fortran && shape.len() > 1 {
        return content("rows one after the other".into(), "Fortran order".into());
    }
    Ok(())
}

/// Reads an array of a known type and shape; gives back the numbers and the BLAKE3 of the file.
///
/// Memory is taken only after type, shape and length of the file were found right.
pub(crate) fn read_npy<T: Element>(
    path: &Path,
    shape: &[usize],
) -> Result<(Vec<T>, String), DataError> {
    let mut file = fs_err::File::open(path)?;
    let (head, bytes) = NpyHead::read(path, &mut file)?;
    check_head(path, &head, T::DTYPE, shape)?;
    let n = head.check_len(file.metadata()?.len())?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes);
    let mut values = Vec::with_capacity(n);
    let mut block = vec![0; BLOCK.min(n * T::SIZE)];
    while values.len() < n {
        let len = block.len().min((n - values.len()) * T::SIZE);
        file.read_exact(&mut block[..len])?;
        hasher.update(&block[..len]);
        for bytes in block[..len].chunks_exact(T::SIZE) {
            values.push(T::take(bytes).ok_or_else(|| DataError::Content {
                path: path.to_owned(),
                expected: format!("values of type '{}'", T::DTYPE),
                found: format!("bytes {bytes:?}"),
            })?);
        }
    }
    Ok((values, hasher.finalize().to_hex().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy_rows::tests::npy;

    fn read(bytes: &[u8], shape: &[usize]) -> Result<Vec<f32>, String> {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        read_npy(&path, shape).map(|(v, _)| v).map_err(|e| e.to_string())
    }

    #[test]
    fn a_file_that_numpy_wrote_is_read() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }\n";
        let data = [1.5f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat();
        assert_eq!(read(&npy(header, &data), &[1, 2]).unwrap(), [1.5, -2.0]);
        let other = read(&npy(header, &data), &[2, 1]).unwrap_err();
        assert!(other.contains("expected shape [2, 1], found [1, 2]"), "{other}");
    }

    #[test]
    fn strange_files_are_refused() {
        let dict = |descr: &str, fortran: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
        };
        let big = read(&npy(&dict("'>f4'", "False", "(1, 1)"), &[0; 4]), &[1, 1]);
        assert!(big.unwrap_err().contains("'>f4'"));
        let fortran = read(&npy(&dict("'<f4'", "True", "(2, 2)"), &[0; 16]), &[2, 2]);
        assert!(fortran.unwrap_err().contains("Fortran"));
        // The shape agrees, but the numbers are not there: refused before 4 TB are asked for.
        let far = read(&npy(&dict("'<f4'", "False", "(1048576, 1048576)"), &[0; 8]), &[1 << 20; 2]);
        assert!(far.unwrap_err().contains("of them missing"));
    }

    #[test]
    fn what_is_written_is_read_across_blocks() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.npy");
        let n = BLOCK / 4 * 2 + 17;
        let hash = write_npy(&path, &[n], (0..n).map(|i| i as f32)).unwrap();
        let (values, read_hash) = read_npy::<f32>(&path, &[n]).unwrap();
        assert_eq!(hash, read_hash);
        assert_eq!(hash, crate::dataset_io::hash_file(&path).unwrap());
        assert!(values.iter().enumerate().all(|(i, &v)| v == i as f32));
        write_npy(&path, &[3], [true, false, true].into_iter()).unwrap();
        assert_eq!(read_npy::<bool>(&path, &[3]).unwrap().0, [true, false, true]);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() = 7;
        std::fs::write(&path, bytes).unwrap();
        assert!(read_npy::<bool>(&path, &[3]).unwrap_err().to_string().contains("bytes [7]"));
    }
}
