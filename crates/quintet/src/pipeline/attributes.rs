//! Attributes of users and items as sparse features that models may read.
//!
//! They are learned from the whole catalogue, which is known before anything happens, and never
//! from interactions, so that nothing held out is in them.

use quintet_core::SparseFeatures;
use quintet_data::{AttributeColumn, AttributeConfig, AttributeEncoder, Attributed, FittedColumn};
use serde::{Deserialize, Serialize};

use super::PipelineError;

/// The `[attributes]` table: which attributes models may read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttributesSpec {
    /// Where attributes are not named: those that look categorical and have at most so many
    /// different values are taken. 0 takes none.
    pub max_values: usize,
    /// Attributes of the items; without it `max_values` decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<AttributeColumn>>,
    /// Attributes of the users, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<AttributeColumn>>,
}

impl Default for AttributesSpec {
    fn default() -> Self {
        Self { max_values: 200, items: None, users: None }
    }
}

impl AttributesSpec {
    /// Whether the table says nothing new.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what needs no data.
    ///
    /// # Errors
    /// Settings of an attribute that contradict each other.
    pub(super) fn validate(&self) -> Result<(), PipelineError> {
        for columns in [&self.items, &self.users].into_iter().flatten() {
            AttributeConfig { columns: columns.clone() }.validate()?;
        }
        Ok(())
    }

    /// The attributes of the items; none where there are no cells.
    pub(super) fn of_items<R: Attributed>(
        &self,
        rows: &[R],
    ) -> Result<Option<SparseFeatures>, PipelineError> {
        features("items", self.items.as_deref(), self.max_values, rows)
    }

    /// As [`AttributesSpec::of_items`], of the users.
    pub(super) fn of_users<R: Attributed>(
        &self,
        rows: &[R],
    ) -> Result<Option<SparseFeatures>, PipelineError> {
        features("users", self.users.as_deref(), self.max_values, rows)
    }
}

fn features<R: Attributed>(
    table: &'static str,
    asked: Option<&[AttributeColumn]>,
    max_values: usize,
    rows: &[R],
) -> Result<Option<SparseFeatures>, PipelineError> {
    let config = match asked {
        Some(columns) => {
            let known = |column: &&AttributeColumn| {
                rows.iter().any(|row| row.cell(column.name()).is_some())
            };
            if let Some(column) = columns.iter().find(|column| !known(column)) {
                let found = column.name().to_owned();
                return Err(PipelineError::Attribute { table, found, known: names(rows) });
            }
            AttributeConfig { columns: columns.to_vec() }
        }
        None if max_values == 0 => return Ok(None),
        None => {
            let mut config = AttributeConfig::infer(rows).0;
            config.columns.retain(|c| matches!(c, AttributeColumn::Categorical { .. }));
            let fitted = AttributeEncoder::fit(&config, rows)?;
            let few = |column: &FittedColumn| match column {
                FittedColumn::Categorical(column) => column.values.len() <= max_values,
                _ => false,
            };
            let mut keep = fitted.columns().iter().map(few);
            config.columns.retain(|_| keep.next().unwrap_or(false));
            config
        }
    };
    let encoder = AttributeEncoder::fit(&config, rows)?;
    let (names, cells) = cells(&encoder, rows);
    if cells.is_empty() {
        return Ok(None);
    }
    Ok(Some(SparseFeatures::new(rows.len(), names, cells)?))
}

/// The names of all attributes that some row has.
fn names<R: Attributed>(rows: &[R]) -> String {
    let mut names: Vec<&str> =
        rows.iter().flat_map(|row| row.attributes().keys().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Names of the features, and cells whose sizes sum to 1 in every row that has any.
type Cells = (Vec<String>, Vec<(u32, u32, f32)>);

/// A feature is a value of a categorical attribute, `genres=Drama`, or a number, `year`. Values
/// that are unknown or too rare say nothing and are no feature. Rows are divided by the sum of
/// their sizes, as the LightFM model wants it: an item of many tags is no larger than one of few.
fn cells<R: Attributed>(encoder: &AttributeEncoder, rows: &[R]) -> Cells {
    let encoded = encoder.encode(rows);
    let mut names = encoded.numeric_names.clone();
    let mut cells = Vec::new();
    for (column, present) in encoded.numeric_present.iter().enumerate() {
        for row in (0..rows.len()).filter(|row| present[*row]) {
            let value = encoded.numeric.row(row)[column];
            if value != 0.0 {
                cells.push((row as u32, column as u32, value));
            }
        }
    }
    let mut categorical = encoded.categorical.iter();
    for fitted in encoder.columns() {
        let FittedColumn::Categorical(fitted) = fitted else { continue };
        let Some(column) = categorical.next() else { continue };
        let first = names.len() as u32;
        names.extend(fitted.values.iter().map(|value| format!("{}={value}", fitted.name)));
        for row in 0..rows.len() {
            for position in column.positions(row).iter().filter(|p| **p > 0) {
                cells.push((row as u32, first + position - 1, 1.0));
            }
        }
    }
    let mut sums = vec![0.0f32; rows.len()];
    cells.iter().for_each(|(row, _, value)| sums[*row as usize] += value.abs());
    cells.iter_mut().for_each(|(row, _, value)| *value /= sums[*row as usize]);
    (names, cells)
}

/// Adds attributes to a hash; none differ from any.
pub(super) fn hash(attributes: Option<&SparseFeatures>, hasher: &mut blake3::Hasher) {
    let Some(attributes) = attributes else { return };
    hasher.update(b"attributes");
    for name in attributes.names() {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    for row in 0..attributes.n_rows() {
        hasher.update(&(attributes.columns(row).len() as u64).to_le_bytes());
        for (column, value) in attributes.columns(row).iter().zip(attributes.values(row)) {
            hasher.update(&column.to_le_bytes());
            hasher.update(&value.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_data::{Item, NumericScale};

    fn items() -> Vec<Item> {
        let item = |(at, (genres, year)): (usize, (&str, &str))| Item {
            id: format!("i{at}"),
            attributes: [("genres", genres), ("year", year), ("plot", &format!("text {at}"))]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..Item::default()
        };
        let cells =
            [("drama|comedy", "1990"), ("drama", "2000"), ("comedy|drama", "2010"), ("", "2000")];
        cells.into_iter().enumerate().map(item).collect()
    }

    #[test]
    fn by_default_categorical_attributes_are_read_and_rows_sum_to_one() {
        let found = AttributesSpec::default().of_items(&items()).unwrap().unwrap();
        assert_eq!(found.names(), ["genres=comedy", "genres=drama"]);
        assert_eq!((found.columns(0), found.values(0)), (&[0, 1][..], &[0.5, 0.5][..]));
        assert_eq!((found.columns(1), found.values(1)), (&[1][..], &[1.0][..]));
        assert!(found.columns(3).is_empty());
        let few = AttributesSpec { max_values: 1, ..AttributesSpec::default() };
        assert_eq!(few.of_items(&items()).unwrap(), None);
    }

    #[test]
    fn named_attributes_are_read_alone_and_a_typo_is_named() {
        let year = AttributeColumn::Numeric { name: "year".into(), scale: NumericScale::MinMax };
        let spec = AttributesSpec { items: Some(vec![year]), ..AttributesSpec::default() };
        let found = spec.of_items(&items()).unwrap().unwrap();
        // A single number a row, whose size becomes 1; 1990 is the smallest, 0.
        assert_eq!(
            (found.names(), found.values(0), found.values(2)),
            (&["year".to_owned()][..], &[][..], &[1.0][..])
        );
        let none = AttributesSpec { items: Some(vec![]), ..AttributesSpec::default() };
        assert_eq!(none.of_items(&items()).unwrap(), None);
        let typo = vec![AttributeColumn::categorical("genre", Some("|"))];
        let spec = AttributesSpec { items: Some(typo), ..AttributesSpec::default() };
        let said = spec.of_items(&items()).unwrap_err().to_string();
        assert!(said.contains("\"genre\"") && said.contains("genres, plot, year"), "{said}");
    }
}
