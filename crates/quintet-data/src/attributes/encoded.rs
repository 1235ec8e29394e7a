//! Attributes as numbers, and the ways to hand them to a model.

use quintet_core::Matrix;

use super::report::AttributeReport;
use super::{CategoricalEncoding, FittedCategorical};

/// The attributes of some items or users.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedAttributes {
    /// Scaled numbers, `[rows, numeric attributes]`; 0 where [`Self::numeric_present`] says no.
    /// For z-scores 0 is the mean of the fitting rows.
    pub numeric: Matrix,
    /// The attributes behind the columns of `numeric`.
    pub numeric_names: Vec<String>,
    /// Whether there was a usable number: one list of `[rows]` a numeric attribute.
    pub numeric_present: Vec<Vec<bool>>,
    /// The categorical attributes.
    pub categorical: Vec<CategoricalColumn>,
    /// Where every cell went.
    pub report: AttributeReport,
}

/// One categorical attribute of all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoricalColumn {
    /// The attribute.
    pub name: String,
    /// What it is meant to be.
    pub encoding: CategoricalEncoding,
    /// How many positions there are; position 0 is for what is unknown.
    pub n_slots: usize,
    /// `positions[starts[r]..starts[r + 1]]` are those of row `r`.
    starts: Vec<u32>,
    positions: Vec<u32>,
}

impl CategoricalColumn {
    pub(super) fn new(fitted: &FittedCategorical) -> Self {
        Self {
            name: fitted.name.clone(),
            encoding: fitted.encoding,
            n_slots: fitted.n_slots(),
            starts: vec![0],
            positions: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, positions: impl IntoIterator<Item = u32>) {
        self.positions.extend(positions);
        self.starts.push(self.positions.len() as u32);
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// The positions of a row, ascending, each once; none when the attribute is missing.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn positions(&self, row: usize) -> &[u32] {
        &self.positions[self.starts[row] as usize..self.starts[row + 1] as usize]
    }

    /// Whether a row has the attribute.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn is_present(&self, row: usize) -> bool {
        !self.positions(row).is_empty()
    }

    /// The one-hot or multi-hot form, `[rows, n_slots]` of zeros and ones. A row without the
    /// attribute is all 0; one with an unknown value has a 1 in column 0.
    pub fn to_matrix(&self) -> Matrix {
        let mut matrix = Matrix::zeros(self.rows(), self.n_slots);
        for row in 0..self.rows() {
            let cells = matrix.row_mut(row);
            self.positions(row).iter().for_each(|p| cells[*p as usize] = 1.0);
        }
        matrix
    }
}

impl EncodedAttributes {
    /// How many items or users there are.
    pub fn rows(&self) -> usize {
        self.report.rows
    }

    /// The dense input of a model, `[rows, columns]`, and whether a row has any attribute of it:
    /// all numbers, then all one-hot and multi-hot columns. Attributes with
    /// [`CategoricalEncoding::Index`] are not in it; they are for tables of vectors.
    pub fn dense(&self) -> (Matrix, Vec<bool>) {
        let hot = |c: &&CategoricalColumn| c.encoding != CategoricalEncoding::Index;
        let hot: Vec<&CategoricalColumn> = self.categorical.iter().filter(hot).collect();
        let n_numeric = self.numeric_names.len();
        let width = n_numeric + hot.iter().map(|c| c.n_slots).sum::<usize>();
        let mut matrix = Matrix::zeros(self.rows(), width);
        let mut present = vec![false; self.rows()];
        for (row, present) in present.iter_mut().enumerate() {
            let cells = matrix.row_mut(row);
            cells[..n_numeric].copy_from_slice(self.numeric.row(row));
            let mut from = n_numeric;
            for column in &hot {
                column.positions(row).iter().for_each(|p| cells[from + *p as usize] = 1.0);
                from += column.n_slots;
            }
            *present = self.numeric_present.iter().any(|column| column[row])
                || hot.iter().any(|column| column.is_present(row));
        }
        (matrix, present)
    }
}
