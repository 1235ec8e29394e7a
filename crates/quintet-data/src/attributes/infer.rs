//! A proposal of what each attribute is, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::categorical::parts;
use super::numeric::number;
use super::{AttributeColumn, AttributeConfig, Attributed, NumericScale};

/// An attribute is numeric when this share of its cells, in hundredths, are numbers.
const NUMERIC_PERCENT: usize = 95;
/// A categorical attribute has at most so many different values.
const MOST_VALUES: usize = 1000;
/// A separator must be in this share of the cells, in hundredths.
const SEPARATED_PERCENT: usize = 5;
/// What stands between values, as data sets have it.
const SEPARATORS: [&str; 3] = ["|", ";", ","];

/// What an attribute was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InferredKind {
    /// Numbers.
    Numeric,
    /// One or more of a few values.
    Categorical,
    /// Free text, which is left out: it is for an encoder of text.
    Text,
    /// Nothing: no row has it. Left out.
    Empty,
}

/// What an attribute was taken for, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferredColumn {
    /// The attribute.
    pub name: String,
    /// What it was taken for.
    pub kind: InferredKind,
    /// Why, with the numbers that decided.
    pub reason: String,
}

impl AttributeConfig {
    /// Proposes a configuration from what the cells look like, with a reason for every attribute.
    ///
    /// An attribute is numeric when 95 % of its cells or more are numbers; z-scores are proposed.
    /// It is categorical when it has at most 1000 different values, each in two cells on average.
    /// A separator of `|`, `;` and `,` counts when it is in 5 % of the cells or more and leaves
    /// fewer different values than the whole cells are. Everything else is text and left out.
    /// Codes that are written as numbers are taken for numbers; name them by hand.
    pub fn infer<R: Attributed>(rows: &[R]) -> (Self, Vec<InferredColumn>) {
        let mut cells: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in rows {
            for name in row.attributes().keys() {
                cells.entry(name).or_default().extend(row.cell(name));
            }
        }
        let (mut columns, mut reasons) = (Vec::new(), Vec::new());
        for (name, cells) in cells {
            let (column, kind, reason) = of_cells(name, &cells);
            columns.extend(column);
            reasons.push(InferredColumn { name: name.to_owned(), kind, reason });
        }
        (Self { columns }, reasons)
    }
}

fn of_cells(name: &str, cells: &[&str]) -> (Option<AttributeColumn>, InferredKind, String) {
    if cells.is_empty() {
        return (None, InferredKind::Empty, "all cells are blank".to_owned());
    }
    let n = cells.len();
    let numbers = cells.iter().filter(|c| number(c, NumericScale::None).is_ok()).count();
    if numbers * 100 >= n * NUMERIC_PERCENT {
        let reason = format!("{numbers} of {n} cells are numbers");
        let column =
            AttributeColumn::Numeric { name: name.to_owned(), scale: NumericScale::default() };
        return (Some(column), InferredKind::Numeric, reason);
    }
    let (separator, distinct, values) = best_separator(cells);
    let by = separator.map(|s| format!(" between {s:?}")).unwrap_or_default();
    if distinct <= MOST_VALUES && distinct * 2 <= values {
        let reason = format!("{distinct} different values{by} in {n} cells");
        let column = AttributeColumn::categorical(name, separator);
        return (Some(column), InferredKind::Categorical, reason);
    }
    let reason = format!(
        "{numbers} of {n} cells are numbers, and {distinct} different values{by} are many for \
         {values}"
    );
    (None, InferredKind::Text, reason)
}

/// The separator that leaves the fewest different values, that number, and the number of values.
fn best_separator(cells: &[&str]) -> (Option<&'static str>, usize, usize) {
    let count = |separator: Option<&'static str>| {
        let mut distinct = BTreeSet::new();
        let mut values = 0;
        for part in cells.iter().flat_map(|cell| parts(cell, separator)) {
            distinct.insert(part);
            values += 1;
        }
        (separator, distinct.len(), values)
    };
    let mut best = count(None);
    for separator in SEPARATORS {
        let with = cells.iter().filter(|c| c.contains(separator)).count();
        if with * 100 >= cells.len() * SEPARATED_PERCENT && with > 0 {
            let found = count(Some(separator));
            if found.1 < best.1 {
                best = found;
            }
        }
    }
    best
}
