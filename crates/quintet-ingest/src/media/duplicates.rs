//! Items that show the same: copies of one file or text, and what is nearly the same.
//!
//! Pictures are near by their perceptual hash, texts by SimHash; sound and films have exact copies
//! only. A split that puts one of a group into training and another into the test leaks.

use std::collections::BTreeMap;

use quintet_core::{ItemIdx, Modality};
use quintet_data::{Item, MediaFile};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::likeness::{Sets, near_groups, text_hash};

/// How many groups of a modality and likeness the report lists; the counts are always exact.
pub const LISTED_GROUPS: usize = 100;
/// How many items of a group the report lists.
const LISTED_ITEMS: usize = 20;

/// How alike the members of a group are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likeness {
    /// The same bytes (BLAKE3 of the file; for text, the same text).
    Exact,
    /// Hashes of 64 bits that differ in four bits at most, directly or through other members.
    Near,
}

impl Likeness {
    /// The name used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Near => "near",
        }
    }
}

/// Items that show the same in one modality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateGroup {
    /// In which modality.
    pub modality: Modality,
    /// How alike they are. A near group has two different contents at least, and also the exact
    /// copies of its members.
    pub likeness: Likeness,
    /// Two items or more, in their order.
    pub items: Vec<ItemIdx>,
}

/// The items that no split should part: groups joined where they share an item, over all
/// likenesses and modalities of `groups`. Every item is in one group at most.
///
/// # Examples
/// ```
/// use quintet_core::{ItemIdx, Modality};
/// use quintet_ingest::{DuplicateGroup, Likeness, duplicate_groups};
///
/// let group = |likeness, items: [usize; 2]| DuplicateGroup {
///     modality: Modality::Image,
///     likeness,
///     items: items.map(ItemIdx::new).to_vec(),
/// };
/// let groups = [group(Likeness::Exact, [0, 4]), group(Likeness::Near, [4, 7])];
/// assert_eq!(duplicate_groups(&groups), [[0, 4, 7].map(ItemIdx::new)]);
/// ```
pub fn duplicate_groups(groups: &[DuplicateGroup]) -> Vec<Vec<ItemIdx>> {
    let last = groups.iter().flat_map(|g| &g.items).map(|i| i.index()).max();
    let mut sets = Sets::new(last.map_or(0, |last| last + 1));
    for group in groups {
        for pair in group.items.windows(2) {
            sets.unite(pair[0].index(), pair[1].index());
        }
    }
    let of_items = |items: Vec<usize>| items.into_iter().map(ItemIdx::new).collect();
    sets.groups().into_iter().map(of_items).collect()
}

/// The groups of a dataset as its report shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateReport {
    /// How many there are of each modality and likeness that occurs, exact.
    pub counts: Vec<DuplicateCount>,
    /// The groups with their items' ids, at most [`LISTED_GROUPS`] of each modality and likeness.
    pub groups: Vec<DuplicateListing>,
}

/// The groups of one modality and likeness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateCount {
    /// In which modality.
    pub modality: Modality,
    /// How alike they are.
    pub likeness: Likeness,
    /// How many groups there are.
    pub groups: u64,
    /// How many items are in them.
    pub items: u64,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateListing {
    /// In which modality.
    pub modality: Modality,
    /// How alike they are.
    pub likeness: Likeness,
    /// How many items are in it.
    pub total: u64,
    /// The ids of its items, at most 20 of them.
    pub items: Vec<String>,
}

impl DuplicateReport {
    /// Counts groups and lists the first ones.
    pub(crate) fn new(groups: &[DuplicateGroup], items: &[Item]) -> Self {
        let mut report = Self::default();
        // Groups come sorted by modality and likeness.
        for same in groups.chunk_by(|a, b| (a.modality, a.likeness) == (b.modality, b.likeness)) {
            let (modality, likeness) = (same[0].modality, same[0].likeness);
            report.counts.push(DuplicateCount {
                modality,
                likeness,
                groups: same.len() as u64,
                items: same.iter().map(|g| g.items.len() as u64).sum(),
            });
            let listed = same.iter().take(LISTED_GROUPS).map(|group| DuplicateListing {
                modality,
                likeness,
                total: group.items.len() as u64,
                items: group
                    .items
                    .iter()
                    .take(LISTED_ITEMS)
                    .map(|i| items[i.index()].id.clone())
                    .collect(),
            });
            report.groups.extend(listed);
        }
        report
    }

    /// One line for a terminal; `None` if nothing occurs twice.
    pub(crate) fn summary(&self) -> Option<String> {
        let one = |c: &DuplicateCount| {
            let (likeness, s) = (c.likeness.as_str(), if c.groups == 1 { "" } else { "s" });
            format!("{} {} group{s} of {likeness} copies ({} items)", c.groups, c.modality, c.items)
        };
        let parts: Vec<_> = self.counts.iter().map(one).collect();
        (!parts.is_empty()).then(|| format!("duplicates: {}", parts.join(", ")))
    }
}

/// What an item shows in one modality: which content it is, and its perceptual hash.
struct Shown {
    item: ItemIdx,
    content: usize,
    hash: Option<u64>,
}

/// All groups, by modality, then exact before near, then by their first item. `looks` are the
/// perceptual hashes of the pictures, one a media file.
pub(crate) fn find(
    items: &[Item],
    media: &[MediaFile],
    looks: &[Option<u64>],
) -> Vec<DuplicateGroup> {
    let mut groups = texts(items);
    for modality in [Modality::Image, Modality::Audio, Modality::Video] {
        let mut contents = BTreeMap::new();
        let mut shown = Vec::new();
        for (file, look) in media.iter().zip(looks).filter(|(f, _)| f.modality == modality) {
            // An empty file is no copy of another one.
            if file.blake3.is_empty() || file.bytes == 0 {
                continue;
            }
            let new = contents.len();
            let content = *contents.entry(file.blake3.as_str()).or_insert(new);
            shown.push(Shown { item: file.item, content, hash: *look });
        }
        groups.extend(group(modality, &shown));
    }
    groups
}

fn texts(items: &[Item]) -> Vec<DuplicateGroup> {
    let hashes: Vec<_> = items.par_iter().map(|i| i.text.as_deref().and_then(text_hash)).collect();
    let mut contents = BTreeMap::new();
    let mut shown = Vec::new();
    for (position, (item, hash)) in items.iter().zip(hashes).enumerate() {
        let Some(text) = item.text.as_deref() else { continue };
        let new = contents.len();
        let content = *contents.entry(text).or_insert(new);
        shown.push(Shown { item: ItemIdx::new(position), content, hash });
    }
    group(Modality::Text, &shown)
}

/// Exact groups, then near ones.
fn group(modality: Modality, shown: &[Shown]) -> Vec<DuplicateGroup> {
    let make = |likeness, members: &[&Shown]| DuplicateGroup {
        modality,
        likeness,
        items: members.iter().map(|s| s.item).collect(),
    };
    let mut of_content: Vec<Vec<&Shown>> = Vec::new();
    for one in shown {
        // Contents are numbered in the order in which they come.
        of_content.resize_with(of_content.len().max(one.content + 1), Vec::new);
        of_content[one.content].push(one);
    }
    let copies = of_content.iter().filter(|members| members.len() > 1);
    let mut groups: Vec<_> = copies.map(|m| make(Likeness::Exact, m)).collect();
    let hashed: Vec<&Shown> = shown.iter().filter(|s| s.hash.is_some()).collect();
    let hashes: Vec<u64> = hashed.iter().filter_map(|s| s.hash).collect();
    for members in near_groups(&hashes) {
        let members: Vec<&Shown> = members.into_iter().map(|i| hashed[i]).collect();
        if members.iter().any(|s| s.content != members[0].content) {
            groups.push(make(Likeness::Near, &members));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: usize, text: &str) -> Item {
        let text = (!text.is_empty()).then(|| text.to_owned());
        Item { id: format!("i{id}"), title: String::new(), text, attributes: BTreeMap::new() }
    }

    fn items_of(groups: &[DuplicateGroup]) -> Vec<(Likeness, Vec<usize>)> {
        let one = |g: &DuplicateGroup| (g.likeness, g.items.iter().map(|i| i.index()).collect());
        groups.iter().map(one).collect()
    }

    #[test]
    fn texts_that_are_copied_or_set_anew() {
        let plot = "a cowboy doll is jealous when a new spaceman action figure arrives";
        let anew = format!("{}!", plot.to_uppercase());
        let other = "two kids find a magical board game and release a man trapped in it";
        let texts = [plot, other, "Heat", plot, "", &anew, "Heat", "", other];
        let items: Vec<_> = texts.iter().enumerate().map(|(i, t)| item(i, t)).collect();
        let groups = find(&items, &[], &[]);
        let expected = [
            (Likeness::Exact, vec![0, 3]),
            (Likeness::Exact, vec![1, 8]),
            (Likeness::Exact, vec![2, 6]),
            (Likeness::Near, vec![0, 3, 5]),
        ];
        assert_eq!(items_of(&groups), expected);
        let joined: Vec<Vec<usize>> = duplicate_groups(&groups)
            .iter()
            .map(|g| g.iter().map(|i| i.index()).collect())
            .collect();
        assert_eq!(joined, [vec![0, 3, 5], vec![1, 8], vec![2, 6]]);
    }

    #[test]
    fn the_report_counts_exactly_and_lists_a_part() {
        let items: Vec<_> = (0..600).map(|i| item(i, &format!("t{}", i % 150))).collect();
        let groups = find(&items, &[], &[]);
        let report = DuplicateReport::new(&groups, &items);
        assert_eq!((report.counts[0].groups, report.counts[0].items), (150, 600));
        assert_eq!(report.groups.len(), LISTED_GROUPS);
        assert_eq!(report.groups[0].items, ["i0", "i150", "i300", "i450"]);
        let summary = report.summary().unwrap();
        assert_eq!(summary, "duplicates: 150 text groups of exact copies (600 items)");
        assert_eq!(DuplicateReport::default().summary(), None);
    }
}
