//! The two sparse matrices of iALS and what a cell weighs.

use quintet_core::{Interactions, ItemIdx, Triplet, UserIdx};

use super::{Confidence, IalsConfig};

/// Sparse rows without the values where all are 1: 4 bytes a cell instead of 8.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    pub(super) indptr: Vec<usize>,
    pub(super) columns: Vec<u32>,
    pub(super) values: Option<Vec<f32>>,
}

impl Rows {
    /// The rows of users. A value of 0 says nothing and is left out. None for a negative value.
    pub(super) fn new(train: &Interactions, use_values: bool) -> Option<Self> {
        if !use_values {
            let columns = train.indices().iter().map(|i| i.0).collect();
            return Some(Self { indptr: train.indptr().to_vec(), columns, values: None });
        }
        let (mut indptr, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for user in (0..train.n_users()).map(UserIdx::new) {
            for (item, &value) in train.items(user).iter().zip(train.values(user)) {
                if value < 0.0 {
                    return None;
                }
                if value > 0.0 {
                    columns.push(item.0);
                    values.push(value);
                }
            }
            indptr.push(columns.len());
        }
        Some(Self { indptr, columns, values: Some(values) })
    }

    /// The rows as they are saved. None where one does not fit, which [`Rows::new`] never makes.
    pub(super) fn to_interactions(&self, n_columns: usize) -> Option<Interactions> {
        let cells = (0..self.len()).flat_map(|row| {
            (self.indptr[row]..self.indptr[row + 1]).map(move |cell| Triplet {
                user: UserIdx::new(row),
                item: ItemIdx(self.columns[cell]),
                value: self.values.as_ref().map_or(1.0, |values| values[cell]),
            })
        });
        Interactions::from_sorted(self.len(), n_columns, self.columns.len(), cells).ok()
    }

    /// The rows of items.
    pub(super) fn transpose(&self, n_columns: usize) -> Self {
        let mut indptr = vec![0; n_columns + 1];
        for column in &self.columns {
            indptr[*column as usize + 1] += 1;
        }
        for column in 0..n_columns {
            indptr[column + 1] += indptr[column];
        }
        let mut next = indptr.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut values = self.values.as_ref().map(|v| vec![0.0; v.len()]);
        for row in 0..self.len() {
            for cell in self.indptr[row]..self.indptr[row + 1] {
                let slot = &mut next[self.columns[cell] as usize];
                columns[*slot] = row as u32;
                if let (Some(to), Some(from)) = (&mut values, &self.values) {
                    to[*slot] = from[cell];
                }
                *slot += 1;
            }
        }
        Self { indptr, columns, values }
    }

    pub(super) fn len(&self) -> usize {
        self.indptr.len() - 1
    }

    pub(super) fn nnz(&self) -> usize {
        self.columns.len()
    }

    /// The cells of one row.
    pub(super) fn row(&self, row: usize) -> Cells<'_> {
        let range = self.indptr[row]..self.indptr[row + 1];
        Cells {
            columns: &self.columns[range.clone()],
            values: self.values.as_ref().map(|v| &v[range]),
        }
    }
}

/// The cells of one row; without values every value is 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cells<'a> {
    pub(super) columns: &'a [u32],
    pub(super) values: Option<&'a [f32]>,
}

impl Cells<'_> {
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    #[inline(always)]
    pub(super) fn value(&self, cell: usize) -> f32 {
        self.values.map_or(1.0, |v| v[cell])
    }
}

/// The system of a row as numbers: `A = unobserved · YᵀY + Σ extra(r) y yᵀ + l2(n) Id` and
/// `b = Σ target(r) y`. All three conventions have this form; `extra` and `target` are straight
/// lines in the value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights {
    /// Weight of every cell, observed or not.
    pub(super) unobserved: f32,
    extra: [f32; 2],
    target: [f32; 2],
    l2: f64,
    power: f64,
    /// Added to a row's count before the power.
    offset: f64,
}

impl Weights {
    /// For the rows that are solved against `n_columns` rows of the other side.
    pub(super) fn new(config: &IalsConfig, n_columns: usize) -> Self {
        let alpha = config.alpha;
        let (unobserved, extra, target) = match config.confidence {
            Confidence::OnePlusAlpha => (1.0, [0.0, alpha], [1.0, alpha]),
            Confidence::Alpha => (1.0, [-1.0, alpha], [0.0, alpha]),
            Confidence::Revisited => (config.alpha0, [0.0, alpha], [0.0, alpha]),
        };
        let offset = f64::from(config.alpha0) * n_columns as f64;
        let (l2, power) = (f64::from(config.l2), f64::from(config.frequency_power));
        Self { unobserved, extra, target, l2, power, offset }
    }

    #[inline(always)]
    pub(super) fn extra(&self, value: f32) -> f32 {
        self.extra[0] + self.extra[1] * value
    }

    #[inline(always)]
    pub(super) fn target(&self, value: f32) -> f32 {
        self.target[0] + self.target[1] * value
    }

    /// `λ (n + α₀ N)^ν`; `λ` itself for ν = 0.
    #[inline(always)]
    pub(super) fn l2(&self, n: usize) -> f32 {
        if self.power == 0.0 {
            return self.l2 as f32;
        }
        (self.l2 * (n as f64 + self.offset).powf(self.power)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::Triplet;

    #[test]
    fn rows_drop_zeros_refuse_negatives_and_transpose() {
        let cell = |u: u32, i: u32, value| Triplet {
            user: UserIdx(u),
            item: quintet_core::ItemIdx(i),
            value,
        };
        let train = |cells: &[Triplet]| Interactions::from_triplets(2, 3, cells.to_vec()).unwrap();
        let given = train(&[cell(0, 0, 2.0), cell(0, 2, 0.0), cell(1, 0, 3.0), cell(1, 2, 4.0)]);
        let rows = Rows::new(&given, true).unwrap();
        assert_eq!((&rows.indptr[..], &rows.columns[..]), (&[0, 1, 3][..], &[0, 0, 2][..]));
        let items = rows.transpose(3);
        assert_eq!((&items.indptr[..], &items.columns[..]), (&[0, 2, 2, 3][..], &[0, 1, 1][..]));
        assert_eq!(items.values, Some(vec![2.0, 3.0, 4.0]));
        assert!(Rows::new(&train(&[cell(0, 0, -1.0)]), true).is_none());
        let ones = Rows::new(&given, false).unwrap();
        assert_eq!((ones.nnz(), ones.row(0).value(1)), (4, 1.0));
    }

    #[test]
    fn conventions_by_hand() {
        let config = |confidence| IalsConfig {
            alpha: 10.0,
            alpha0: 0.5,
            l2: 2.0,
            frequency_power: 1.0,
            confidence,
            ..IalsConfig::default()
        };
        let of = |confidence, value| {
            let w = Weights::new(&config(confidence), 4);
            [w.unobserved, w.extra(value), w.target(value), w.l2(3)]
        };
        // c = 1 + 10·2; l2 = 2 (3 + 0.5 · 4).
        assert_eq!(of(Confidence::OnePlusAlpha, 2.0), [1.0, 20.0, 21.0, 10.0]);
        assert_eq!(of(Confidence::Alpha, 2.0), [1.0, 19.0, 20.0, 10.0]);
        assert_eq!(of(Confidence::Revisited, 2.0), [0.5, 20.0, 20.0, 10.0]);
    }
}
