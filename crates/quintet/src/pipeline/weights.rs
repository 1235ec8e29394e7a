//! Weights that others trained, kept by name in one folder for all runs.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use quintet_data::{replace_dir_atomic, write_atomic};
use quintet_tensor::WeightFile;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PipelineError, RunConfig};
use crate::Registries;

/// What makes a folder an entry of the store.
const MARK: &str = "weights.json";
/// Version of [`MARK`].
const FORMAT: u32 = 1;
/// How deep folders may lie in a folder of weights.
const DEPTH: usize = 4;
/// Most files of one entry: somebody's home is no folder of weights.
const MOST_FILES: usize = 1000;

/// Files that run code when they are read, and that Quintet therefore never reads.
const PICKLES: [&str; 7] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle", "npz"];
/// Files of other programs, and those for people.
const FOREIGN: [&str; 9] = ["onnx", "h5", "msgpack", "ot", "tflite", "xml", "md", "py", "gguf"];

/// What to do with weights that come as a pickle.
const CONVERT: &str = "convert it where you trust it: python -c \"import torch; from \
     safetensors.torch import save_file; save_file({k: v.contiguous().clone() for k, v in \
     torch.load('IN', weights_only=True).items()}, 'model.safetensors')\"";

/// A folder that holds weights by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightStore {
    dir: PathBuf,
}

/// One entry of a [`WeightStore`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredWeights {
    format: u32,
    /// What a run file calls it.
    pub name: String,
    /// Where it came from.
    pub from: String,
    /// Whether it was one file, not a folder.
    pub single: bool,
    /// Hash of the file, or of the folder: of its files' hashes and names.
    pub blake3: String,
    /// Its files, sorted by path.
    pub files: Vec<WeightPart>,
    /// What of the source was left there, because no encoder reads it.
    pub left_out: Vec<String>,
}

/// One file of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightPart {
    /// Path in the folder, with `/`.
    pub path: String,
    /// Size, bytes.
    pub bytes: u64,
    /// BLAKE3, hex.
    pub blake3: String,
}

impl StoredWeights {
    /// Size of all files, bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }
}

impl WeightStore {
    /// A store in this folder, which need not exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Copies a safetensors file, or a folder with at least one, into the store under a name.
    /// The entry appears whole or not at all. `from` is what the entry says it came from.
    ///
    /// # Errors
    /// A name that is taken by other weights or is no plain name, a source without safetensors
    /// or with a damaged one, another hash than `expected`, a file that cannot be read or
    /// written.
    pub fn add(
        &self,
        name: &str,
        source: &Path,
        from: &str,
        expected: Option<&str>,
    ) -> Result<StoredWeights, PipelineError> {
        let place = self.place(name)?;
        let scan = Scan::of(source)?;
        scan.check(source)?;
        if place.exists() && !place.join(MARK).is_file() {
            return Err(wrong(&place, "an entry of `quintet weights`", "another folder or file"));
        }
        if place.exists() {
            let found = scan.hash()?;
            let there = self.entry(name)?;
            let expected = expected.unwrap_or(&found);
            if there.blake3 == found && found == expected {
                return Ok(there);
            }
            let wanted = format!("a free name, or `quintet weights remove {name}` first");
            return Err(wrong(&place, &wanted, &format!("weights with blake3 {}", there.blake3)));
        }
        let mut entry = StoredWeights {
            format: FORMAT,
            name: name.to_owned(),
            from: from.to_owned(),
            single: scan.single,
            blake3: String::new(),
            files: Vec::new(),
            left_out: scan.left_out.clone(),
        };
        replace_dir_atomic(&place, MARK, |temp| {
            for (path, file) in &scan.files {
                entry.files.push(copy(file, &temp.join(path), path)?);
            }
            entry.blake3 = hash_of(scan.single, &entry.files);
            if let Some(expected) = expected.filter(|e| !e.eq_ignore_ascii_case(&entry.blake3)) {
                return Err(wrong(source, &format!("blake3 {expected}"), &entry.blake3));
            }
            let text = serde_json::to_string_pretty(&entry)? + "\n";
            Ok(write_atomic(&temp.join(MARK), text.as_bytes())?)
        })?;
        Ok(entry)
    }

    /// What is there, by name; none when the folder does not exist.
    ///
    /// # Errors
    /// A folder or an entry that cannot be read.
    pub fn list(&self) -> Result<Vec<StoredWeights>, PipelineError> {
        let mut found = Vec::new();
        if !self.dir.is_dir() {
            return Ok(found);
        }
        for entry in fs_err::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.path().join(MARK).is_file() {
                found.push(self.entry(&name)?);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Takes an entry away and tells what it was.
    ///
    /// # Errors
    /// There is none of this name, or a folder stands there that was not added.
    pub fn remove(&self, name: &str) -> Result<StoredWeights, PipelineError> {
        let place = self.place(name)?;
        if !place.join(MARK).is_file() {
            let known: Vec<String> = self.list()?.into_iter().map(|w| w.name).collect();
            let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
            return Err(wrong(&place, "an entry of `quintet weights`", &format!("{known} only")));
        }
        let entry = self.entry(name)?;
        fs_err::remove_dir_all(&place)?;
        Ok(entry)
    }

    /// Where the weights of an entry are: its folder, or its file where it was one.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn path(&self, name: &str) -> Result<PathBuf, PipelineError> {
        let place = self.place(name)?;
        let entry = self.entry(name)?;
        Ok(match entry.files.first().filter(|_| entry.single) {
            Some(file) => place.join(&file.path),
            None => place,
        })
    }

    fn entry(&self, name: &str) -> Result<StoredWeights, PipelineError> {
        super::stages::read_json(&self.place(name)?.join(MARK), "an entry of `quintet weights`")
    }

    fn place(&self, name: &str) -> Result<PathBuf, PipelineError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(PipelineError::Weights {
                place: format!("weights {name:?}"),
                expected: "a name of letters, digits and -_.+".to_owned(),
                found: "another".to_owned(),
            });
        }
        Ok(self.dir.join(name))
    }

    /// Where relative weights of a run file are: below one of the folders, else in the store.
    fn find(&self, named: &Path, below: &[&Path]) -> Option<PathBuf> {
        let direct = below.iter().map(|dir| dir.join(named)).find(|path| path.exists());
        let by_hand = || Some(self.dir.join(named)).filter(|path| path.exists());
        direct.or_else(|| self.path(named.to_str()?).ok()).or_else(by_hand)
    }
}

impl RunConfig {
    /// Makes the names under `weights` in `[[encode]]` paths: of what lies in the working
    /// directory, else below the data root, else in the store.
    ///
    /// # Errors
    /// A name that is in none of them; the error says where it was looked for and what to do.
    pub fn find_weights(
        &mut self,
        known: &Registries,
        data_root: &Path,
        store: &WeightStore,
    ) -> Result<(), PipelineError> {
        for spec in &mut self.encode {
            let Some(files) = spec.entry(known)?.weights else { continue };
            let Some(Value::String(named)) = spec.params.get("weights") else { continue };
            let path = Path::new(named);
            if path.is_absolute() {
                continue;
            }
            let Some(found) = store.find(path, &[Path::new(""), data_root]) else {
                let places = [Path::new("."), data_root, store.dir()]
                    .map(|dir| dir.join(path).display().to_string());
                let [here, data, stored] = places;
                let data = if here == data { String::new() } else { format!("{data}, ") };
                return Err(PipelineError::Weights {
                    place: format!("[[encode]] {} encoder {:?}", spec.modality, spec.encoder),
                    expected: format!("weights at {here}, {data}or {stored}: {files}"),
                    found: format!("none; `quintet weights add {named} PATH` puts them there"),
                });
            };
            spec.params["weights"] = found.to_string_lossy().into();
        }
        Ok(())
    }
}

/// Hash of the weights at a path, a file or a folder, by content only.
pub(super) fn weights_hash(path: &Path) -> Result<String, PipelineError> {
    Scan::of(path)?.hash()
}

/// The files of a source.
struct Scan {
    single: bool,
    /// Path in the folder, and where the file is; sorted.
    files: Vec<(String, PathBuf)>,
    left_out: Vec<String>,
    /// The first pickle, where there is one.
    pickle: Option<PathBuf>,
}

impl Scan {
    fn of(source: &Path) -> Result<Self, PipelineError> {
        // Links are followed: downloaders keep the files elsewhere and link to them.
        let single = fs_err::metadata(source)?.is_file();
        let mut scan = Self { single, files: Vec::new(), left_out: Vec::new(), pickle: None };
        if single {
            let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            scan.take(name, source);
        } else {
            scan.walk(source, "", DEPTH)?;
            scan.files.sort();
            scan.left_out.sort();
        }
        Ok(scan)
    }

    fn walk(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), PipelineError> {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let (path, inside) = (entry.path(), format!("{prefix}{name}"));
            if name.starts_with('.') || inside == MARK {
                continue;
            }
            match fs_err::metadata(&path)?.is_dir() {
                true if depth > 0 && !entry.file_type()?.is_symlink() => {
                    self.walk(&path, &format!("{inside}/"), depth - 1)?;
                }
                true => self.left_out.push(inside),
                false => self.take(inside, &path),
            }
            if self.files.len() + self.left_out.len() > MOST_FILES {
                let expected = format!("a folder of weights, at most {MOST_FILES} files");
                return Err(wrong(folder, &expected, "more"));
            }
        }
        Ok(())
    }

    fn take(&mut self, inside: String, path: &Path) {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if PICKLES.contains(&extension.as_str()) {
            self.pickle.get_or_insert_with(|| path.to_owned());
            self.left_out.push(inside);
        } else if FOREIGN.contains(&extension.as_str()) {
            self.left_out.push(inside);
        } else {
            self.files.push((inside, path.to_owned()));
        }
    }

    /// There must be arrays, and every file of them must be whole.
    fn check(&self, source: &Path) -> Result<(), PipelineError> {
        let mut arrays = 0usize;
        for (name, path) in &self.files {
            if name.ends_with(".safetensors") {
                WeightFile::open(path).map_err(quintet_tensor::EncodeError::from)?;
                arrays += 1;
            }
        }
        match (&self.pickle, arrays) {
            (_, 1..) => Ok(()),
            (Some(pickle), 0) => {
                let found = format!("a pickle, which can run any code; {CONVERT}");
                let found = found.replace("IN", &pickle.display().to_string());
                Err(wrong(pickle, "safetensors", &found))
            }
            (None, 0) => {
                let found = if self.single { "another file" } else { "none in the folder" };
                Err(wrong(source, "a .safetensors file", found))
            }
        }
    }

    fn hash(&self) -> Result<String, PipelineError> {
        let part = |(path, file): &(String, PathBuf)| {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(fs_err::File::open(file)?)?;
            let (bytes, blake3) = (hasher.count(), hasher.finalize().to_hex().to_string());
            Ok(WeightPart { path: path.clone(), bytes, blake3 })
        };
        let parts: Vec<WeightPart> = self.files.iter().map(part).collect::<std::io::Result<_>>()?;
        Ok(hash_of(self.single, &parts))
    }
}

/// The hash of a file, or of the list of a folder's files, `HASH  PATH` a line.
fn hash_of(single: bool, parts: &[WeightPart]) -> String {
    if let Some(only) = parts.first().filter(|_| single) {
        return only.blake3.clone();
    }
    let lines: String = parts.iter().map(|p| format!("{}  {}\n", p.blake3, p.path)).collect();
    blake3::hash(lines.as_bytes()).to_hex().to_string()
}

fn copy(from: &Path, to: &Path, path: &str) -> Result<WeightPart, PipelineError> {
    if let Some(parent) = to.parent() {
        fs_err::create_dir_all(parent)?;
    }
    let (mut source, mut target) = (fs_err::File::open(from)?, fs_err::File::create(to)?);
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; 1 << 20]);
    loop {
        let n = source.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        target.write_all(&buffer[..n])?;
    }
    let (bytes, blake3) = (hasher.count(), hasher.finalize().to_hex().to_string());
    Ok(WeightPart { path: path.to_owned(), bytes, blake3 })
}

fn wrong(path: &Path, expected: &str, found: &str) -> PipelineError {
    PipelineError::Weights {
        place: path.display().to_string(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A safetensors file with one array of two zeros.
    fn arrays() -> Vec<u8> {
        let header = br#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend([0; 8]);
        bytes
    }

    fn write(dir: &Path, name: &str, bytes: &[u8]) {
        fs_err::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs_err::write(dir.join(name), bytes).unwrap();
    }

    #[test]
    fn a_folder_is_copied_without_what_nobody_reads_and_taken_away_again() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        for name in ["config.json", "1_Pooling/config.json", "README.md", ".git/x", "old.bin"] {
            write(&source, name, name.as_bytes());
        }
        write(&source, "model.safetensors", &arrays());
        let store = WeightStore::new(root.path().join("a/store"));
        assert!(store.list().unwrap().is_empty());
        let added = store.add("mini", &source, "here", None).unwrap();
        let paths: Vec<&str> = added.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["1_Pooling/config.json", "config.json", "model.safetensors"]);
        assert_eq!(added.left_out, ["README.md", "old.bin"]);
        let place = store.path("mini").unwrap();
        assert_eq!(
            fs_err::read(place.join("1_Pooling/config.json")).unwrap(),
            b"1_Pooling/config.json"
        );
        // The same content has one hash wherever it lies.
        assert_eq!(weights_hash(&place).unwrap(), added.blake3);
        assert_eq!(weights_hash(&source).unwrap(), added.blake3);
        assert_eq!(store.list().unwrap().as_slice(), std::slice::from_ref(&added));
        assert_eq!(store.add("mini", &source, "again", None).unwrap(), added);
        write(&source, "config.json", b"{}");
        assert_ne!(weights_hash(&source).unwrap(), added.blake3);
        let taken = store.add("mini", &source, "here", None).unwrap_err().to_string();
        assert!(taken.contains("weights remove mini") && taken.contains(&added.blake3), "{taken}");
        assert_eq!(store.remove("mini").unwrap(), added);
        let gone = store.remove("mini").unwrap_err().to_string();
        assert!(gone.contains("found nothing only"), "{gone}");
    }

    #[test]
    fn a_file_keeps_its_hash_and_another_hash_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "vit.safetensors", &arrays());
        let source = root.path().join("vit.safetensors");
        let store = WeightStore::new(root.path().join("store"));
        let hash = blake3::hash(&arrays()).to_hex().to_string();
        let other = "0".repeat(64);
        let err = store.add("vit", &source, "x", Some(&other)).unwrap_err().to_string();
        let expected = format!("vit.safetensors: expected blake3 {other}, found {hash}");
        assert!(err.ends_with(&expected), "{err}");
        assert_eq!(fs_err::read_dir(store.dir()).unwrap().count(), 0);
        let added = store.add("vit", &source, "x", Some(&hash.to_uppercase())).unwrap();
        assert_eq!((added.blake3.as_str(), added.bytes()), (&*hash, arrays().len() as u64));
        assert_eq!(store.path("vit").unwrap(), store.dir().join("vit/vit.safetensors"));
    }

    #[test]
    fn pickles_damaged_arrays_and_odd_names_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let store = WeightStore::new(root.path().join("store"));
        let refusal = |name: &str, path: &str| {
            store.add(name, &root.path().join(path), "x", None).unwrap_err().to_string()
        };
        write(root.path(), "p/pytorch_model.bin", b"PK");
        for path in ["p", "p/pytorch_model.bin"] {
            let text = refusal("p", path);
            assert!(text.contains("a pickle") && text.contains("save_file"), "{text}");
            assert!(text.contains("p/pytorch_model.bin'"), "{text}");
        }
        write(root.path(), "d/model.safetensors", &arrays()[..20]);
        assert!(refusal("d", "d").contains("expected a whole safetensors file"));
        write(root.path(), "e/config.json", b"{}");
        assert!(refusal("e", "e").contains("expected a .safetensors file, found none"));
        assert!(refusal("x", "nowhere").contains("nowhere"));
        for name in ["", "..", "a/b", ".a", "ä"] {
            assert!(refusal(name, "d").contains("a name of letters"), "{name:?}");
        }
        write(root.path(), "store/own/notes.txt", b"mine");
        write(root.path(), "ok.safetensors", &arrays());
        assert!(refusal("own", "ok.safetensors").contains("found another folder or file"));
        assert!(store.remove("own").is_err());
    }
}
