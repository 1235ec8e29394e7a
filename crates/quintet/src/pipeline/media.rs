//! What a dataset holds of one modality, each content with its hash.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use quintet_core::Modality;
use quintet_data::{ContentHash, Dataset, MediaStatus};
use quintet_ingest::media_hash;
use quintet_tensor::{DecodeKind, EncodeError, RawMedia};

/// The media of all items in one modality.
pub(super) struct Media<'a> {
    items: Vec<Option<Medium<'a>>>,
    /// Items that ingestion already found broken, and why.
    pub(super) broken: BTreeMap<usize, String>,
    /// Hash of all of it.
    pub(super) hash: String,
}

struct Medium<'a> {
    content: ContentHash,
    source: Source<'a>,
}

enum Source<'a> {
    Text(&'a str),
    /// A file or a folder of frames, with its hash in the manifest.
    File(&'a Path, &'a str),
}

impl<'a> Media<'a> {
    /// Looks through a dataset; no file is opened.
    pub(super) fn of(dataset: &'a Dataset, modality: Modality) -> Self {
        let mut items: Vec<Option<Medium<'a>>> = dataset.items.iter().map(|_| None).collect();
        let mut broken = BTreeMap::new();
        let mut hash = blake3::Hasher::new();
        if modality == Modality::Text {
            for (slot, item) in items.iter_mut().zip(&dataset.items) {
                let text = item.text.as_deref().filter(|t| !t.trim().is_empty());
                hash.update(&(text.map_or(0, str::len) as u64).to_le_bytes());
                hash.update(text.unwrap_or_default().as_bytes());
                *slot = text.map(Medium::text);
            }
        }
        for file in dataset.media.iter().filter(|f| f.modality == modality) {
            hash.update(&file.item.0.to_le_bytes());
            hash.update(file.blake3.as_bytes());
            let item = file.item.index();
            match file.status {
                MediaStatus::Ok if modality != Modality::Text => {
                    items[item] = Some(Medium::file(Path::new(&file.path), &file.blake3));
                }
                MediaStatus::Error => {
                    let reason = file.error.clone().unwrap_or_else(|| "damaged".to_owned());
                    broken.insert(item, reason);
                }
                _ => {}
            }
        }
        // A text that came from a table stands in for a damaged text file.
        broken.retain(|item, _| items[*item].is_none());
        Self { items, broken, hash: hash.finalize().to_hex().to_string() }
    }

    /// Number of items, with or without the modality.
    pub(super) fn n_items(&self) -> usize {
        self.items.len()
    }

    /// The content of an item, if it has one that can be opened.
    pub(super) fn content(&self, item: usize) -> Option<&ContentHash> {
        self.items[item].as_ref().map(|m| &m.content)
    }

    /// The first item of each content, in order.
    pub(super) fn distinct(&self) -> Vec<usize> {
        let mut seen = HashSet::new();
        let first = |item: &usize| self.content(*item).is_some_and(|c| seen.insert(c));
        (0..self.items.len()).filter(first).collect()
    }

    /// The medium of an item, as it was when it was ingested.
    ///
    /// # Errors
    /// It has changed since: its vector would be kept under the hash of another content.
    pub(super) fn fetch(&self, item: usize) -> Result<RawMedia, EncodeError> {
        match self.items[item].as_ref().map(|m| &m.source) {
            None => Err(EncodeError::Device(format!("item {item} has no medium"))),
            Some(Source::Text(text)) => Ok(RawMedia::Text((*text).to_owned())),
            Some(Source::File(path, expected)) => {
                let origin = path.display().to_string();
                let unreadable = |source| EncodeError::Read { path: origin.clone(), source };
                let found = media_hash(path).map_err(unreadable)?;
                if found == *expected {
                    return Ok(RawMedia::File(PathBuf::from(path)));
                }
                Err(EncodeError::Decode {
                    origin,
                    kind: DecodeKind::Unsupported,
                    expected: format!("the file that was ingested (blake3 {expected})"),
                    found: format!("blake3 {found}; run `quintet ingest` again"),
                })
            }
        }
    }

    /// All media, for an encoder that learns from them.
    pub(super) fn corpus(&self) -> Vec<RawMedia> {
        let raw = |m: &Medium<'_>| match m.source {
            Source::Text(text) => RawMedia::Text(text.to_owned()),
            Source::File(path, _) => RawMedia::File(PathBuf::from(path)),
        };
        self.items.iter().flatten().map(raw).collect()
    }
}

impl<'a> Medium<'a> {
    fn text(text: &'a str) -> Self {
        let content = *blake3::hash(text.as_bytes()).as_bytes();
        Self { content, source: Source::Text(text) }
    }

    fn file(path: &'a Path, blake3: &'a str) -> Self {
        // Hashed once more: what stands in a manifest need not be a hash.
        let content = *blake3::hash(blake3.as_bytes()).as_bytes();
        Self { content, source: Source::File(path, blake3) }
    }
}
