//! Learns from some rows how attributes become numbers, and does it to any rows.

use std::path::Path;

use quintet_core::Matrix;
use serde::{Deserialize, Serialize};

use super::categorical::Asked;
use super::report::{AttributeReport, BadCell, ColumnReport, LISTED_CELLS, shown};
use super::{
    AttributeColumn, AttributeConfig, Attributed, CategoricalColumn, EncodedAttributes,
    FittedCategorical, FittedNumeric,
};
use crate::{DataError, write_atomic};

/// The version of the written form.
const FORMAT: u32 = 1;

/// What was learned of one attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FittedColumn {
    /// A number.
    Numeric(FittedNumeric),
    /// One or more of some values.
    Categorical(FittedCategorical),
}

impl FittedColumn {
    /// The attribute.
    pub fn name(&self) -> &str {
        match self {
            Self::Numeric(column) => &column.name,
            Self::Categorical(column) => &column.name,
        }
    }
}

/// Everything that was learned: with it a later item is encoded as the ones before it.
///
/// ```
/// use quintet_data::{AttributeConfig, AttributeColumn, AttributeEncoder, Item, NumericScale};
/// let item = |id: &str, year: &str| Item {
///     id: id.into(),
///     attributes: [("year".to_owned(), year.to_owned())].into(),
///     ..Item::default()
/// };
/// let items = [item("a", "1990"), item("b", "2010"), item("new", "2030")];
/// let scale = NumericScale::MinMax;
/// let columns = vec![AttributeColumn::Numeric { name: "year".into(), scale }];
///
/// // Only items that training shows say what is small and large.
/// let in_training = [true, true, false];
/// let fitting = items.iter().zip(in_training).filter(|(_, seen)| *seen).map(|(item, _)| item);
/// let encoder = AttributeEncoder::fit(&AttributeConfig { columns }, fitting)?;
/// let encoded = encoder.encode(&items);
/// assert_eq!(encoded.numeric.as_slice(), [0.0, 1.0, 2.0]);
/// assert_eq!(encoded.report.columns[0].out_of_range, 1);
/// # Ok::<(), quintet_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct AttributeEncoder {
    columns: Vec<FittedColumn>,
}

/// The written form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    columns: Vec<FittedColumn>,
}

impl From<AttributeEncoder> for Written {
    fn from(encoder: AttributeEncoder) -> Self {
        Self { format: FORMAT, columns: encoder.columns }
    }
}

impl TryFrom<Written> for AttributeEncoder {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if written.format != FORMAT {
            return Err(format!("expected attribute format {FORMAT}, found {}", written.format));
        }
        let flaw = |column: &FittedColumn| match column {
            FittedColumn::Numeric(c) => c.flaw().map(|f| ("finite numbers, a divisor above 0", f)),
            FittedColumn::Categorical(c) => c.flaw().map(|f| ("ascending values", f)),
        };
        match written.columns.iter().find_map(flaw) {
            Some((expected, found)) => Err(format!("expected {expected}, found {found}")),
            None => Ok(Self { columns: written.columns }),
        }
    }
}

impl AttributeEncoder {
    /// Learns from the rows that are given, and from no others: leave out what training must not
    /// see, such as items without a training event.
    ///
    /// # Errors
    /// Settings that contradict each other.
    pub fn fit<'a, R: Attributed + 'a>(
        config: &AttributeConfig,
        rows: impl IntoIterator<Item = &'a R>,
    ) -> Result<Self, DataError> {
        config.validate()?;
        let rows: Vec<&R> = rows.into_iter().collect();
        let fit = |column: &AttributeColumn| match column {
            AttributeColumn::Numeric { name, scale } => {
                FittedColumn::Numeric(FittedNumeric::fit(name, *scale, &rows))
            }
            AttributeColumn::Categorical { name, separator, min_count, max_size, encoding } => {
                let asked = Asked {
                    name,
                    separator: separator.as_deref(),
                    min_count: *min_count,
                    max_size: *max_size,
                    encoding: *encoding,
                };
                FittedColumn::Categorical(FittedCategorical::fit(asked, &rows))
            }
        };
        Ok(Self { columns: config.columns.iter().map(fit).collect() })
    }

    /// What was learned, in the order of the configuration.
    pub fn columns(&self) -> &[FittedColumn] {
        &self.columns
    }

    /// Encodes any rows. What does not fit is never an error: a bad cell counts as missing, an
    /// unseen value as unknown, and the report says so.
    ///
    /// # Panics
    /// When one attribute has 2³² values or more over all rows.
    pub fn encode<R: Attributed>(&self, rows: &[R]) -> EncodedAttributes {
        let is_numeric = |c: &&FittedColumn| matches!(c, FittedColumn::Numeric(_));
        let n_numeric = self.columns.iter().filter(is_numeric).count();
        let mut out = EncodedAttributes {
            numeric: Matrix::zeros(rows.len(), n_numeric),
            numeric_names: Vec::with_capacity(n_numeric),
            numeric_present: Vec::with_capacity(n_numeric),
            categorical: Vec::new(),
            report: AttributeReport { rows: rows.len(), ..AttributeReport::default() },
        };
        for column in &self.columns {
            match column {
                FittedColumn::Numeric(fitted) => encode_numeric(fitted, rows, &mut out),
                FittedColumn::Categorical(fitted) => encode_categorical(fitted, rows, &mut out),
            }
        }
        out
    }

    /// Writes the encoder as JSON.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let json = serde_json::to_vec_pretty(self).map_err(|source| json_error(path, source))?;
        write_atomic(path, &json)
    }

    /// Reads what [`AttributeEncoder::write`] wrote.
    ///
    /// # Errors
    /// A file that cannot be read or is no encoder.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let json = fs_err::read(path)?;
        serde_json::from_slice(&json).map_err(|source| json_error(path, source))
    }
}

fn json_error(path: &Path, source: serde_json::Error) -> DataError {
    DataError::Json { path: path.to_owned(), row: None, source }
}

/// Appends a numeric attribute.
fn encode_numeric<R: Attributed>(fitted: &FittedNumeric, rows: &[R], out: &mut EncodedAttributes) {
    let at = out.numeric_names.len();
    let mut report = ColumnReport {
        attribute: fitted.name.clone(),
        constant: fitted.constant,
        ..ColumnReport::default()
    };
    let mut present = vec![false; rows.len()];
    for (row, source) in rows.iter().enumerate() {
        let Some(text) = source.cell(&fitted.name) else {
            report.missing += 1;
            continue;
        };
        match fitted.cell(text) {
            Ok((value, outside)) => {
                out.numeric.row_mut(row)[at] = value;
                present[row] = true;
                report.present += 1;
                report.out_of_range += usize::from(outside);
            }
            Err(expected) => {
                report.bad += 1;
                if report.bad <= LISTED_CELLS {
                    out.report.bad_cells.push(BadCell {
                        id: source.id().to_owned(),
                        attribute: fitted.name.clone(),
                        expected: expected.to_owned(),
                        found: shown(text),
                    });
                }
            }
        }
    }
    out.numeric_names.push(fitted.name.clone());
    out.numeric_present.push(present);
    out.report.columns.push(report);
}

/// Appends a categorical attribute.
fn encode_categorical<R: Attributed>(
    fitted: &FittedCategorical,
    rows: &[R],
    out: &mut EncodedAttributes,
) {
    let mut report = ColumnReport { attribute: fitted.name.clone(), ..ColumnReport::default() };
    let mut column = CategoricalColumn::new(fitted);
    for source in rows {
        let (positions, unknown) =
            source.cell(&fitted.name).map(|text| fitted.cell(text)).unwrap_or_default();
        // A cell of separators alone says as little as a blank one.
        if positions.is_empty() {
            report.missing += 1;
        } else {
            report.present += 1;
        }
        report.unknown_values += unknown.len();
        report.unknown_rows += usize::from(!unknown.is_empty());
        column.push(positions);
    }
    out.categorical.push(column);
    out.report.columns.push(report);
}
