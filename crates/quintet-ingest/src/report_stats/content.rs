//! What items have: text, media, attributes, and how these go together.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use quintet_core::Modality;
use quintet_data::{Dataset, Item, MediaStatus};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::spread::Spread;
use crate::media::MediaCode;

/// How many items have a modality: `ok + missing + error` is the number of items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModalityStats {
    /// Which one. Text is what the items say themselves, with the text files that were added.
    pub modality: Modality,
    /// Items that have it.
    pub ok: u64,
    /// Items that have no file, or no text.
    pub missing: u64,
    /// Items whose file cannot be used.
    pub error: u64,
    /// The items of `error` by reason.
    #[serde(default)]
    pub errors: BTreeMap<MediaCode, u64>,
}

/// Items that have both of two modalities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The one.
    pub a: Modality,
    /// The other, which comes later in [`Modality::ALL`].
    pub b: Modality,
    /// How many items have both.
    pub items: u64,
}

/// One attribute of items or users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeStats {
    /// Its name.
    pub name: String,
    /// How many have it, with more than blanks.
    pub filled: u64,
    /// How many different values there are.
    pub distinct: u64,
}

/// Text, media and attributes of a dataset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContentStats {
    /// The modalities that the dataset speaks of, in canonical order.
    pub modalities: Vec<ModalityStats>,
    /// Items by how many modalities they have; the position is the number of modalities.
    pub items_by_modalities: Vec<u64>,
    /// Each two of `modalities`.
    pub overlaps: Vec<Overlap>,
    /// Lengths of the texts of items, in characters; items without text left out.
    pub text_lengths: Spread,
    /// Items without text.
    pub items_without_text: u64,
    /// Attributes of items, by name.
    pub item_attributes: Vec<AttributeStats>,
    /// Attributes of users, by name.
    pub user_attributes: Vec<AttributeStats>,
}

impl ContentStats {
    /// Looks at every item, user and media file.
    pub(crate) fn of(data: &Dataset) -> Self {
        let lengths = data.items.par_iter().filter_map(text).map(|t| t.chars().count() as u64);
        let mut lengths: Vec<u64> = lengths.collect();
        lengths.par_sort_unstable();
        let (item_attributes, user_attributes) = rayon::join(
            || attributes(data.items.iter().map(|i| &i.attributes)),
            || attributes(data.users.iter().map(|u| &u.attributes)),
        );
        let has = Has::of(data);
        let present: Vec<Modality> =
            Modality::ALL.into_iter().filter(|m| has.seen & bit(*m) != 0).collect();
        Self {
            modalities: present.iter().map(|m| has.modality(data, *m)).collect(),
            items_by_modalities: has.by_number(present.len()),
            overlaps: has.overlaps(&present),
            text_lengths: Spread::of_sorted(&lengths),
            items_without_text: (data.items.len() - lengths.len()) as u64,
            item_attributes,
            user_attributes,
        }
    }
}

fn text(item: &Item) -> Option<&str> {
    item.text.as_deref().filter(|t| !t.trim().is_empty())
}

fn bit(modality: Modality) -> u8 {
    1 << modality as u8
}

/// The modalities of every item as bits.
struct Has {
    ok: Vec<u8>,
    /// Modalities that any item has or should have.
    seen: u8,
}

impl Has {
    fn of(data: &Dataset) -> Self {
        let mut ok: Vec<u8> =
            data.items.iter().map(|i| text(i).map_or(0, |_| bit(Modality::Text))).collect();
        let mut seen = ok.iter().fold(0, |seen, bits| seen | bits);
        for file in &data.media {
            seen |= bit(file.modality);
            // The text of a usable file is part of the item's text.
            let counts = file.status == MediaStatus::Ok && file.modality != Modality::Text;
            if let Some(bits) = ok.get_mut(file.item.index()).filter(|_| counts) {
                *bits |= bit(file.modality);
            }
        }
        Self { ok, seen }
    }

    fn count(&self, bits: u8) -> u64 {
        self.ok.iter().filter(|has| **has & bits == bits).count() as u64
    }

    fn modality(&self, data: &Dataset, modality: Modality) -> ModalityStats {
        let mut bad = vec![false; self.ok.len()];
        let (mut error, mut errors) = (0, BTreeMap::new());
        let faulty = |status| status == MediaStatus::Error;
        for file in data.media.iter().filter(|f| f.modality == modality && faulty(f.status)) {
            let item = file.item.index();
            let without = self.ok.get(item).is_some_and(|has| has & bit(modality) == 0);
            if !without || std::mem::replace(&mut bad[item], true) {
                continue;
            }
            error += 1;
            if let Some(code) = file.error.as_deref().and_then(MediaCode::of) {
                *errors.entry(code).or_default() += 1;
            }
        }
        let ok = self.count(bit(modality));
        let missing = self.ok.len() as u64 - ok - error;
        ModalityStats { modality, ok, missing, error, errors }
    }

    fn by_number(&self, most: usize) -> Vec<u64> {
        let mut numbers = vec![0; most + 1];
        self.ok.iter().for_each(|has| numbers[has.count_ones() as usize] += 1);
        numbers
    }

    fn overlaps(&self, present: &[Modality]) -> Vec<Overlap> {
        let both = |a: Modality, b: Modality| Overlap { a, b, items: self.count(bit(a) | bit(b)) };
        let after = |(i, a): (usize, &Modality)| {
            let a = *a;
            present[i + 1..].iter().map(move |b| (a, *b))
        };
        present.iter().enumerate().flat_map(after).map(|(a, b)| both(a, b)).collect()
    }
}

fn attributes<'a>(all: impl Iterator<Item = &'a BTreeMap<String, String>>) -> Vec<AttributeStats> {
    let mut names: HashMap<&str, (u64, HashSet<&str>)> = HashMap::new();
    for (name, value) in all.flatten().filter(|(_, value)| !value.trim().is_empty()) {
        let (filled, values) = names.entry(name).or_default();
        *filled += 1;
        values.insert(value);
    }
    let stats = |(name, (filled, values)): (&str, (u64, HashSet<&str>))| AttributeStats {
        name: name.to_owned(),
        filled,
        distinct: values.len() as u64,
    };
    let mut attributes: Vec<_> = names.into_iter().map(stats).collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::ItemIdx;
    use quintet_data::MediaFile;

    fn item(text: Option<&str>, color: &str) -> Item {
        let attributes = BTreeMap::from([("color".to_owned(), color.to_owned())]);
        Item { text: text.map(str::to_owned), attributes, ..Item::default() }
    }

    fn file(item: usize, modality: Modality, error: Option<&str>) -> MediaFile {
        MediaFile {
            status: if error.is_some() { MediaStatus::Error } else { MediaStatus::Ok },
            error: error.map(str::to_owned),
            ..MediaFile::missing(ItemIdx::new(item), modality)
        }
    }

    #[test]
    fn modalities_by_hand() {
        // Item 0: text and image. 1: text, a broken image. 2: image and audio. 3: blanks only.
        let items = vec![
            item(Some("né"), "a"),
            item(Some("xyz"), "b"),
            item(None, "a"),
            item(Some(" "), ""),
        ];
        let (image, audio) = (Modality::Image, Modality::Audio);
        let mut media = vec![
            file(0, image, None),
            file(1, image, Some("truncated: it ends early")),
            file(1, image, Some("empty: a second one")),
            file(2, image, None),
            file(2, audio, None),
            file(77, audio, None),
        ];
        media.push(MediaFile { status: MediaStatus::Missing, ..file(3, image, None) });
        let stats = ContentStats::of(&Dataset { items, media, ..Dataset::default() });
        let got: Vec<_> =
            stats.modalities.iter().map(|m| (m.modality, m.ok, m.missing, m.error)).collect();
        assert_eq!(got, [(Modality::Text, 2, 2, 0), (image, 2, 1, 1), (audio, 1, 3, 0)]);
        assert_eq!(stats.modalities[1].errors, BTreeMap::from([(MediaCode::Truncated, 1)]));
        assert_eq!(stats.items_by_modalities, [1, 1, 2, 0]);
        let both: Vec<_> = stats.overlaps.iter().map(|o| (o.a, o.b, o.items)).collect();
        let text = Modality::Text;
        assert_eq!(both, [(text, image, 1), (text, audio, 0), (image, audio, 1)]);
        assert_eq!((stats.items_without_text, stats.text_lengths.median), (2, 2.5));
        let color = AttributeStats { name: "color".into(), filled: 3, distinct: 2 };
        assert_eq!((stats.item_attributes, stats.user_attributes), (vec![color], vec![]));
    }

    #[test]
    fn no_media_and_no_text() {
        let stats =
            ContentStats::of(&Dataset { items: vec![Item::default()], ..Dataset::default() });
        assert!(stats.modalities.is_empty() && stats.overlaps.is_empty());
        assert_eq!((stats.items_by_modalities, stats.items_without_text), (vec![1], 1));
    }
}
