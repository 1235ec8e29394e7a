//! Where every cell went.

use serde::{Deserialize, Serialize};

/// How many bad cells are listed one by one; the counts are always exact.
pub const LISTED_CELLS: usize = 1000;

/// A cell of a numeric attribute that is no usable number. It counts as missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadCell {
    /// Id of the item or user.
    pub id: String,
    /// The attribute.
    pub attribute: String,
    /// What was expected.
    pub expected: String,
    /// What is there, cut after 60 characters.
    pub found: String,
}

/// The account of one attribute: `present`, `missing` and `bad` add up to the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ColumnReport {
    /// The attribute.
    pub attribute: String,
    /// Rows with a usable cell.
    pub present: usize,
    /// Rows without a cell, or with a blank one.
    pub missing: usize,
    /// Rows with a cell that is no usable number.
    pub bad: usize,
    /// Numeric: whether every number became 0, as the fitting rows have no two different ones.
    pub constant: bool,
    /// Numeric: numbers below the smallest or above the largest of the fitting rows.
    pub out_of_range: usize,
    /// Categorical: values that the vocabulary does not have, counted once a row.
    pub unknown_values: usize,
    /// Categorical: rows with such a value.
    pub unknown_rows: usize,
}

/// The account of all attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttributeReport {
    /// Items or users that came.
    pub rows: usize,
    /// One entry an attribute.
    pub columns: Vec<ColumnReport>,
    /// Bad cells, the first [`LISTED_CELLS`] of each attribute.
    pub bad_cells: Vec<BadCell>,
}

impl AttributeReport {
    /// Whether every cell is accounted for.
    pub fn adds_up(&self) -> bool {
        self.columns.iter().all(|c| c.present + c.missing + c.bad == self.rows)
    }

    /// A few lines for a terminal: one an attribute.
    pub fn summary(&self) -> Vec<String> {
        self.columns
            .iter()
            .map(|c| {
                let mut line = format!(
                    "{}: {} present, {} missing, {} bad",
                    c.attribute, c.present, c.missing, c.bad
                );
                if c.constant {
                    line.push_str("; constant, so all 0");
                }
                if c.out_of_range > 0 {
                    line.push_str(&format!("; {} outside the fitted range", c.out_of_range));
                }
                if c.unknown_values > 0 {
                    let (values, rows) = (c.unknown_values, c.unknown_rows);
                    line.push_str(&format!("; {values} unknown values in {rows} rows"));
                }
                let first = self.bad_cells.iter().find(|b| b.attribute == c.attribute);
                if let Some(b) = first {
                    let (id, expected, found) = (&b.id, &b.expected, &b.found);
                    line.push_str(&format!("; first: {id:?}: expected {expected}, found {found}"));
                }
                line
            })
            .collect()
    }
}

/// A cell as it may be shown: quoted, control characters escaped, not too long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
