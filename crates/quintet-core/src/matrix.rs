//! Dense rows of `f32`, the plain currency between crates.

use crate::CoreError;

/// Dense row-major `[rows, cols]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<f32>,
}

impl Matrix {
    /// `[rows, cols]` of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// Takes row-major data.
    ///
    /// # Errors
    /// [`CoreError::Shape`] when `data.len() != rows * cols`.
    pub fn from_vec(rows: usize, cols: usize, data: Vec<f32>) -> Result<Self, CoreError> {
        if data.len() != rows * cols {
            return Err(CoreError::Shape {
                what: format!("data of a [{rows}, {cols}] matrix"),
                expected: rows * cols,
                found: data.len(),
            });
        }
        Ok(Self { rows, cols, data })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// One row.
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// One row to write to.
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// All numbers, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All numbers to write to, row by row.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The numbers themselves.
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// Sets the shape to `[rows, cols]` and every number to zero, reusing the memory.
    pub fn reset(&mut self, rows: usize, cols: usize) {
        self.rows = rows;
        self.cols = cols;
        self.data.clear();
        self.data.resize(rows * cols, 0.0);
    }

    /// Finds the first NaN or infinity.
    ///
    /// # Errors
    /// [`CoreError::NotFinite`] that names `what`, the row and the column.
    pub fn check_finite(&self, what: &str) -> Result<(), CoreError> {
        match self.data.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(p) => Err(CoreError::NotFinite {
                what: what.to_owned(),
                row: p / self.cols,
                col: p % self.cols,
                value: self.data[p],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_length_is_refused_and_nan_is_named() {
        assert!(Matrix::from_vec(2, 2, vec![0.0; 3]).is_err());
        let m = Matrix::from_vec(2, 2, vec![0.0, 1.0, 2.0, f32::NAN]).unwrap();
        let err = m.check_finite("image features").unwrap_err().to_string();
        assert!(err.contains("image features row 1, column 1"), "{err}");
    }
}
