//! What a row can be solved against: behaviour, and a description.

use quintet_core::{Interactions, Matrix, UserIdx};
use quintet_tensor::{SparseRows, add_outer, add_product, add_scaled, dot};
use rayon::prelude::*;

use super::system::{NoSolution, Part, System, gram};

/// What a cell of behaviour weighs: `empty` without an interaction, `empty + observed · r` with
/// one. The target is 1 with an interaction and 0 without.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Confidence {
    pub(crate) observed: f64,
    pub(crate) empty: f64,
}

/// The rows of users over `n_items` items, with their values or with ones.
pub(crate) fn behaviour_rows(
    train: &Interactions,
    n_items: usize,
    use_values: bool,
) -> Option<SparseRows> {
    let row = |user: usize| -> Vec<(u32, f32)> {
        let user = UserIdx::new(user);
        let cells = train.items(user).iter().zip(train.values(user));
        cells.map(|(item, r)| (item.0, if use_values { *r } else { 1.0 })).collect()
    };
    let rows: Vec<Vec<(u32, f32)>> = (0..train.n_users()).map(row).collect();
    let negative = rows.iter().flatten().any(|(_, r)| *r < 0.0);
    (!negative).then(|| SparseRows::from_rows(n_items, rows))
}

/// Behaviour against the fixed factors of the other side.
pub(crate) struct Behaviour<'a> {
    rows: &'a SparseRows,
    table: &'a Matrix,
    /// Over the rows of the other side that have any cell.
    gram: Vec<f64>,
    confidence: Confidence,
    weight: f64,
    /// What each row explains already.
    offset: Option<&'a Matrix>,
}

impl<'a> Behaviour<'a> {
    /// `keep` tells which rows of `table` have any cell; the others are not part of the matrix.
    pub(crate) fn new(
        rows: &'a SparseRows,
        (table, keep): (&'a Matrix, &[bool]),
        confidence: Confidence,
        weight: f64,
    ) -> Self {
        Self::over(rows, (table, gram(table, keep)), confidence, weight)
    }

    /// As [`Behaviour::new`], with the Gram matrix of the other side.
    pub(crate) fn over(
        rows: &'a SparseRows,
        (table, gram): (&'a Matrix, Vec<f64>),
        confidence: Confidence,
        weight: f64,
    ) -> Self {
        Self { rows, table, gram, confidence, weight, offset: None }
    }

    /// Takes out what `offset` explains already, a row each.
    pub(crate) fn beside(mut self, offset: &'a Matrix) -> Self {
        self.offset = Some(offset);
        self
    }

    /// `weight Σ c (t - x·y)²` over the rows and columns that have any cell.
    pub(crate) fn loss(&self, x: &Matrix) -> f64 {
        let Confidence { observed, empty } = self.confidence;
        let known: Vec<bool> = (0..x.rows()).map(|r| !self.rows.row(r).0.is_empty()).collect();
        let all: f64 = gram(x, &known).iter().zip(&self.gram).map(|(a, b)| a * b).sum();
        let of_row = |row: usize| -> f64 {
            let (columns, values) = self.rows.row(row);
            let cell = |(column, r): (&u32, &f32)| {
                let score = f64::from(dot(x.row(row), self.table.row(*column as usize)));
                (empty + observed * f64::from(*r)) * (1.0 - score).powi(2) - empty * score.powi(2)
            };
            columns.iter().zip(values).map(cell).sum()
        };
        let cells: Vec<f64> = (0..x.rows()).into_par_iter().map(of_row).collect();
        self.weight * (empty * all + cells.iter().sum::<f64>())
    }
}

impl Part for Behaviour<'_> {
    fn add(&self, row: usize, system: &mut System) -> bool {
        let (columns, values) = self.rows.row(row);
        if columns.is_empty() {
            return false;
        }
        let Confidence { observed, empty } = self.confidence;
        let offset = self.offset.map(|offset| offset.row(row));
        system.add_gram(self.weight * empty, &self.gram, offset);
        let cells = columns.iter().zip(values).map(|(column, r)| {
            let extra = self.weight * observed * f64::from(*r);
            (self.table.row(*column as usize), extra, extra + self.weight * empty)
        });
        system.add_cells(cells, offset);
        true
    }
}

/// The cells of a description.
#[derive(Debug, Clone)]
pub(crate) enum Cells {
    /// Rows of numbers; those without a description are 0.
    Dense(Matrix),
    /// Rows of tags, and the same matrix turned.
    Sparse(SparseRows, SparseRows),
}

/// A matrix `[rows, columns]` that describes one side, with factors of its columns.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) cells: Cells,
    /// Which rows are described; nothing is said of the others.
    pub(crate) present: Vec<bool>,
    pub(crate) weight: f64,
    /// `W`, `[columns, dim]`.
    pub(crate) factors: Matrix,
}

impl View {
    pub(crate) fn n_columns(&self) -> usize {
        match &self.cells {
            Cells::Dense(cells) => cells.cols(),
            Cells::Sparse(cells, _) => cells.dims()[1],
        }
    }

    /// `A W`, `[rows, dim]`.
    fn times_factors(&self) -> Matrix {
        let (n, dim) = (self.present.len(), self.factors.cols());
        let mut out = Matrix::zeros(n, dim);
        match &self.cells {
            Cells::Dense(cells) => {
                let shape = [cells.cols(), dim];
                add_product(cells.as_slice(), self.factors.as_slice(), shape, out.as_mut_slice());
            }
            Cells::Sparse(cells, _) => add_sparse(cells, &self.factors, &mut out),
        }
        out
    }

    /// `Aᵀ X`, `[columns, dim]`.
    fn turned_times(&self, x: &Matrix) -> Matrix {
        let mut out = Matrix::zeros(self.n_columns(), x.cols());
        match &self.cells {
            Cells::Dense(cells) => {
                let shape = [cells.cols(), x.cols()];
                add_outer(cells.as_slice(), x.as_slice(), shape, out.as_mut_slice());
            }
            Cells::Sparse(_, turned) => add_sparse(turned, x, &mut out),
        }
        out
    }

    /// Solves for the factors of the columns, with the rows' factors `x` held fixed. All columns
    /// have one system, since every described row has all of them.
    pub(crate) fn solve(&mut self, x: &Matrix, ridge: f64) -> Result<(), NoSolution> {
        let mut system = System::new(x.cols());
        system.clear(ridge);
        system.add_gram(self.weight, &gram(x, &self.present), None);
        if !system.factor() {
            return Err(NoSolution);
        }
        let products = self.turned_times(x);
        for column in 0..products.rows() {
            system.add_right(self.weight, products.row(column));
            system.solve(self.factors.row_mut(column));
        }
        Ok(())
    }

    /// The view with its columns' factors held fixed.
    pub(crate) fn fixed(&self) -> Described<'_> {
        let every = vec![true; self.factors.rows()];
        Described { view: self, gram: gram(&self.factors, &every), products: self.times_factors() }
    }

    /// `weight Σ (a - x·w)²` over the described rows.
    pub(crate) fn loss(&self, x: &Matrix) -> f64 {
        let fixed = self.fixed();
        let square: f64 = match &self.cells {
            Cells::Dense(cells) => squares(cells.as_slice()),
            Cells::Sparse(cells, _) => {
                (0..self.present.len()).map(|r| squares(cells.row(r).1)).sum()
            }
        };
        let cross: f64 = (0..x.rows())
            .filter(|r| self.present[*r])
            .map(|r| {
                let products = x.row(r).iter().zip(fixed.products.row(r));
                products.map(|(x, p)| f64::from(*x) * f64::from(*p)).sum::<f64>()
            })
            .sum();
        let own = gram(x, &self.present);
        let all: f64 = own.iter().zip(&fixed.gram).map(|(a, b)| a * b).sum();
        self.weight * (square - 2.0 * cross + all)
    }
}

/// The sum of squares.
pub(crate) fn squares(numbers: &[f32]) -> f64 {
    numbers.iter().map(|x| f64::from(*x).powi(2)).sum()
}

/// `out += cells · x`.
fn add_sparse(cells: &SparseRows, x: &Matrix, out: &mut Matrix) {
    let dim = x.cols().max(1);
    out.as_mut_slice().par_chunks_mut(dim).enumerate().for_each(|(row, out)| {
        let (columns, values) = cells.row(row);
        for (column, value) in columns.iter().zip(values) {
            add_scaled(out, *value, x.row(*column as usize));
        }
    });
}

/// A description against the fixed factors of its columns.
pub(crate) struct Described<'a> {
    view: &'a View,
    gram: Vec<f64>,
    /// `A W`.
    products: Matrix,
}

impl Part for Described<'_> {
    fn add(&self, row: usize, system: &mut System) -> bool {
        if !self.view.present[row] {
            return false;
        }
        system.add_gram(self.view.weight, &self.gram, None);
        system.add_right(self.view.weight, self.products.row(row));
        true
    }
}
