//! The canonical dataset: users, items, events and the media manifest.
//!
//! On disk it is a directory of Parquet tables and one `dataset.toml` that names its format, its
//! counts, what made it, and a hash of every file and of the whole content.

use std::collections::BTreeMap;
use std::path::Path;

use quintet_core::{IdMap, ItemIdx, Modality};
use serde::{Deserialize, Serialize};

use crate::{DataError, Events};

/// One thing that can be recommended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// Id in the outside world, unique within the dataset.
    pub id: String,
    /// What a person calls it.
    pub title: String,
    /// Description, plot, review: whatever longer text there is.
    pub text: Option<String>,
    /// Everything else, by name.
    pub attributes: BTreeMap<String, String>,
}

/// One person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Id in the outside world, unique within the dataset.
    pub id: String,
    /// Everything else, by name.
    pub attributes: BTreeMap<String, String>,
}

/// Whether a media file can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaStatus {
    /// It was there and could be read.
    Ok,
    /// It was not there.
    Missing,
    /// It was there and could not be read; see [`MediaFile::error`].
    Error,
}

impl MediaStatus {
    /// The lower-case name used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            MediaStatus::Ok => "ok",
            MediaStatus::Missing => "missing",
            MediaStatus::Error => "error",
        }
    }
}

/// One media file of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaFile {
    /// Whose file it is.
    pub item: ItemIdx,
    /// What it shows the item as.
    pub modality: Modality,
    /// Absolute, or relative to the media root that the reader is given.
    pub path: String,
    /// BLAKE3 of the file in hex; empty when the file is missing.
    pub blake3: String,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// Width, pixels.
    pub width: Option<u32>,
    /// Height, pixels.
    pub height: Option<u32>,
    /// Length, seconds.
    pub seconds: Option<f32>,
    /// Number of frames.
    pub frames: Option<u32>,
    /// Whether it can be used.
    pub status: MediaStatus,
    /// Why it cannot be used.
    pub error: Option<String>,
}

impl MediaFile {
    /// The entry of an item that has no file of a modality.
    pub fn missing(item: ItemIdx, modality: Modality) -> Self {
        Self {
            item,
            modality,
            path: String::new(),
            blake3: String::new(),
            bytes: 0,
            width: None,
            height: None,
            seconds: None,
            frames: None,
            status: MediaStatus::Missing,
            error: None,
        }
    }
}

/// A whole dataset in memory. Positions in `users` and `items` are the
/// [`UserIdx`](quintet_core::UserIdx) and [`ItemIdx`] that `events` and `media` speak of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// What a person calls it.
    pub name: String,
    /// All users, by position.
    pub users: Vec<User>,
    /// The whole catalogue, by position, with or without events.
    pub items: Vec<Item>,
    /// What happened, in the order of the source.
    pub events: Events,
    /// The media manifest.
    pub media: Vec<MediaFile>,
    /// What made it: kind of source, hashes of its files, options.
    pub source: BTreeMap<String, String>,
}

impl Dataset {
    /// Checks that ids are unique, indices point at something and numbers are finite.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), DataError> {
        self.user_ids()?;
        self.item_ids()?;
        self.events.check(self.users.len(), self.items.len())?;
        for (index, file) in self.media.iter().enumerate() {
            check_index("item", file.item.index(), self.items.len())?;
            if let Some(value) = file.seconds.filter(|s| !s.is_finite()) {
                return Err(DataError::NotFinite {
                    what: "media file",
                    index,
                    field: "seconds",
                    value,
                });
            }
        }
        Ok(())
    }

    /// BLAKE3, in hex, of users, items, events and media, in their order.
    ///
    /// `name` and `source` are labels and do not take part: the same data from another place
    /// has the same hash.
    pub fn content_hash(&self) -> String {
        let mut h = ContentHasher::new("quintet dataset 2");
        h.count(self.users.len());
        for user in &self.users {
            h.text(&user.id);
            h.map(&user.attributes);
        }
        h.count(self.items.len());
        for item in &self.items {
            h.text(&item.id);
            h.text(&item.title);
            h.option(item.text.as_ref(), |h, t| h.text(t));
            h.map(&item.attributes);
        }
        h.count(self.events.len());
        hash_events(&mut h, &self.events);
        h.count(self.media.len());
        for m in &self.media {
            h.bytes(&m.item.0.to_le_bytes());
            h.text(m.modality.as_str());
            h.text(&m.blake3);
            h.bytes(&m.bytes.to_le_bytes());
            h.option(m.width, |h, v| h.bytes(&v.to_le_bytes()));
            h.option(m.height, |h, v| h.bytes(&v.to_le_bytes()));
            h.option(m.seconds, |h, v| h.bytes(&v.to_bits().to_le_bytes()));
            h.option(m.frames, |h, v| h.bytes(&v.to_le_bytes()));
            h.text(m.status.as_str());
        }
        h.finish()
    }

    /// Writes the dataset as a directory: `dataset.toml`, `users.parquet`, `items.parquet`,
    /// `interactions.parquet` and `media.parquet`.
    ///
    /// The directory appears whole or not at all. One that holds a `dataset.toml` is replaced.
    ///
    /// # Errors
    /// An invalid dataset, a non-empty directory that is no dataset, or a file that cannot be
    /// written.
    pub fn write(&self, dir: &Path) -> Result<(), DataError> {
        crate::dataset_io::write(self, dir)
    }

    /// Reads a directory that [`Dataset::write`] made.
    ///
    /// # Errors
    /// A missing file, a file that is not the one that was written (by its hash), a table
    /// without the right columns, or content that does not fit together.
    pub fn read(dir: &Path) -> Result<Self, DataError> {
        crate::dataset_io::read(dir)
    }

    /// The bijection between item ids and positions.
    ///
    /// # Errors
    /// An id that occurs twice.
    pub fn item_ids(&self) -> Result<IdMap, DataError> {
        Ok(IdMap::from_ids(self.items.iter().map(|i| i.id.clone()))?)
    }

    /// The bijection between user ids and positions.
    ///
    /// # Errors
    /// An id that occurs twice.
    pub fn user_ids(&self) -> Result<IdMap, DataError> {
        Ok(IdMap::from_ids(self.users.iter().map(|u| u.id.clone()))?)
    }
}

/// Feeds events column by column: tens of millions of them are too many for a call each.
fn hash_events(h: &mut ContentHasher, events: &Events) {
    h.column(events.users().iter().map(|u| u.0.to_le_bytes()));
    h.column(events.items().iter().map(|i| i.0.to_le_bytes()));
    h.column(events.values().iter().map(|v| v.to_bits().to_le_bytes()));
    h.column(events.raw_times().iter().map(|t| t.to_le_bytes()));
    // Kinds by the order in which they occur, which is that of the events and of nothing else.
    let mut numbers = vec![u32::MAX; events.kind_names().len()];
    let mut names = Vec::new();
    let kinds: Vec<u32> = (0..events.len())
        .map(|row| {
            let number = &mut numbers[events.kind_number(row) as usize];
            if *number == u32::MAX {
                *number = names.len() as u32;
                names.push(events.kind_name(row));
            }
            *number
        })
        .collect();
    h.count(names.len());
    names.into_iter().for_each(|name| h.text(name));
    h.column(kinds.iter().map(|k| k.to_le_bytes()));
    h.bytes(&[u8::from(events.has_parts())]);
    if events.has_parts() {
        h.column((0..events.len()).map(|row| [events.part(row).map_or(u8::MAX, |p| p as u8)]));
    }
}

fn check_index(what: &'static str, index: usize, len: usize) -> Result<(), DataError> {
    if index < len {
        return Ok(());
    }
    Err(quintet_core::CoreError::OutOfRange { what, index, len }.into())
}

/// Feeds a hash so that no two different contents feed it the same bytes: every text carries
/// its length, every list its count, every option a tag.
pub(crate) struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Starts with a label that keeps different kinds of content apart.
    pub(crate) fn new(label: &str) -> Self {
        let mut hasher = Self(blake3::Hasher::new());
        hasher.text(label);
        hasher
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Many numbers of one width.
    fn column<const WIDTH: usize>(&mut self, values: impl Iterator<Item = [u8; WIDTH]>) {
        let mut buffer = Vec::with_capacity(1 << 16);
        for value in values {
            buffer.extend_from_slice(&value);
            if buffer.len() > (1 << 16) - WIDTH {
                self.bytes(&buffer);
                buffer.clear();
            }
        }
        self.bytes(&buffer);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.bytes(&(count as u64).to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, feed: impl FnOnce(&mut Self, T)) {
        self.bytes(&[u8::from(value.is_some())]);
        if let Some(value) = value {
            feed(self, value);
        }
    }

    fn map(&mut self, map: &BTreeMap<String, String>) {
        self.count(map.len());
        for (key, value) in map {
            self.text(key);
            self.text(value);
        }
    }

    pub(crate) fn finish(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}
