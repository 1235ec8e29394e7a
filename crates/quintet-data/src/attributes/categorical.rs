//! One categorical attribute: its vocabulary, and cells to positions in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Attributed, CategoricalEncoding};

/// The settings of a categorical attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    pub(super) separator: Option<&'a str>,
    pub(super) min_count: usize,
    pub(super) max_size: usize,
    pub(super) encoding: CategoricalEncoding,
}

/// What was learned of a categorical attribute. Position 0 is for what is unknown; the values
/// follow from 1 on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedCategorical {
    /// The attribute.
    pub name: String,
    /// What stands between two values of a cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// What comes out.
    pub encoding: CategoricalEncoding,
    /// The known values in the order of their bytes; `values[0]` is at position 1.
    pub values: Vec<String>,
    /// Values left out because too few fitting rows have them.
    pub rare: usize,
    /// Values left out because there are more frequent ones.
    pub cut: usize,
}

impl FittedCategorical {
    pub(super) fn fit<R: Attributed>(asked: Asked<'_>, rows: &[&R]) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for cell in rows.iter().filter_map(|row| row.cell(asked.name)) {
            for value in BTreeSet::from_iter(parts(cell, asked.separator)) {
                *counts.entry(value).or_default() += 1;
            }
        }
        let all = counts.len();
        let mut kept: Vec<(&str, usize)> =
            counts.into_iter().filter(|(_, n)| *n >= asked.min_count).collect();
        let rare = all - kept.len();
        // Stable: of values that are equally frequent the first ones by their bytes stay.
        kept.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let cut = kept.len().saturating_sub(asked.max_size);
        kept.truncate(asked.max_size);
        let mut values: Vec<String> = kept.into_iter().map(|(v, _)| v.to_owned()).collect();
        values.sort_unstable();
        Self {
            name: asked.name.to_owned(),
            separator: asked.separator.map(str::to_owned),
            encoding: asked.encoding,
            values,
            rare,
            cut,
        }
    }

    /// How many positions there are: the known values and the one for what is unknown.
    pub fn n_slots(&self) -> usize {
        self.values.len() + 1
    }

    /// The position of a value; 0 when it is unknown.
    pub fn position(&self, value: &str) -> u32 {
        self.values.binary_search_by(|v| v.as_str().cmp(value)).map_or(0, |at| at as u32 + 1)
    }

    /// The value at a position; none for what is unknown.
    pub fn value(&self, position: u32) -> Option<&str> {
        let at = (position as usize).checked_sub(1)?;
        self.values.get(at).map(String::as_str)
    }

    /// The different positions of a cell, ascending, and the different values that are unknown.
    pub(super) fn cell<'a>(&'a self, text: &'a str) -> (BTreeSet<u32>, BTreeSet<&'a str>) {
        let mut unknown = BTreeSet::new();
        let positions = parts(text, self.separator.as_deref())
            .map(|value| {
                let position = self.position(value);
                if position == 0 {
                    unknown.insert(value);
                }
                position
            })
            .collect();
        (positions, unknown)
    }

    /// What of a fitted column from a stranger is out of order.
    pub(super) fn flaw(&self) -> Option<String> {
        let at = self.values.windows(2).position(|w| w[0] >= w[1])?;
        Some(format!("{:?} with {:?} before {:?}", self.name, self.values[at], self.values[at + 1]))
    }
}

/// The values of a cell.
pub(super) fn parts<'a>(
    cell: &'a str,
    separator: Option<&'a str>,
) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    match separator {
        None => Box::new(std::iter::once(cell)),
        Some(separator) => {
            Box::new(cell.split(separator.trim()).map(str::trim).filter(|part| !part.is_empty()))
        }
    }
}
