//! Vectors by the hash of the content that they were made from, so that nothing is encoded twice.
//!
//! A folder holds the vectors of one encoder in files that only grow. Every process writes a file
//! of its own and reads those of all, so that several runs may share a folder. Vectors are written
//! in blocks with a hash; a block that a killed process left unfinished does not count, nor does
//! what follows a damaged one. What is lost is encoded again.
//!
//! | bytes | what |
//! |---|---|
//! | 8, 8 | `QNTVEC1\n`; numbers in a vector, u64 |
//! | 8, 32 | of a block: how many vectors, u64; BLAKE3 of the rest of the block |
//! | 32, 4 · dim | of a vector: the hash of its content; the numbers, f32 |
//!
//! Everything is little-endian.

use std::collections::HashMap;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::DataError;

/// BLAKE3 of a file or text.
pub type ContentHash = [u8; 32];

const MAGIC: &[u8; 8] = b"QNTVEC1\n";
const EXTENSION: &str = "vectors";
const HASH: usize = size_of::<ContentHash>();
/// Magic and width.
const HEAD: u64 = 16;
/// Number of vectors and hash.
const BLOCK_HEAD: u64 = 40;
/// Wider vectors are damage; keeps sizes in a file from being believed.
const WIDEST: u64 = 1 << 24;

/// Where the numbers of a vector are.
#[derive(Debug, Clone, Copy)]
struct Place {
    file: usize,
    at: u64,
}

/// The vectors that one encoder has made so far, by content.
///
/// ```
/// use quintet_data::VectorCache;
/// # let root = tempfile::tempdir()?;
/// # let dir = root.path().join("bert");
/// let mut cache = VectorCache::open(&dir)?;
/// cache.append(2, &[([7; 32], vec![1.0, 2.0])])?;
///
/// let mut again = VectorCache::open(&dir)?;
/// let mut vector = Vec::new();
/// assert!(again.read(&[7; 32], &mut vector)?);
/// assert_eq!(vector, [1.0, 2.0]);
/// assert!(!again.contains(&[8; 32]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct VectorCache {
    dir: PathBuf,
    dim: Option<usize>,
    places: HashMap<ContentHash, Place>,
    files: Vec<PathBuf>,
    /// The file that was read last; there may be more of them than a process may open.
    reading: Option<(usize, fs_err::File)>,
    own: Option<OwnFile>,
}

/// The file that this process writes.
#[derive(Debug)]
struct OwnFile {
    number: usize,
    file: fs_err::File,
    len: u64,
}

impl VectorCache {
    /// Reads what is there; a folder that does not exist is empty.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds vectors of another width than the rest.
    pub fn open(dir: &Path) -> Result<Self, DataError> {
        let (places, files) = (HashMap::new(), Vec::new());
        let dir = dir.to_owned();
        let mut cache = Self { dir, dim: None, places, files, reading: None, own: None };
        let dir = &cache.dir;
        if !dir.exists() {
            return Ok(cache);
        }
        let mut paths = Vec::new();
        for entry in fs_err::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == EXTENSION) {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        paths.iter().try_for_each(|path| cache.load(path))?;
        Ok(cache)
    }

    /// Width of the vectors; unknown as long as there is none.
    pub fn dim(&self) -> Option<usize> {
        self.dim
    }

    /// How many contents have a vector.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether a content has a vector.
    pub fn contains(&self, content: &ContentHash) -> bool {
        self.places.contains_key(content)
    }

    /// Adds vectors of width `dim` as one block: after a crash all of them are there or none.
    ///
    /// # Errors
    /// Another width than before, or a file that cannot be written.
    pub fn append(
        &mut self,
        dim: usize,
        vectors: &[(ContentHash, Vec<f32>)],
    ) -> Result<(), DataError> {
        let other = vectors.iter().map(|(_, v)| v.len()).find(|&len| len != dim);
        if let Some(found) = other.or(self.dim.filter(|&known| known != dim)) {
            return Err(DataError::Content {
                path: self.dir.clone(),
                expected: format!("vectors of {dim} numbers"),
                found: found.to_string(),
            });
        }
        if vectors.is_empty() {
            return Ok(());
        }
        let mut body = Vec::with_capacity(vectors.len() * (HASH + 4 * dim));
        for (content, vector) in vectors {
            body.extend(content);
            vector.iter().for_each(|v| body.extend(v.to_le_bytes()));
        }
        let mut block = (vectors.len() as u64).to_le_bytes().to_vec();
        block.extend(blake3::hash(&body).as_bytes());
        block.extend(&body);
        let own = match self.own.take() {
            Some(own) => own,
            None => self.own_file(dim)?,
        };
        let OwnFile { number, mut file, len: end } = own;
        // A block that fails half-way is a file of its own from then on: nothing may follow it.
        file.write_all(&block)?;
        self.own = Some(OwnFile { number, file, len: end + block.len() as u64 });
        self.dim = Some(dim);
        let row = (HASH + 4 * dim) as u64;
        let first = end + BLOCK_HEAD + HASH as u64;
        for (at, (content, _)) in (0..).zip(vectors) {
            self.places.entry(*content).or_insert(Place { file: number, at: first + at * row });
        }
        Ok(())
    }

    /// Copies the vector of a content to `out`, whatever was in it, and tells whether there is one.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(&mut self, content: &ContentHash, out: &mut Vec<f32>) -> Result<bool, DataError> {
        out.clear();
        let (Some(place), Some(dim)) = (self.places.get(content), self.dim) else {
            return Ok(false);
        };
        let mut file = match self.reading.take() {
            Some((number, file)) if number == place.file => file,
            _ => fs_err::File::open(&self.files[place.file])?,
        };
        file.seek(SeekFrom::Start(place.at))?;
        let mut bytes = vec![0; 4 * dim];
        file.read_exact(&mut bytes)?;
        self.reading = Some((place.file, file));
        out.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        Ok(true)
    }

    /// Makes the file of this process.
    fn own_file(&mut self, dim: usize) -> Result<OwnFile, DataError> {
        fs_err::create_dir_all(&self.dir)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut attempt = 0;
        loop {
            let name = format!("{now:032x}-{}-{attempt}.{EXTENSION}", std::process::id());
            let path = self.dir.join(name);
            match fs_err::OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => attempt += 1,
                opened => {
                    let mut file = opened?;
                    file.write_all(MAGIC)?;
                    file.write_all(&(dim as u64).to_le_bytes())?;
                    self.files.push(path);
                    return Ok(OwnFile { number: self.files.len() - 1, file, len: HEAD });
                }
            }
        }
    }

    /// Notes where the vectors of a file are, as far as its blocks are whole.
    fn load(&mut self, path: &Path) -> Result<(), DataError> {
        let file = fs_err::File::open(path)?;
        let len = file.metadata()?.len();
        let mut reader = BufReader::new(file);
        let mut head = [0; HEAD as usize];
        // A process was killed before it wrote anything.
        if len < HEAD {
            return Ok(());
        }
        reader.read_exact(&mut head)?;
        let (magic, width) = head.split_at(MAGIC.len());
        let width = number(width);
        if magic != MAGIC || width > WIDEST {
            return Ok(());
        }
        let dim = width as usize;
        if self.dim.is_some_and(|known| known != dim) {
            return Err(DataError::Content {
                path: path.to_owned(),
                expected: format!("vectors of {} numbers", self.dim.unwrap_or_default()),
                found: dim.to_string(),
            });
        }
        let (number, mut end) = (self.files.len(), HEAD);
        while let Some((contents, next)) = block(&mut reader, end, len, dim)? {
            let row = (HASH + 4 * dim) as u64;
            let first = end + BLOCK_HEAD + HASH as u64;
            for (at, content) in (0..).zip(contents) {
                let place = Place { file: number, at: first + at * row };
                self.places.entry(content).or_insert(place);
            }
            self.dim = Some(dim);
            end = next;
        }
        self.files.push(path.to_owned());
        Ok(())
    }
}

/// The contents of the block at `start` of a file of `len` bytes and where the next one begins;
/// `None` where no whole block is.
fn block(
    reader: &mut impl Read,
    start: u64,
    len: u64,
    dim: usize,
) -> Result<Option<(Vec<ContentHash>, u64)>, DataError> {
    if len - start < BLOCK_HEAD {
        return Ok(None);
    }
    let mut head = [0; BLOCK_HEAD as usize];
    reader.read_exact(&mut head)?;
    let (n, hash) = head.split_at(8);
    let row = HASH + 4 * dim;
    let (n, left) = (number(n), len - start - BLOCK_HEAD);
    let Some(bytes) = n.checked_mul(row as u64).filter(|&bytes| n > 0 && bytes <= left) else {
        return Ok(None);
    };
    let (mut contents, mut hasher) = (Vec::new(), blake3::Hasher::new());
    let mut bytes_of = vec![0; row];
    for _ in 0..n {
        reader.read_exact(&mut bytes_of)?;
        hasher.update(&bytes_of);
        let mut content = [0; HASH];
        content.copy_from_slice(&bytes_of[..HASH]);
        contents.push(content);
    }
    let whole = hasher.finalize().as_bytes() == hash;
    Ok(whole.then_some((contents, start + BLOCK_HEAD + bytes)))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(i: usize) -> ContentHash {
        *blake3::hash(&i.to_le_bytes()).as_bytes()
    }

    fn vectors(items: std::ops::Range<usize>) -> Vec<(ContentHash, Vec<f32>)> {
        items.map(|i| (content(i), vec![i as f32, -0.5, 1e-30])).collect()
    }

    fn found(cache: &mut VectorCache, n: usize) -> Vec<usize> {
        let mut out = Vec::new();
        let there = |i: &usize| {
            let there = cache.read(&content(*i), &mut out).unwrap();
            assert!(!there || out == [*i as f32, -0.5, 1e-30], "{i}: {out:?}");
            assert_eq!(there, cache.contains(&content(*i)));
            there
        };
        (0..n).filter(there).collect()
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        fs_err::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect()
    }

    #[test]
    fn what_several_writers_add_is_there_for_all_later_readers() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("new/folder");
        let mut one = VectorCache::open(&dir).unwrap();
        let mut two = VectorCache::open(&dir).unwrap();
        assert!(one.is_empty() && one.dim().is_none() && !dir.exists());
        one.append(3, &[]).unwrap();
        assert!(!dir.exists());
        one.append(3, &vectors(0..4)).unwrap();
        two.append(3, &vectors(3..6)).unwrap();
        one.append(3, &vectors(6..7)).unwrap();
        assert_eq!(found(&mut one, 9), [0, 1, 2, 3, 6]);
        assert_eq!(found(&mut two, 9), [3, 4, 5]);
        let mut all = VectorCache::open(&dir).unwrap();
        assert_eq!((all.len(), all.dim()), (7, Some(3)));
        assert_eq!(found(&mut all, 9), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(files(&dir).len(), 2);
        let err = all.append(2, &[(content(8), vec![1.0, 2.0])]).unwrap_err().to_string();
        assert!(err.contains("expected vectors of 2 numbers, found 3"), "{err}");
    }

    #[test]
    fn of_a_file_cut_anywhere_the_whole_blocks_count() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cut");
        let mut cache = VectorCache::open(&dir).unwrap();
        cache.append(3, &vectors(0..2)).unwrap();
        cache.append(3, &vectors(2..5)).unwrap();
        let path = files(&dir).pop().unwrap();
        let bytes = fs_err::read(&path).unwrap();
        let first = 16 + 40 + 2 * (32 + 12);
        assert_eq!(bytes.len(), first + 40 + 3 * (32 + 12));
        for end in 0..=bytes.len() {
            fs_err::write(&path, &bytes[..end]).unwrap();
            let mut cut = VectorCache::open(&dir).unwrap();
            let expected = if end == bytes.len() { 5 } else { 2 * usize::from(end >= first) };
            assert_eq!(found(&mut cut, 5), (0..expected).collect::<Vec<_>>(), "{end}");
        }
        // A killed process leaves its file; the next one writes another.
        fs_err::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let mut next = VectorCache::open(&dir).unwrap();
        next.append(3, &vectors(2..5)).unwrap();
        assert_eq!(found(&mut VectorCache::open(&dir).unwrap(), 5), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_changed_byte_is_never_taken_for_a_vector() {
        let root = tempfile::tempdir().unwrap();
        let mut cache = VectorCache::open(root.path()).unwrap();
        cache.append(3, &vectors(0..3)).unwrap();
        let path = files(root.path()).pop().unwrap();
        let whole = fs_err::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs_err::write(&path, bytes).unwrap();
            assert!(VectorCache::open(root.path()).unwrap().is_empty(), "{at}");
        }
        fs_err::write(&path, &whole).unwrap();
        let other = [(content(9), vec![1.0])];
        VectorCache::open(&root.path().join("b")).unwrap().append(1, &other).unwrap();
        let one = files(&root.path().join("b")).pop().unwrap();
        fs_err::rename(&one, root.path().join("z.vectors")).unwrap();
        let err = VectorCache::open(root.path()).unwrap_err().to_string();
        assert!(err.contains("z.vectors: expected vectors of 3 numbers, found 1"), "{err}");
    }
}
