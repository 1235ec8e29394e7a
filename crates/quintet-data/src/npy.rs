//! Arrays of numbers as `.npy` files, read with limits.
//!
//! `npyz` reads and writes the header; the numbers are read here in large blocks, after the
//! header was found to promise exactly the bytes that the file has. Types that would need
//! pickle are refused with every other type that was not asked for.

use std::io::{self, Read, Write};
use std::path::Path;

use npyz::{DType, NpyHeader, Order, WriteOptions, WriterBuilder};

use crate::DataError;

/// Longest header that is read, bytes; the headers written here have 128.
const HEADER_LIMIT: usize = 1024;
/// How deep brackets may lie in each other in a header: a tuple in a dict, and a little more.
const HEADER_DEPTH: usize = 4;
/// Magic, version and the length of the header, at most.
const PREAMBLE: usize = 12;
/// Bytes of numbers that are converted at a time; a multiple of every element size.
const BLOCK: usize = 1 << 16;

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

/// Writes an array in C order and gives back the BLAKE3 of the file.
pub(crate) fn write_npy<T: Element>(
    path: &Path,
    shape: &[usize],
    values: impl Iterator<Item = T>,
) -> Result<String, DataError> {
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    let dtype: npyz::TypeStr = T::DTYPE.parse().map_err(io::Error::other)?;
    let mut block = Vec::with_capacity(BLOCK + HEADER_LIMIT);
    WriteOptions::new_header_only()
        .dtype(DType::new_scalar(dtype))
        .shape(&shape)
        .writer(&mut block)
        .write_header_only()?;
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

/// Reads an array of a known type and shape; gives back the numbers and the BLAKE3 of the file.
///
/// Memory is taken only after type, shape and length of the file were found right.
pub(crate) fn read_npy<T: Element>(
    path: &Path,
    shape: &[usize],
) -> Result<(Vec<T>, String), DataError> {
    let content = |expected: String, found: String| DataError::Content {
        path: path.to_owned(),
        expected,
        found,
    };
    let mut file = fs_err::File::open(path)?;
    let file_len = file.metadata()?.len();
    let mut head = Vec::new();
    (&mut file).take((PREAMBLE + HEADER_LIMIT) as u64).read_to_end(&mut head)?;
    let header_len = check_header_len(path, &head)?;
    let header = NpyHeader::from_reader(&head[..header_len])
        .map_err(|e| content("an .npy file".into(), e.to_string()))?;
    if header.dtype().descr() != format!("'{}'", T::DTYPE) {
        let found = match header.uses_pickled_array() {
            true => "Python objects, which are never read".to_owned(),
            false => header.dtype().descr(),
        };
        return Err(content(format!("numbers of type '{}'", T::DTYPE), found));
    }
    let asked: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    if header.shape() != asked {
        return Err(content(format!("shape {asked:?}"), format!("{:?}", header.shape())));
    }
    if header.order() != Order::C && shape.len() > 1 {
        return Err(content("rows one after the other".into(), "Fortran order".into()));
    }
    let n = shape.iter().try_fold(1usize, |n, &len| n.checked_mul(len));
    let data_len = n.and_then(|n| n.checked_mul(T::SIZE)).map(|len| (len + header_len) as u64);
    let Some(n) = n.filter(|_| data_len == Some(file_len)) else {
        let expected = data_len.map_or("fewer numbers".into(), |len| format!("{len} bytes"));
        return Err(content(expected, format!("{file_len} bytes")));
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head[..header_len]);
    let mut rest = head[header_len..].chain(file);
    let mut values = Vec::with_capacity(n);
    let mut block = vec![0; BLOCK.min(n * T::SIZE)];
    while values.len() < n {
        let len = block.len().min((n - values.len()) * T::SIZE);
        rest.read_exact(&mut block[..len])?;
        hasher.update(&block[..len]);
        for bytes in block[..len].chunks_exact(T::SIZE) {
            values.push(T::take(bytes).ok_or_else(|| {
                content(format!("values of type '{}'", T::DTYPE), format!("bytes {bytes:?}"))
            })?);
        }
    }
    Ok((values, hasher.finalize().to_hex().to_string()))
}

/// The bytes up to the first number, found to be few before anything parses them.
fn check_header_len(path: &Path, head: &[u8]) -> Result<usize, DataError> {
    let len = match head {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, a, b, ..] => {
            10 + usize::from(u16::from_le_bytes([*a, *b]))
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, 0, a, b, c, d, ..] => {
            12usize.saturating_add(u32::from_le_bytes([*a, *b, *c, *d]) as usize)
        }
        _ => {
            return Err(DataError::Content {
                path: path.to_owned(),
                expected: "an .npy file of version 1, 2 or 3".into(),
                found: format!("a file that begins with {:?}", &head[..head.len().min(8)]),
            });
        }
    };
    if len > head.len() {
        return Err(DataError::Content {
            path: path.to_owned(),
            expected: format!("a header of at most {HEADER_LIMIT} bytes that is all there"),
            found: format!("one of {len} bytes"),
        });
    }
    // The parser goes over what is inside a bracket again and again: with sixty brackets in each
    // other it does not come to an end.
    let depth = depth(&head[..len]);
    if depth > HEADER_DEPTH {
        return Err(DataError::Content {
            path: path.to_owned(),
            expected: format!("a header with at most {HEADER_DEPTH} brackets in each other"),
            found: format!("{depth}"),
        });
    }
    Ok(len)
}

/// How deep brackets lie in each other, wherever they stand.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in bytes {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

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
        let object = read(&npy(&dict("'|O'", "False", "(1, 1)"), b"cos\nsystem"), &[1, 1]);
        assert!(object.unwrap_err().contains("Python objects"));
        let big = read(&npy(&dict("'>f4'", "False", "(1, 1)"), &[0; 4]), &[1, 1]);
        assert!(big.unwrap_err().contains("'>f4'"));
        let fortran = read(&npy(&dict("'<f4'", "True", "(2, 2)"), &[0; 16]), &[2, 2]);
        assert!(fortran.unwrap_err().contains("Fortran"));
        // The shape agrees, but the numbers are not there: refused before 4 TB are asked for.
        let far = read(&npy(&dict("'<f4'", "False", "(1048576, 1048576)"), &[0; 8]), &[1 << 20; 2]);
        assert!(far.unwrap_err().contains("bytes, found"));
        let huge =
            read(&npy(&dict("'<f4'", "False", "(4294967296, 4294967296)"), &[]), &[1 << 32; 2]);
        assert!(huge.is_err());
        let long = npy(&dict("'<f4'", "False", "(1, 1)").replace('{', &"(".repeat(5000)), &[]);
        assert!(read(&long, &[1, 1]).unwrap_err().contains("header of at most"));
        // Found by fuzzing: the parser was still busy with such a header after half a minute.
        let nested = npy(&format!("{{'descr': {}", "{".repeat(60)), &[]);
        assert!(read(&nested, &[1, 1]).unwrap_err().contains("at most 4 brackets"));
        for bytes in [&b""[..], b"\x93NUMPY", b"PK\x03\x04 not an array at all"] {
            assert!(read(bytes, &[1, 1]).unwrap_err().contains("an .npy file"));
        }
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
